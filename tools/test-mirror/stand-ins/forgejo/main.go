// A stand-in for Forgejo, for tests without Alpine's package: it takes the same commands, flags and app.ini, lays out
// its data in the same way, refuses keys of app.ini that it does not know, fails where the real program fails, and
// answers the paths that health and the first administrator need. Its repositories are in git.go, their large files
// in lfs.go. Its accounts are in a SQLite database, by the program `sqlite3`, which has to be there; not with PostgreSQL.
//
// Sources, of Forgejo 15: custom/conf/app.example.ini (keys), docs/admin/command-line.md (commands and flags),
// docs/user/api-usage.md (tokens, PATCH /admin/users, /user/repos, /user/keys, /repos/OWNER/NAME/keys),
// docs/user/token-scope.md (what a token may), services/auth/basic.go (a token in the place of a password),
// routers/web/healthcheck (200 or 503), modules/ssh/ssh.go (the user is that of the settings, a key is of one user),
// cmd/admin_user_delete.go (an owner of repositories goes by --purge alone).
package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func fail(format string, words ...any) {
	fmt.Fprintf(os.Stderr, "forgejo stand-in: "+format+"\n", words...)
	os.Exit(1)
}

var known = map[string]string{
	"":         "APP_NAME RUN_USER WORK_PATH",
	"server":   "ROOT_URL HTTP_ADDR HTTP_PORT START_SSH_SERVER SSH_DOMAIN SSH_USER BUILTIN_SSH_SERVER_USER SSH_PORT SSH_LISTEN_PORT SSH_SERVER_HOST_KEYS LFS_START_SERVER LFS_JWT_SECRET_URI OFFLINE_MODE",
	"security": "INSTALL_LOCK SECRET_KEY_URI INTERNAL_TOKEN_URI",
	"oauth2":   "JWT_SECRET_URI",
	"service":  "DISABLE_REGISTRATION",
	"log":      "MODE LEVEL",
	"database": "DB_TYPE PATH HOST NAME USER PASSWD",
}

// settings reads app.ini into SECTION.KEY.
func settings(path string) map[string]string {
	file, err := os.Open(path)
	if err != nil {
		fail("app.ini cannot be read: %v", err)
	}
	defer file.Close()
	found := map[string]string{}
	section := ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == ';' || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]")
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !strings.Contains(" "+known[section]+" ", " "+name+" ") {
			fail("app.ini: unknown key %s in [%s]", name, section)
		}
		found[section+"."+name] = strings.TrimSpace(value)
	}
	return found
}

func secretIn(uri string) {
	content, err := os.ReadFile(strings.TrimPrefix(uri, "file:"))
	if err != nil || len(content) == 0 {
		fail("the secret of %s cannot be read: %v", uri, err)
	}
}

var safeScope = regexp.MustCompile(`^(all|(read|write):(activitypub|admin|issue|misc|notification|organization|package|repository|user))$`)

type user struct {
	Email, Password string
	Admin           bool
	// Its password alone opens nothing then (docs/user/api-usage.md, "Using Basic Authentication").
	SecondFactor bool
	Tokens       map[string]token
	// By the fingerprints of SSH keys.
	Keys map[string]sshKey `json:",omitempty"`
	// Names of repositories.
	Repositories []string `json:",omitempty"`
	// Large files by repository.
	Objects map[string][]string `json:",omitempty"`
}

type token struct {
	Digest string
	// Scopes as `read:repository`; what one may write, it may read.
	Scopes []string
}

// sshKey: a deploy key opens one repository, the others all of the user's.
type sshKey struct {
	Opens    string
	Text     string
	ReadOnly bool
}

// store is what the accounts are: rows of a SQLite database at the path of the real one; a file in its place where
// they are said to be kept by PostgreSQL, which this speaks not to.
type store struct {
	path  string
	file  bool
	read  map[string]string
	Users map[string]*user
}

func open(ini map[string]string) *store {
	kept := &store{path: ini["database.PATH"], Users: map[string]*user{}}
	var content []byte
	if ini["database.DB_TYPE"] == "postgres" {
		connection, err := net.DialTimeout("tcp", ini["database.HOST"], 5*time.Second)
		if err != nil {
			fail("the database does not answer: %v", err)
		}
		connection.Close()
		kept.path = filepath.Join(ini[".WORK_PATH"], "data", "stand-in.json")
		kept.file = true
		content, err = os.ReadFile(kept.path)
		if err != nil && !os.IsNotExist(err) {
			fail("the database cannot be read: %v", err)
		}
	} else {
		content = kept.query("SELECT json_group_object(name, json(content)) FROM user;\n")
	}
	if len(content) > 0 {
		if err := json.Unmarshal(content, &kept.Users); err != nil {
			fail("the database is damaged: %v", err)
		}
	}
	kept.read = kept.rows()
	return kept
}

