// Apko solves and unpacks Alpine's packages, made of apko's own parts.
//
// Not the program of that name: that one goes on from an unpacked root file system to an image for containers, and
// compresses it for that, which takes longer than all that comes before.
//
//	apko version
//		says which apko it is made of
//	apko show-packages -arch ARCH CONFIG
//		prints NAME VERSION SOURCE of every package that a configuration comes to, in the order of installation
//	apko unpack -arch ARCH -lock FILE [limits] CONFIG TAR RECORD
//		unpacks the packages of a lock, writes the root file system as a tar, and prints the SHA-256 of the tar.
//		The record is a file of JSON: what the packages hold, as their own headers say it, which the tar forgets
//		in part, and the package that every file is from. It is also left where unpacking fails: then it
//		goes as far as that.
//
// What it needs beside its arguments lies below the folder `cache`. It never reaches the network.
package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	iofs "io/fs"
	"log"
	"os"
	"runtime/debug"

	"chainguard.dev/apko/pkg/apk/apk"
	"chainguard.dev/apko/pkg/apk/fs"
	"chainguard.dev/apko/pkg/build"
	"chainguard.dev/apko/pkg/build/types"
	"chainguard.dev/apko/pkg/options"
	"chainguard.dev/apko/pkg/tarfs"
)

const module = "chainguard.dev/apko"

// Where apko keeps in an image what it installed (apk-tools, src/database.c).
const installed = "usr/lib/apk/db/installed"

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		log.Fatalf("error during command execution: %v", err)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("no command is named")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	arch := flags.String("arch", "", "architecture in Alpine's spelling")
	lock := flags.String("lock", "", "apko's lock of the packages to unpack")
	limits := options.DefaultSizeLimits()
	flags.Int64Var(&limits.APKControlMaxSize, "max-control", limits.APKControlMaxSize,
		"most bytes that what a package says of itself may unpack to")
	flags.Int64Var(&limits.APKDataMaxSize, "max-data", limits.APKDataMaxSize,
		"most bytes that the files of a package may unpack to")
	flags.Int64Var(&limits.APKIndexDecompressedMaxSize, "max-index", limits.APKIndexDecompressedMaxSize,
		"most bytes that an index may unpack to")
	files := flags.Int("max-files", 0, "most files that all packages may hold")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	opened := func(config string) []build.Option {
		return []build.Option{
			build.WithConfig(config, nil),
			build.WithArch(types.ParseArchitecture(*arch)),
			build.WithCache("cache", true, apk.NewCache(true)),
			build.WithSizeLimits(limits),
		}
	}
	switch paths := flags.Args(); {
	case args[0] == "version" && len(paths) == 0:
		return version()
	case args[0] == "show-packages" && *arch != "" && len(paths) == 1:
		return showPackages(ctx, opened(paths[0]))
	case args[0] == "unpack" && *arch != "" && *lock != "" && len(paths) == 3:
		root := &recorder{filesystem: tarfs.New(), most: *files}
		return unpack(ctx, append(opened(paths[0]), build.WithLockFile(*lock)), root, paths[1], paths[2])
	default:
		return fmt.Errorf("this is no command: %v", args)
	}
}

func version() error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return errors.New("the program does not say what it is made of")
	}
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			fmt.Println(dependency.Version)
			return nil
		}
	}
	return fmt.Errorf("the program is not made of %s", module)
}

func showPackages(ctx context.Context, opts []build.Option) error {
	bc, err := build.New(ctx, tarfs.New(), opts...)
	if err != nil {
		return err
	}
	packages, _, err := bc.BuildPackageList(ctx)
	if err != nil {
		return fmt.Errorf("failed to get package list for image: %w", err)
	}
	for _, one := range packages {
		fmt.Println(one.Name, one.Version, one.URL())
	}
	return nil
}

// What a package says of a file of its own.
type entry struct {
	Package string `json:"package"`
	Path    string `json:"path"`
	// As in the header of a tar.
	Type  string `json:"type"`
	Link  string `json:"link"`
	Mode  int64  `json:"mode"`
	User  string `json:"user"`
	Group string `json:"group"`
}

// What was unpacked.
type record struct {
	Entries []entry `json:"entries"`
	// apk's database of what is installed (apk-tools, src/database.c).
	Installed string `json:"installed"`
}

// A root file system that takes down what is put into it, before it is.
type recorder struct {
	filesystem
	record
	most int
}

type filesystem interface {
	fs.FullFS
	apk.WriteHeaderer
}

func (r *recorder) WriteHeader(header tar.Header, files iofs.FS, of *apk.Package) (bool, error) {
	if len(r.Entries) == r.most {
		return false, fmt.Errorf("the packages hold more than %d files", r.most)
	}
	r.Entries = append(r.Entries, entry{
		Package: of.Name,
		Path:    header.Name,
		Type:    string(header.Typeflag),
		Link:    header.Linkname,
		Mode:    header.Mode & 0o7777,
		User:    header.Uname,
		Group:   header.Gname,
	})
	return r.filesystem.WriteHeader(header, files, of)
}

func (r *recorder) write(path string) error {
	text, err := json.Marshal(r.record)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

func unpack(ctx context.Context, opts []build.Option, root *recorder, target, path string) error {
	digest, err := writeTar(ctx, append(opts, build.WithBuildDate(""), build.WithTarball(target)), root)
	if err := errors.Join(err, root.write(path)); err != nil {
		return err
	}
	fmt.Println(digest)
	return nil
}

func writeTar(ctx context.Context, opts []build.Option, root *recorder) (string, error) {
	bc, err := build.New(ctx, root, opts...)
	if err != nil {
		return "", err
	}
	_, layer, err := bc.BuildLayer(ctx)
	if err != nil {
		return "", err
	}
	database, err := root.ReadFile(installed)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", installed, err)
	}
	root.Installed = string(database)
	digest, err := layer.DiffID()
	return digest.Hex, err
}
