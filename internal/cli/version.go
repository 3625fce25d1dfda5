package cli

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
)

// printVersion runs the command version.
func printVersion(_ context.Context, args []string, out io.Writer) error {
	fs, _ := flags("version", out)
	if err := parse(fs, args); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "doorbell", version())
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
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
