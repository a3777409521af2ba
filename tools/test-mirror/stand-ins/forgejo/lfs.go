package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Large files by Git LFS: the batch API with basic transfers, and git-lfs-authenticate over SSH. Locks are not there.
//
// Sources: services/lfs/server.go (paths, statuses, what is asked of whom), cmd/serv.go (git-lfs-authenticate),
// modules/lfs/pointer.go (where an object lies), git-lfs' docs/api/{batch,basic-transfers,authentication}.md.

const (
	mediaType = "application/vnd.git-lfs+json"
	// LFS_HTTP_AUTH_EXPIRY
	lfsExpiry = 24 * time.Hour
)

var objectID = regexp.MustCompile(`^[0-9a-f]{64}$`)

type pointer struct {
	Oid  string `json:"oid"`
	Size int64  `json:"size"`
}

type lfsClaims struct {
	Name, Repository, Op string
	Exp                  int64 `json:"exp"`
}

type lfsLink struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header"`
}

func (f forge) lfsSecret() []byte {
	content, err := os.ReadFile(strings.TrimPrefix(f.ini["server.LFS_JWT_SECRET_URI"], "file:"))
	if err != nil {
		fail("the secret of LFS cannot be read: %v", err)
	}
	return content
}

func (f forge) lfsSign(body string) string {
	sum := hmac.New(sha256.New, f.lfsSecret())
	sum.Write([]byte(body))
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}

// lfsToken lets who has shown an SSH key transfer objects of one repository in one direction.
func (f forge) lfsToken(claims lfsClaims) string {
	content, _ := json.Marshal(claims)
	body := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(content)
	return body + "." + f.lfsSign(body)
}

// lfsClaims are those of a token that was signed here and holds still.
func (f forge) lfsClaims(token string) (claims lfsClaims, ok bool) {
	at := strings.LastIndex(token, ".")
	if at < 0 || !hmac.Equal([]byte(f.lfsSign(token[:at])), []byte(token[at+1:])) {
		return claims, false
	}
	_, encoded, _ := strings.Cut(token[:at], ".")
	content, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || json.Unmarshal(content, &claims) != nil {
		return claims, false
	}
	return claims, time.Now().Unix() < claims.Exp
}

func (f forge) lfsAddress(repository string) string {
	return strings.TrimSuffix(f.ini["server.ROOT_URL"], "/") + repository + "/info/lfs"
}

// lfsAuthenticate answers `git-lfs-authenticate PATH upload|download` of who has shown a key.
func (f forge) lfsAuthenticate(shown map[string]string, words []string, out io.Writer) error {
	if f.ini["server.LFS_START_SERVER"] != "true" {
		return fmt.Errorf("Unknown git command")
	}
	if len(words) != 2 || words[1] != "upload" && words[1] != "download" {
		return fmt.Errorf("Unknown LFS verb")
	}
	service := map[string]string{"upload": "git-receive-pack", "download": "git-upload-pack"}[words[1]]
	repository, err := f.opened(shown, service, strings.Trim(words[0], "'"))
	if err != nil {
		return err
	}
	token := f.lfsToken(lfsClaims{shown["name"], repository, words[1], time.Now().Add(lfsExpiry).Unix()})
	return json.NewEncoder(out).Encode(lfsLink{f.lfsAddress(repository), map[string]string{"Authorization": "Bearer " + token}})
}

// lfsAsked is the repository of a request, where its credentials open that; else the request is answered.
func (f forge) lfsAsked(answer http.ResponseWriter, request *http.Request, write bool) (string, *user, *store) {
	scope := "read:repository"
	if write {
		scope = "write:repository"
	}
	kept := open(f.ini)
	name, one := kept.who(request, scope)
	path := request.PathValue("owner") + "/" + request.PathValue("repository")
	if token, found := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer "); found {
		claims, ok := f.lfsClaims(token)
		if ok && claims.Repository == "/"+path && (!write || claims.Op == "upload") {
			name, one = claims.Name, kept.Users[claims.Name]
		}
	}
	if one == nil {
		answer.Header().Set("WWW-Authenticate", `Basic realm="gitea-lfs"`)
		lfsStatus(answer, http.StatusUnauthorized)
		return "", nil, nil
	}
	repository, err := f.repository(name, one, path)
	if err != nil {
		lfsStatus(answer, http.StatusNotFound)
		return "", nil, nil
	}
	return repository, one, kept
}

func lfsStatus(answer http.ResponseWriter, status int) {
	answer.Header().Set("Content-Type", mediaType)
	answer.WriteHeader(status)
	_ = json.NewEncoder(answer).Encode(map[string]string{"message": http.StatusText(status)})
}

func (f forge) lfsObject(oid string) string {
	return filepath.Join(f.ini[".WORK_PATH"], "data/lfs", oid[:2], oid[2:4], oid[4:])
}

// lfsHas: the repository has the object, and its file is there.
func (f forge) lfsHas(one *user, repository string, asked pointer) bool {
	found, err := os.Stat(f.lfsObject(asked.Oid))
	return slices.Contains(one.Objects[repository], asked.Oid) && err == nil && found.Size() == asked.Size
}

