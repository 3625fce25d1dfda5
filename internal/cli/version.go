package cli

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"doorbell/internal/store"
)

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
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	if revision := setting(info, "vcs.revision"); len(revision) >= 12 {
		return "devel-" + revision[:12]
	}
	return "devel"
}

// commit returns the commit of the source, with +dirty where the source had been
// changed; unknown where the build did not record one.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	revision := ""
	if ok {
		revision = setting(info, "vcs.revision")
	}
	switch {
	case revision == "":
		return "unknown"
	case setting(info, "vcs.modified") == "true":
		return revision + "+dirty"
	default:
		return revision
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
