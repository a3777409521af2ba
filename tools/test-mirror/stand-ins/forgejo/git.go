package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	"golang.org/x/crypto/ssh"
)

// Where Forgejo keeps repositories, below its work path.
const repositories = "data/forgejo-repositories"

var (
	errNoRepository = errors.New("repository does not exist")
	safeName        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
)

// forge serves the repositories of the users, each its own alone, over HTTP (gitprotocol-http(5)) and SSH. Packs are
// whole: what a client has already is not asked.
type forge struct {
	ini  map[string]string
	root string
}

// repository is the path of OWNER/NAME.git below the root, where the user may reach it. That it is there says the
// database; whether its files are, finds who opens it.
func (f forge) repository(name string, one *user, path string) (string, error) {
	owner, repository, _ := strings.Cut(strings.Trim(path, "/"), "/")
	repository = strings.TrimSuffix(repository, ".git")
	if owner != name || !slices.Contains(one.Repositories, repository) {
		return "", errNoRepository
	}
	return filepath.Join("/", owner, repository+".git"), nil
}

// talk is one exchange of the smart protocol: refs are told where advertise says so, then a request is answered where
// there is an input.
func (f forge) talk(ctx context.Context, service, repository string, prefix bool, advertise bool, in io.Reader, out io.Writer) error {
	endpoint, err := transport.NewEndpoint(repository)
	if err != nil {
		return err
	}
	served := server.NewServer(server.NewFilesystemLoader(osfs.New(f.root)))
	var session transport.Session
	var answer func() error
	switch service {
	case "git-upload-pack":
		upload, err := served.NewUploadPackSession(endpoint, nil)
		if err != nil {
			return err
		}
		session = upload
		answer = func() error {
			request := packp.NewUploadPackRequest()
			if err := request.Decode(in); err != nil {
				return err
			}
			response, err := upload.UploadPack(ctx, request)
			if err != nil {
				return err
			}
			return response.Encode(out)
		}
	case "git-receive-pack":
		receive, err := served.NewReceivePackSession(endpoint, nil)
		if err != nil {
			return err
		}
		session = receive
		answer = func() error {
			request := packp.NewReferenceUpdateRequest()
			if err := request.Decode(in); err != nil {
				return err
			}
			status, err := receive.ReceivePack(ctx, request)
			if status == nil {
				return err
			}
			return status.Encode(out)
		}
	default:
		return fmt.Errorf("no such service: %s", service)
	}
	defer session.Close()
	if advertise {
		references, err := session.AdvertisedReferencesContext(ctx)
		if err != nil {
			return err
		}
		if prefix {
			references.Prefix = [][]byte{[]byte("# service=" + service), pktline.Flush}
		}
		if err := references.Encode(out); err != nil {
			return err
		}
	}
	if in == nil {
		return nil
	}
	// A client that only wanted to know the refs says so by a flush.
	asked := bufio.NewReader(in)
	if begin, err := asked.Peek(4); err != nil || string(begin) == "0000" {
		return err
	}
	in = asked
	return answer()
}

// signed gives the user of a request, and asks for credentials where there is none.
func (f forge) signed(answer http.ResponseWriter, request *http.Request, scope string) (string, *store) {
	kept := open(f.ini)
	name, one := kept.who(request, scope)
	if one == nil {
		answer.Header().Set("WWW-Authenticate", `Basic realm="Gitea"`)
		http.Error(answer, "unauthorized", http.StatusUnauthorized)
		return "", nil
	}
	return name, kept
}

func (f forge) overHTTP(answer http.ResponseWriter, request *http.Request, service string, advertise bool, in io.Reader) {
	scope := "read:repository"
	if service == "git-receive-pack" {
		scope = "write:repository"
	}
	_, kept, repository := f.asked(answer, request, scope)
	if kept == nil {
		return
	}
	kind := "result"
	if advertise {
		kind = "advertisement"
	}
	answer.Header().Set("Content-Type", "application/x-"+service+"-"+kind)
	answer.Header().Set("Cache-Control", "no-cache")
	if err := f.talk(request.Context(), service, repository, advertise, advertise, in, answer); err != nil {
		fmt.Fprintf(os.Stderr, "forgejo stand-in: %s: %v\n", service, err)
	}
}