// query runs statements by the image's own sqlite3, on its standard input: they hold secrets. A database that is not
// there is made, in the mode that Forgejo has it in.
func (kept *store) query(statements string) []byte {
	made, err := os.OpenFile(kept.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		fail("the database cannot be opened: %v", err)
	}
	found, err := made.Stat()
	made.Close()
	if err == nil && found.Size() == 0 {
		statements = schema + statements
	}
	run := exec.Command("sqlite3", "-batch", "-bail", "-noheader", kept.path)
	run.Stdin = strings.NewReader(".timeout 10000\n" + statements)
	var said bytes.Buffer
	run.Stderr = &said
	content, err := run.Output()
	if err != nil {
		fail("the database cannot be used: %v: %s", err, strings.TrimSpace(said.String()))
	}
	return content
}

const schema = `.output /dev/null
PRAGMA journal_mode = WAL;
.output stdout
CREATE TABLE IF NOT EXISTS user (name TEXT PRIMARY KEY, content TEXT NOT NULL);
`

// rows is what the database holds of each user.
func (kept *store) rows() map[string]string {
	rows := map[string]string{}
	for name, one := range kept.Users {
		content, _ := json.Marshal(one)
		rows[name] = string(content)
	}
	return rows
}

// save writes the users that were changed: others may be changed by another process meanwhile.
func (kept *store) save() {
	if kept.file {
		content, _ := json.Marshal(kept.Users)
		if err := os.WriteFile(kept.path+".new", content, 0o600); err != nil {
			fail("the database cannot be written: %v", err)
		}
		if err := os.Rename(kept.path+".new", kept.path); err != nil {
			fail("the database cannot be written: %v", err)
		}
		return
	}
	rows := kept.rows()
	statements := "BEGIN IMMEDIATE;\n"
	for name, content := range rows {
		if kept.read[name] != content {
			statements += fmt.Sprintf("INSERT OR REPLACE INTO user VALUES (%s, %s);\n", quoted(name), quoted(content))
		}
	}
	for name := range kept.read {
		if _, there := rows[name]; !there {
			statements += fmt.Sprintf("DELETE FROM user WHERE name = %s;\n", quoted(name))
		}
	}
	kept.query(statements + "COMMIT;\n")
	kept.read = rows
}

// quoted is a text as a literal of SQL.
func quoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func random() string {
	bytes := make([]byte, 20)
	_, _ = rand.Read(bytes)
	return hex.EncodeToString(bytes)
}

// who is the user that a request's credentials are of, where these may do what the scope says: `read:user`, say.
func (kept *store) who(request *http.Request, scope string) (string, *user) {
	name, secret, basic := request.BasicAuth()
	if !basic {
		secret = strings.TrimPrefix(request.Header.Get("Authorization"), "token ")
	}
	for owner, one := range kept.Users {
		if basic && name == owner && one.Password == digest(secret) && !one.SecondFactor {
			return owner, one
		}
		for _, made := range one.Tokens {
			if made.Digest == digest(secret) && made.may(scope) {
				return owner, one
			}
		}
	}
	return "", nil
}

func (one token) may(scope string) bool {
	return slices.ContainsFunc(one.Scopes, func(given string) bool {
		return given == "all" || given == scope || given == strings.Replace(scope, "read:", "write:", 1)
	})
}

