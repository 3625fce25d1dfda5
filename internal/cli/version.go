package cli

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"doorbell/internal/store"
)

// release and revision are what make dist names with -ldflags -X: the release, and
// the commit of its source. Empty in every other build.
var release, revision string

// printVersion runs the command version: the release, the commit, and the highest
// schema of a database that this program knows, a line each.
func printVersion(_ context.Context, args []string, out io.Writer) error {
	fs, _ := flags("version", out)
	if err := parse(fs, args); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "doorbell %s\ncommit %s\nschema %d\n", version(), commit(), store.SchemaVersion())
	return err
}

// version returns the release that this binary was built as, or its commit.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	if built := setting(info, "vcs.revision"); len(built) >= 12 {
		return "devel-" + built[:12]
	}
	return "devel"
}

// commit returns the commit of the source, with +dirty where the source had been
// changed; unknown where the build did not record one.
func commit() string {
	if revision != "" {
		return revision
	}
	info, ok := debug.ReadBuildInfo()
	built := ""
	if ok {
		built = setting(info, "vcs.revision")
	}
	switch {
	case built == "":
		return "unknown"
	case setting(info, "vcs.modified") == "true":
		return built + "+dirty"
	default:
		return built
	}
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