// asked gives the user of a request and the repository that it is of; where there is none, the request is answered.
func (f forge) asked(answer http.ResponseWriter, request *http.Request, scope string) (string, *store, string) {
	name, kept := f.signed(answer, request, scope)
	if kept == nil {
		return "", nil, ""
	}
	repository, err := f.repository(name, kept.Users[name], request.PathValue("owner")+"/"+request.PathValue("repository"))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusNotFound)
		return "", nil, ""
	}
	return name, kept, repository
}

func (f forge) handle() {
	http.HandleFunc("GET /{owner}/{repository}/info/refs", func(answer http.ResponseWriter, request *http.Request) {
		f.overHTTP(answer, request, request.URL.Query().Get("service"), true, nil)
	})
	for _, service := range []string{"git-upload-pack", "git-receive-pack"} {
		http.HandleFunc("POST /{owner}/{repository}/"+service, func(answer http.ResponseWriter, request *http.Request) {
			var body io.Reader = request.Body
			if request.Header.Get("Content-Encoding") == "gzip" {
				unpacked, err := gzip.NewReader(body)
				if err != nil {
					http.Error(answer, err.Error(), http.StatusBadRequest)
					return
				}
				body = unpacked
			}
			f.overHTTP(answer, request, service, false, body)
		})
	}
	http.HandleFunc("POST /api/v1/user/repos", func(answer http.ResponseWriter, request *http.Request) {
		name, kept := f.signed(answer, request, "write:repository")
		if kept == nil {
			return
		}
		var wanted struct {
			Name     string
			AutoInit bool `json:"auto_init"`
		}
		if err := json.NewDecoder(request.Body).Decode(&wanted); err != nil || !safeName.MatchString(wanted.Name) {
			http.Error(answer, "unprocessable", http.StatusUnprocessableEntity)
			return
		}
		made, err := git.PlainInitWithOptions(filepath.Join(f.root, name, wanted.Name+".git"), &git.PlainInitOptions{
			Bare:        true,
			InitOptions: git.InitOptions{DefaultBranch: plumbing.Main},
		})
		if err == nil && wanted.AutoInit {
			err = firstCommit(made, name)
		}
		if err != nil {
			http.Error(answer, err.Error(), http.StatusConflict)
			return
		}
		kept.Users[name].Repositories = append(kept.Users[name].Repositories, wanted.Name)
		kept.save()
		answer.WriteHeader(http.StatusCreated)
		fmt.Fprint(answer, "{}")
	})
	http.HandleFunc("DELETE /api/v1/repos/{owner}/{repository}", func(answer http.ResponseWriter, request *http.Request) {
		name, kept, repository := f.asked(answer, request, "write:repository")
		if kept == nil {
			return
		}
		if err := os.RemoveAll(filepath.Join(f.root, repository)); err != nil {
			http.Error(answer, err.Error(), http.StatusNotFound)
			return
		}
		one := kept.Users[name]
		maps.DeleteFunc(one.Keys, func(_ string, key sshKey) bool { return key.Opens == repository })
		one.Repositories = slices.DeleteFunc(one.Repositories, func(name string) bool { return name == request.PathValue("repository") })
		kept.save()
		answer.WriteHeader(http.StatusNoContent)
	})
	http.HandleFunc("POST /api/v1/user/keys", func(answer http.ResponseWriter, request *http.Request) {
		if name, kept := f.signed(answer, request, "write:user"); kept != nil {
			addKey(answer, request, name, kept, "")
		}
	})
	http.HandleFunc("POST /api/v1/repos/{owner}/{repository}/keys", func(answer http.ResponseWriter, request *http.Request) {
		if name, kept, opens := f.asked(answer, request, "write:repository"); kept != nil {
			addKey(answer, request, name, kept, opens)
		}
	})
	http.HandleFunc("GET /api/v1/repos/{owner}/{repository}/keys", func(answer http.ResponseWriter, request *http.Request) {
		name, kept, opened := f.asked(answer, request, "read:repository")
		if kept == nil {
			return
		}
		listed := []map[string]any{}
		for fingerprint, key := range kept.Users[name].Keys {
			if key.Opens == opened {
				listed = append(listed, map[string]any{"fingerprint": fingerprint, "key": key.Text, "read_only": key.ReadOnly})
			}
		}
		_ = json.NewEncoder(answer).Encode(listed)
	})
}

