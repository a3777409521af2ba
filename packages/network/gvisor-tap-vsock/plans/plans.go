// Package plans reads what the launch plans of a device say about its virtual machines.
package plans

import (
	"io/fs"
	"strconv"
	"strings"
)

// GiveCID tells whether a slot of a service in that folder starts its machine with this vsock address. The arguments of
// the VMM say so, `--cid` or `--vsock` and the value, one a line in SERVICE/SLOT/argv.N (docs/formats.md, "Launch plan").
// They are read each time: a deploy may have changed them, and a guest joins rarely.
func GiveCID(services fs.FS, cid uint32) bool {
	files, err := fs.Glob(services, "*/[ab]/argv.*")
	if err != nil {
		return false
	}
	for _, name := range files {
		// A slot that is replaced just now is not there for a moment. The guest comes again in a second.
		text, err := fs.ReadFile(services, name)
		if err == nil && argumentsGive(strings.Split(string(text), "\n"), cid) {
			return true
		}
	}
	return false
}

func argumentsGive(arguments []string, cid uint32) bool {
	for i := 1; i < len(arguments); i++ {
		value := ""
		switch arguments[i-1] {
		case "--cid":
			value = arguments[i]
		case "--vsock":
			first, _, _ := strings.Cut(arguments[i], ",")
			value, _ = strings.CutPrefix(first, "cid=")
		}
		given, err := strconv.ParseUint(value, 10, 32)
		if err == nil && uint32(given) == cid {
			return true
		}
	}
	return false
}