func serve(ini map[string]string) {
	for _, key := range []string{"security.SECRET_KEY_URI", "security.INTERNAL_TOKEN_URI", "oauth2.JWT_SECRET_URI", "server.LFS_JWT_SECRET_URI"} {
		secretIn(ini[key])
	}
	if ini["security.INSTALL_LOCK"] != "true" {
		fail("the installer is open")
	}
	if kept := open(ini); kept.file {
		kept.save()
	} else {
		// A database that was restored is in another mode.
		kept.query(schema)
	}
	served := forge{ini, filepath.Join(ini[".WORK_PATH"], repositories)}
	served.serveSSH()
	served.handle()
	served.handleLFS()
	http.HandleFunc("GET /api/healthz", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(answer, `{"status":"pass"}`)
	})
	http.HandleFunc("GET /user/sign_up", func(answer http.ResponseWriter, _ *http.Request) {
		if ini["service.DISABLE_REGISTRATION"] == "true" {
			fmt.Fprint(answer, "Registration is disabled. Please contact your site administrator.")
			return
		}
		fmt.Fprint(answer, `<form action="/user/sign_up" method="post">`)
	})
	http.HandleFunc("GET /api/v1/user", func(answer http.ResponseWriter, request *http.Request) {
		name, one := open(ini).who(request, "read:user")
		if one == nil {
			http.Error(answer, "user does not exist", http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(answer).Encode(map[string]any{"login": name, "email": one.Email, "is_admin": one.Admin})
	})
	http.HandleFunc("PATCH /api/v1/admin/users/{name}", func(answer http.ResponseWriter, request *http.Request) {
		kept := open(ini)
		_, by := kept.who(request, "write:admin")
		one := kept.Users[request.PathValue("name")]
		if by == nil || !by.Admin || one == nil {
			http.Error(answer, "forbidden", http.StatusForbidden)
			return
		}
		var change struct{ Password string }
		if err := json.NewDecoder(request.Body).Decode(&change); err != nil || change.Password == "" {
			http.Error(answer, "unprocessable", http.StatusUnprocessableEntity)
			return
		}
		one.Password = digest(change.Password)
		kept.save()
		fmt.Fprint(answer, "{}")
	})
	http.HandleFunc("DELETE /api/v1/users/{name}/tokens/{token}", func(answer http.ResponseWriter, request *http.Request) {
		kept := open(ini)
		name, one := kept.who(request, "write:user")
		if one == nil || name != request.PathValue("name") {
			http.Error(answer, "unauthorized", http.StatusUnauthorized)
			return
		}
		delete(one.Tokens, request.PathValue("token"))
		kept.save()
		answer.WriteHeader(http.StatusNoContent)
	})
	fail("%v", http.ListenAndServe(ini["server.HTTP_ADDR"]+":"+ini["server.HTTP_PORT"], nil))
}

// options splits `--name value`, `--name=value` and words.
func options(argv []string, switches string) (words []string, given map[string]string) {
	given = map[string]string{}
	for at := 0; at < len(argv); at++ {
		name, value, set := strings.Cut(argv[at], "=")
		if !strings.HasPrefix(name, "--") {
			words = append(words, argv[at])
			continue
		}
		name = strings.TrimPrefix(name, "--")
		if !set && strings.Contains(" "+switches+" ", " "+name+" ") {
			value = "true"
		} else if !set {
			if at++; at == len(argv) {
				fail("flag needs an argument: --%s", name)
			}
			value = argv[at]
		}
		given[name] = value
	}
	return words, given
}

func main() {
	words, given := options(os.Args[1:], "admin random-password must-change-password raw restricted purge")
	command := strings.Join(words, " ")
	if os.Geteuid() == 0 {
		fail("Forgejo is not supposed to be run as root")
	}
	if len(words) == 3 && words[0] == "generate" && words[1] == "secret" {
		switch words[2] {
		case "SECRET_KEY", "INTERNAL_TOKEN", "JWT_SECRET", "LFS_JWT_SECRET":
			fmt.Print(base64.RawURLEncoding.EncodeToString([]byte(random())))
			return
		}
		fail("no such secret: %s", words[2])
	}
	ini := settings(given["config"])
	if found, err := os.Stat(given["work-path"]); err != nil || !found.IsDir() {
		fail("the work path is missing: %v", err)
	}
	ini[".WORK_PATH"] = given["work-path"]
	switch command {
	case "web":
		serve(ini)
	case "admin user list":
		fmt.Println("ID   Username Email IsActive")
		for name, one := range open(ini).Users {
			if one.Admin || given["admin"] == "" {
				fmt.Printf("1    %s %s true\n", name, one.Email)
			}
		}
	case "admin user create":
		kept := open(ini)
		if given["username"] == "admin" || kept.Users[given["username"]] != nil {
			fail("CreateUser: name is reserved or user already exists [name: %s]", given["username"])
		}
		for _, one := range kept.Users {
			if one.Email == given["email"] {
				fail("CreateUser: e-mail already in use [email: %s]", given["email"])
			}
		}
		password := random()
		kept.Users[given["username"]] = &user{Email: given["email"], Password: digest(password), Admin: given["admin"] == "true", Tokens: map[string]token{}}
		kept.save()
		fmt.Printf("generated random password is '%s'\nNew user '%s' has been successfully created!\n", password, given["username"])
	case "admin user delete":
		kept := open(ini)
		one := kept.Users[given["username"]]
		if one == nil {
			fail("user does not exist [name: %s]", given["username"])
		}
		if len(one.Repositories) > 0 && given["purge"] != "true" {
			fail("user still has ownership of repositories [name: %s]", given["username"])
		}
		if err := os.RemoveAll(filepath.Join(ini[".WORK_PATH"], repositories, given["username"])); err != nil {
			fail("the repositories cannot be deleted: %v", err)
		}
		delete(kept.Users, given["username"])
		kept.save()
	case "admin user generate-access-token":
		kept := open(ini)
		one := kept.Users[given["username"]]
		if one == nil {
			fail("user does not exist")
		}
		if _, taken := one.Tokens[given["token-name"]]; taken {
			fail("access token name has been used already")
		}
		scopes := strings.Split(given["scopes"], ",")
		for _, scope := range scopes {
			if !safeScope.MatchString(scope) {
				fail("invalid access token scope provided: %s", scope)
			}
		}
		made := random()
		one.Tokens[given["token-name"]] = token{digest(made), scopes}
		kept.save()
		fmt.Println(made)
	default:
		fail("no such command: %s", command)
	}
}
