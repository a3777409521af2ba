package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"os"
	"strings"
	"time"

	"sovereign/gvisor-tap-vsock/call"
)

const (
	// Bytes of a message: ntfy makes an attachment of what is longer (https://docs.ntfy.sh/publish/#limitations).
	longestMessage = 4000
	notifyWait     = 30 * time.Second
)

// notify sends what is on `message` to where a file says (docs/formats.md, "Messages"). That file is the owner's secret:
// no error repeats any part of it.
func notify(file, authorities string, message io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(message, longestMessage))
	if err != nil {
		return err
	}
	request, kind, title, err := readNotify(file)
	if err != nil {
		return err
	}
	request.Authorities = authorities
	body := strings.ToValidUTF8(strings.TrimSpace(string(text)), "")
	switch kind {
	case "ntfy":
		// https://docs.ntfy.sh/publish/: the message is the body, and titles beyond ASCII are as RFC 2047 has them.
		request.Fields = []string{"Content-Type: text/plain; charset=utf-8", "Title: " + mime.QEncoding.Encode("utf-8", title)}
		request.Body = []byte(body)
	case "webhook":
		// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks: what Slack takes, Mattermost,
		// Rocket.Chat and many others take too.
		request.Fields = []string{"Content-Type: application/json"}
		request.Body, err = json.Marshal(map[string]string{"text": title + ": " + body})
		if err != nil {
			return err
		}
	}
	return request.Send()
}

// readNotify reads `KEY VALUE` lines: `ntfy` or `webhook` with an address, `title`, and `dns`, any number of them.
func readNotify(file string) (request call.Request, kind, title string, err error) {
	settings, err := os.Open(file)
	if err != nil {
		return request, "", "", err
	}
	defer settings.Close()
	request.Wait = notifyWait
	title = "Sovereign"
	lines := bufio.NewScanner(settings)
	for lines.Scan() {
		switch key, value, _ := strings.Cut(lines.Text(), " "); key {
		case "ntfy", "webhook":
			kind, request.Address = key, value
		case "title":
			title = value
		case "dns":
			request.Resolvers = append(request.Resolvers, value)
		case "schema", "":
		default:
			return request, "", "", errors.New(file + ": it has a line that is not known")
		}
	}
	if kind == "" {
		return request, "", "", errors.New(file + ": it names neither ntfy nor webhook")
	}
	return request, kind, title, lines.Err()
}
