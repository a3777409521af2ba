package plans

import (
	"testing"
	"testing/fstest"
)

func arguments(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func TestGiveCID(t *testing.T) {
	services := fstest.MapFS{
		"sql/a/argv.1":      arguments("crosvm\nrun\n--vsock\ncid=102\n--mem\nsize=512\n"),
		"sql/a/argv.2":      arguments("crosvm\nrun\n--cid\n102\n--mem\n512\n"),
		"sql/b/argv.1":      arguments("crosvm\n--vsock\ncid=103,device=/dev/vhost-vsock\n"),
		"forge/a/argv.1":    arguments("crosvm\n--cid\n104"),
		"tapped/a/argv.1":   arguments("crosvm\n--net\ntap-name=sov-tapped\n--mem\n105\n"),
		"sql/a.new/argv.1":  arguments("crosvm\n--cid\n106\n"),
		"sql/state/argv.1":  arguments("crosvm\n--cid\n107\n"),
		"sql/a/launch":      arguments("--cid\n108\n"),
		"broken/a/argv.1":   arguments("crosvm\n--vsock\n--cid\n"),
		"broken/b/argv.1":   arguments("crosvm\n--cid\n4294967405\n--vsock\ncid=\n--cid"),
		"sql/a/log/argv.12": arguments("--cid\n109\n"),
	}
	for cid, given := range map[uint32]bool{
		102: true, 103: true, 104: true,
		// Neither the phone itself nor another program's machine.
		0: false, 1: false, 2: false, 3: false, 2048: false, 4294967295: false,
		// Not an address of a machine, not of a slot, not the arguments, and 2^32 more than 109.
		105: false, 106: false, 107: false, 108: false, 109: false,
	} {
		if GiveCID(services, cid) != given {
			t.Errorf("CID %d: want %v", cid, given)
		}
	}
}

func TestNoServices(t *testing.T) {
	if GiveCID(fstest.MapFS{}, 102) {
		t.Error("a device without a service gives a CID")
	}
}