// firstCommit gives an empty repository its branch.
func firstCommit(made *git.Repository, name string) error {
	tree := made.Storer.NewEncodedObject()
	if err := (&object.Tree{}).Encode(tree); err != nil {
		return err
	}
	treeHash, err := made.Storer.SetEncodedObject(tree)
	if err != nil {
		return err
	}
	by := object.Signature{Name: name, Email: name + "@localhost", When: time.Now()}
	commit := made.Storer.NewEncodedObject()
	first := object.Commit{Author: by, Committer: by, Message: "Initial commit", TreeHash: treeHash}
	if err := first.Encode(commit); err != nil {
		return err
	}
	hash, err := made.Storer.SetEncodedObject(commit)
	if err != nil {
		return err
	}
	return made.Storer.SetReference(plumbing.NewHashReference(plumbing.Main, hash))
}

// addKey takes an SSH key of a user, which opens one repository, or where that is "" all of the user's.
func addKey(answer http.ResponseWriter, request *http.Request, name string, kept *store, opens string) {
	var given struct {
		Key      string
		ReadOnly bool `json:"read_only"`
	}
	if err := json.NewDecoder(request.Body).Decode(&given); err != nil {
		http.Error(answer, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(given.Key))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	if kept.Users[name].Keys == nil {
		kept.Users[name].Keys = map[string]sshKey{}
	}
	kept.Users[name].Keys[ssh.FingerprintSHA256(key)] = sshKey{opens, strings.TrimSpace(given.Key), given.ReadOnly}
	kept.save()
	answer.WriteHeader(http.StatusCreated)
	fmt.Fprint(answer, "{}")
}

// hostKey is made once, and kept.
func hostKey(path string) ssh.Signer {
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		_, made, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			fail("the host key cannot be made: %v", err)
		}
		der, _ := x509.MarshalPKCS8PrivateKey(made)
		content = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if err := os.WriteFile(path, content, 0o600); err != nil {
			fail("the host key cannot be written: %v", err)
		}
	} else if err != nil {
		fail("the host key cannot be read: %v", err)
	}
	signer, err := ssh.ParsePrivateKey(content)
	if err != nil {
		fail("the host key is none: %v", err)
	}
	return signer
}

func (f forge) serveSSH() {
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(connection ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if connection.User() == f.ini["server.BUILTIN_SSH_SERVER_USER"] {
				for name, one := range open(f.ini).Users {
					fingerprint := ssh.FingerprintSHA256(key)
					if _, known := one.Keys[fingerprint]; known {
						return &ssh.Permissions{Extensions: map[string]string{"name": name, "key": fingerprint}}, nil
					}
				}
			}
			return nil, errors.New("unknown key")
		},
	}
	config.AddHostKey(hostKey(f.ini["server.SSH_SERVER_HOST_KEYS"]))
	listener, err := net.Listen("tcp", ":"+f.ini["server.SSH_LISTEN_PORT"])
	if err != nil {
		fail("%v", err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				fail("%v", err)
			}
			go f.overSSH(connection, config)
		}
	}()
}

// opened is the repository at this path, where the key that was shown opens it for this service.
func (f forge) opened(shown map[string]string, service, path string) (string, error) {
	one := open(f.ini).Users[shown["name"]]
	if one == nil {
		return "", errNoRepository
	}
	key := one.Keys[shown["key"]]
	repository, err := f.repository(shown["name"], one, path)
	if err == nil && (key.Opens != "" && key.Opens != repository || key.ReadOnly && service == "git-receive-pack") {
		err = errNoRepository
	}
	return repository, err
}

func (f forge) overSSH(accepted net.Conn, config *ssh.ServerConfig) {
	defer accepted.Close()
	connection, channels, requests, err := ssh.NewServerConn(accepted, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(ssh.UnknownChannelType, "sessions alone")
			continue
		}
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			defer channel.Close()
			for request := range requests {
				if request.Type != "exec" {
					_ = request.Reply(false, nil)
					continue
				}
				_ = request.Reply(true, nil)
				var command struct{ Line string }
				_ = ssh.Unmarshal(request.Payload, &command)
				service, path, _ := strings.Cut(command.Line, " ")
				shown := connection.Permissions.Extensions
				var err error
				if service == "git-lfs-authenticate" {
					err = f.lfsAuthenticate(shown, strings.Fields(path), channel)
				} else {
					var repository string
					if repository, err = f.opened(shown, service, strings.Trim(path, "'")); err == nil {
						err = f.talk(context.Background(), service, repository, false, true, channel, channel)
					}
				}
				var status struct{ Code uint32 }
				if err != nil {
					fmt.Fprintf(channel.Stderr(), "Forgejo: %v\n", err)
					status.Code = 1
				}
				_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
				return
			}
		}()
	}
}