func (f forge) lfsBatch(answer http.ResponseWriter, request *http.Request) {
	if accepted, _, _ := strings.Cut(request.Header.Get("Accept"), ";"); accepted != mediaType {
		lfsStatus(answer, http.StatusUnsupportedMediaType)
		return
	}
	var batch struct {
		Operation string
		Objects   []pointer
	}
	if err := json.NewDecoder(request.Body).Decode(&batch); err != nil || batch.Operation != "upload" && batch.Operation != "download" {
		lfsStatus(answer, http.StatusBadRequest)
		return
	}
	upload := batch.Operation == "upload"
	repository, one, _ := f.lfsAsked(answer, request, upload)
	if one == nil {
		return
	}
	base := f.lfsAddress(repository)
	header := map[string]string{"Authorization": request.Header.Get("Authorization")}
	objects := []map[string]any{}
	for _, asked := range batch.Objects {
		object := map[string]any{"oid": asked.Oid, "size": asked.Size}
		has := objectID.MatchString(asked.Oid) && f.lfsHas(one, repository, asked)
		switch {
		case !objectID.MatchString(asked.Oid) || asked.Size < 0:
			object["error"] = map[string]any{"code": http.StatusUnprocessableEntity, "message": "Oid or size are invalid"}
		case upload && !has:
			object["actions"] = map[string]lfsLink{
				"upload": {fmt.Sprintf("%s/objects/%s/%d", base, asked.Oid, asked.Size), header},
				"verify": {base + "/verify", map[string]string{"Authorization": header["Authorization"], "Accept": mediaType}},
			}
		case !upload && has:
			object["actions"] = map[string]lfsLink{"download": {base + "/objects/" + asked.Oid, header}}
		case !upload:
			object["error"] = map[string]any{"code": http.StatusNotFound, "message": http.StatusText(http.StatusNotFound)}
		}
		objects = append(objects, object)
	}
	answer.Header().Set("Content-Type", mediaType)
	_ = json.NewEncoder(answer).Encode(map[string]any{"objects": objects})
}

func (f forge) lfsUpload(answer http.ResponseWriter, request *http.Request) {
	oid := request.PathValue("oid")
	size, err := strconv.ParseInt(request.PathValue("size"), 10, 64)
	if err != nil || !objectID.MatchString(oid) {
		lfsStatus(answer, http.StatusUnprocessableEntity)
		return
	}
	repository, one, kept := f.lfsAsked(answer, request, true)
	if one == nil {
		return
	}
	path := f.lfsObject(oid)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		lfsStatus(answer, http.StatusInternalServerError)
		return
	}
	file, err := os.CreateTemp(filepath.Dir(path), "new")
	if err != nil {
		lfsStatus(answer, http.StatusInternalServerError)
		return
	}
	defer os.Remove(file.Name())
	defer file.Close()
	sum := sha256.New()
	written, err := io.Copy(io.MultiWriter(file, sum), request.Body)
	if err != nil {
		lfsStatus(answer, http.StatusInternalServerError)
		return
	}
	if written != size || hex.EncodeToString(sum.Sum(nil)) != oid {
		lfsStatus(answer, http.StatusUnprocessableEntity)
		return
	}
	if err := os.Rename(file.Name(), path); err != nil {
		lfsStatus(answer, http.StatusInternalServerError)
		return
	}
	if one.Objects == nil {
		one.Objects = map[string][]string{}
	}
	if !slices.Contains(one.Objects[repository], oid) {
		one.Objects[repository] = append(one.Objects[repository], oid)
	}
	kept.save()
	lfsStatus(answer, http.StatusOK)
}

func (f forge) lfsVerify(answer http.ResponseWriter, request *http.Request) {
	var asked pointer
	if err := json.NewDecoder(request.Body).Decode(&asked); err != nil || !objectID.MatchString(asked.Oid) {
		lfsStatus(answer, http.StatusUnprocessableEntity)
		return
	}
	repository, one, _ := f.lfsAsked(answer, request, true)
	if one == nil {
		return
	}
	if !f.lfsHas(one, repository, asked) {
		lfsStatus(answer, http.StatusNotFound)
		return
	}
	lfsStatus(answer, http.StatusOK)
}

func (f forge) lfsDownload(answer http.ResponseWriter, request *http.Request) {
	oid := request.PathValue("oid")
	if !objectID.MatchString(oid) {
		lfsStatus(answer, http.StatusUnprocessableEntity)
		return
	}
	repository, one, _ := f.lfsAsked(answer, request, false)
	if one == nil {
		return
	}
	if !slices.Contains(one.Objects[repository], oid) {
		lfsStatus(answer, http.StatusNotFound)
		return
	}
	answer.Header().Set("Content-Type", "application/octet-stream")
	http.ServeFile(answer, request, f.lfsObject(oid))
}

func (f forge) handleLFS() {
	if f.ini["server.LFS_START_SERVER"] != "true" {
		return
	}
	const base = "/{owner}/{repository}/info/lfs/"
	http.HandleFunc("POST "+base+"objects/batch", f.lfsBatch)
	http.HandleFunc("PUT "+base+"objects/{oid}/{size}", f.lfsUpload)
	http.HandleFunc("GET "+base+"objects/{oid}", f.lfsDownload)
	http.HandleFunc("POST "+base+"verify", f.lfsVerify)
}
