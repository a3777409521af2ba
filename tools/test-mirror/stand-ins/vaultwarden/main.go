// A stand-in for Vaultwarden, for tests without Alpine's package: it takes the same variables and files, lays out its
// data in the same way, fails where the real program fails, and answers the paths that health is asked by. It keeps
// no passwords. Its SQLite database, by the program `sqlite3`, which has to be there, holds the addresses that were
// invited; of PostgreSQL it asks only that somebody listens.
//
// Sources, of dani-garcia/vaultwarden 1.37: .env.template (names), src/util.rs (get_env: NAME or NAME_FILE, never both),
// src/config.rs (validate_config), src/main.rs (check_data_folder, check_web_vault, rsa keys), src/api/web.rs (/alive), src/api/admin.rs
// (post_admin_login, invite_user: 409 for who is there; three logins at once, then 429), src/api/identity.rs
// (register_verification_email: who is invited may register where others may not).
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
)

func fail(format string, words ...any) {
	fmt.Fprintf(os.Stderr, "vaultwarden stand-in: "+format+"\n", words...)
	os.Exit(12)
}

// setting is a variable, or the content of the file that NAME_FILE names.
func setting(name, preset string) string {
	value, direct := os.LookupEnv(name)
	path, file := os.LookupEnv(name + "_FILE")
	switch {
	case direct && file:
		fail("%s and %s_FILE are both defined", name, name)
	case file:
		content, err := os.ReadFile(path)
		if err != nil {
			fail("%s_FILE cannot be read: %v", name, err)
		}
		return strings.TrimSpace(string(content))
	case direct:
		return value
	}
	return preset
}

func flag(name string, preset bool) bool {
	switch value := setting(name, fmt.Sprint(preset)); strings.ToLower(value) {
	case "true", "t", "yes", "y", "1":
		return true
	case "false", "f", "no", "n", "0":
		return false
	default:
		fail("%s is neither true nor false: %s", name, value)
		return false
	}
}

func validate() {
	if domain := setting("DOMAIN", "http://localhost"); !strings.HasPrefix(domain, "http://") && !strings.HasPrefix(domain, "https://") {
		fail("DOMAIN needs to contain the protocol (http, https)")
	}
	token := setting("ADMIN_TOKEN", "")
	phc := regexp.MustCompile(`^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$`)
	if strings.HasPrefix(token, "$argon2") && !phc.MatchString(token) {
		fail("the configured Argon2 PHC in ADMIN_TOKEN is invalid")
	}
	switch security := setting("SMTP_SECURITY", "starttls"); security {
	case "starttls", "force_tls", "off":
	default:
		fail("SMTP_SECURITY is invalid: %s", security)
	}
	if (setting("SMTP_HOST", "") == "") != (setting("SMTP_FROM", "") == "") {
		fail("both SMTP_HOST and SMTP_FROM need to be set for email support")
	}
	if flag("PUSH_ENABLED", false) && (setting("PUSH_INSTALLATION_ID", "") == "" || setting("PUSH_INSTALLATION_KEY", "") == "") {
		fail("misconfigured push notification service")
	}
}

// onPostgres: the data is said to be kept there.
func onPostgres(address string) bool {
	return strings.HasPrefix(address, "postgresql://") || strings.HasPrefix(address, "postgres://")
}

// query runs statements by the image's own sqlite3, on its standard input.
func query(file, statements string) (string, error) {
	run := exec.Command("sqlite3", "-batch", "-bail", "-noheader", file)
	run.Stdin = strings.NewReader(".timeout 10000\n" + statements)
	var said bytes.Buffer
	run.Stderr = &said
	content, err := run.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return string(content), err
}

