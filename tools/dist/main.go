// Command dist makes the files that a release hands out, from the repository's
// folder into dist/: static programs, their bills of materials (CycloneDX), the
// licences of what is linked in, checksums, and Debian packages.
//
//	dist [-root ../..] [-out dist] [-version V] [-targets linux/amd64,…] [-again linux/amd64,…]
//	dist -deb amd64,arm64 -maintainer "NAME <ADDRESS>"
//
// The files depend on the source, the version and the toolchain alone. -again
// builds those targets a second time, in another folder and from an empty build
// cache, and fails unless each is the same to the bit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

// Targets are the systems that the program is built for: GOOS/GOARCH.
const Targets = "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64,windows/amd64"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("dist", flag.ContinueOnError)
	root := fs.String("root", "../..", "the repository's `FOLDER`")
	to := fs.String("out", "dist", "the `FOLDER` for the files, below the repository's if relative")
	version := fs.String("version", "", "the release (default: of git describe)")
	targets := fs.String("targets", Targets, "what to build for")
	again := fs.String("again", "", "build these targets twice and compare; all for all of them")
	debs := fs.String("deb", "", "make Debian packages for these `ARCHITECTURES`, and nothing else")
	maintainer := fs.String("maintainer", "doorbell <doorbell@packages.invalid>", "who makes the Debian packages")
	if err := fs.Parse(args); err != nil {
		return err
	}
	r, err := newRelease(ctx, *root, *to, *version)
	if err != nil {
		return err
	}
	if *debs != "" {
		for arch := range strings.SplitSeq(*debs, ",") {
			if err := r.debian(ctx, arch, *maintainer); err != nil {
				return err
			}
		}
	} else if err := r.programs(ctx, strings.Split(*targets, ","), chosen(*again, *targets), out); err != nil {
		return err
	}
	return errors.Join(r.sums(), r.list(out))
}

// chosen returns the targets that are built twice.
func chosen(again, all string) []string {
	if again == "all" {
		again = all
	}
	return strings.FieldsFunc(again, func(c rune) bool { return c == ',' })
}

// programs builds the targets, each with its bill of materials, and the licences
// of them all.
func (r release) programs(ctx context.Context, targets, again []string, out io.Writer) error {
	if err := r.clear(); err != nil {
		return err
	}
	linked := modules{}
	for _, target := range targets {
		file := r.program(target)
		if err := r.build(ctx, r.root, file, target); err != nil {
			return err
		}
		ms, err := r.linked(ctx, file, target)
		if err != nil {
			return err
		}
		if err := r.bill(file, target, ms); err != nil {
			return err
		}
		linked.add(ms)
	}
	if err := r.licences(linked); err != nil {
		return err
	}
	if len(again) == 0 {
		return nil
	}
	return r.compare(ctx, again, out)
}

// list tells what there is now.
func (r release) list(out io.Writer) error {
	sums, err := os.ReadFile(filepath.Join(r.out, sumsName))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "doorbell %s in %s:\n%s", r.version, r.out, sums)
	return err
}