// quoted is a text as a literal of SQL.
func quoted(text string) string {
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// database gives what tells whether the database answers.
func database(address string) func() error {
	if !onPostgres(address) {
		file, err := os.OpenFile(address, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			fail("the SQLite database cannot be opened: %v", err)
		}
		file.Close()
		if _, err := query(address, "PRAGMA journal_mode = WAL;\nCREATE TABLE IF NOT EXISTS invitations (email TEXT NOT NULL PRIMARY KEY);\n"); err != nil {
			fail("the SQLite database cannot be used: %v", err)
		}
		return func() error {
			_, err := query(address, "SELECT count(*) FROM invitations;\n")
			return err
		}
	}
	parsed, err := url.Parse(address)
	if err != nil {
		fail("DATABASE_URL is no address")
	}
	return func() error {
		connection, err := net.DialTimeout("tcp", parsed.Host, 2*time.Second)
		if err == nil {
			connection.Close()
		}
		return err
	}
}

// key leaves a note where the real program makes an RSA key, which takes long on an emulated processor.
func key(path string) {
	if _, err := os.Stat(path); err == nil {
		return
	}
	if err := os.WriteFile(path, []byte("a stand-in for a key\n"), 0o600); err != nil {
		fail("the data folder cannot be written: %v", err)
	}
}

// matches tells whether the token is the one of which ADMIN_TOKEN holds the argon2id hash.
func matches(token, phc string) bool {
	var memory, passes, lanes uint32
	parts := strings.Split(phc, "$")
	if len(parts) != 6 {
		return subtle.ConstantTimeCompare([]byte(token), []byte(phc)) == 1
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false
	}
	salt, bad := base64.RawStdEncoding.DecodeString(parts[4])
	want, worse := base64.RawStdEncoding.DecodeString(parts[5])
	if bad != nil || worse != nil {
		return false
	}
	got := argon2.IDKey([]byte(token), salt, passes, memory, uint8(lanes), uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// admin answers the paths of the admin page that an invitation takes; what it gives tells who was invited.
func admin(file string) func(address string) bool {
	token := setting("ADMIN_TOKEN", "")
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		fail("no random numbers: %v", err)
	}
	cookie := base64.RawURLEncoding.EncodeToString(secret)
	var lock sync.Mutex
	logins := 0
	invited := func(address string) bool {
		if onPostgres(file) {
			return false
		}
		found, err := query(file, "SELECT email FROM invitations WHERE email = "+quoted(strings.ToLower(address))+";\n")
		return err == nil && found != ""
	}
	http.HandleFunc("GET /admin", func(answer http.ResponseWriter, _ *http.Request) {
		if token == "" {
			http.Error(answer, "The admin panel is disabled", http.StatusNotFound)
		}
	})
	http.HandleFunc("POST /admin", func(answer http.ResponseWriter, request *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		if logins++; logins > 3 {
			http.Error(answer, "Too many requests, try again later.", http.StatusTooManyRequests)
			return
		}
		if token == "" || !matches(request.PostFormValue("token"), token) {
			http.Error(answer, "Invalid admin token, please try again.", http.StatusUnauthorized)
			return
		}
		http.SetCookie(answer, &http.Cookie{Name: "VW_ADMIN", Value: cookie, Path: "/admin", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		http.Redirect(answer, request, "/admin", http.StatusSeeOther)
	})
	http.HandleFunc("POST /admin/invite", func(answer http.ResponseWriter, request *http.Request) {
		lock.Lock()
		defer lock.Unlock()
		if given, err := request.Cookie("VW_ADMIN"); err != nil || given.Value != cookie {
			http.Error(answer, "Unauthorized", http.StatusUnauthorized)
			return
		}
		var body struct{ Email string }
		if err := json.NewDecoder(request.Body).Decode(&body); err != nil || !strings.Contains(body.Email, "@") {
			http.Error(answer, "no address", http.StatusUnprocessableEntity)
			return
		}
		if invited(body.Email) {
			http.Error(answer, "User already exists", http.StatusConflict)
			return
		}
		err := errors.New("this stand-in does not speak to PostgreSQL")
		if !onPostgres(file) {
			_, err = query(file, "INSERT INTO invitations VALUES ("+quoted(strings.ToLower(body.Email))+");\n")
		}
		if err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
		}
	})
	return invited
}

func main() {
	validate()
	data := setting("DATA_FOLDER", "data")
	if found, err := os.Stat(data); err != nil || !found.IsDir() {
		fail("data folder %s doesn't exist", data)
	}
	address := setting("DATABASE_URL", filepath.Join(data, "db.sqlite3"))
	answers := database(address)
	key(filepath.Join(data, "rsa_key.pem"))
	web := setting("WEB_VAULT_FOLDER", "web-vault/")
	if flag("WEB_VAULT_ENABLED", true) {
		if _, err := os.Stat(filepath.Join(web, "index.html")); err != nil {
			fail("web vault is not found at %s", web)
		}
		http.Handle("/", http.FileServer(http.Dir(web)))
	}
	alive := func(answer http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodHead && answers() != nil {
			http.Error(answer, "no database", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(answer, "%q", time.Now().UTC().Format(time.RFC3339Nano))
	}
	http.HandleFunc("/alive", alive)
	http.HandleFunc("/api/alive", alive)
	open := flag("SIGNUPS_ALLOWED", true)
	invited := admin(address)
	http.HandleFunc("POST /identity/accounts/register/send-verification-email", func(answer http.ResponseWriter, request *http.Request) {
		var body struct{ Email string }
		_ = json.NewDecoder(request.Body).Decode(&body)
		if !open && !invited(body.Email) {
			http.Error(answer, "Registration not allowed or user already exists", http.StatusBadRequest)
		}
	})
	listen := setting("ROCKET_ADDRESS", "127.0.0.1") + ":" + setting("ROCKET_PORT", "8000")
	fmt.Printf("vaultwarden stand-in on %s\n", listen)
	fail("%v", http.ListenAndServe(listen, nil))
}
