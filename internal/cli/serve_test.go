package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/server"
)

// TestFoldersNameTheirSetting: what can't be written is the setting's fault.
func TestFoldersNameTheirSetting(t *testing.T) {
	for _, c := range []struct{ name, config, says string }{
		{"data.dir is a file", "data: {dir: file/data}\n", "data.dir file/data: this user needs to write there"},
		{"so is the database's folder", "database: {url: \"sqlite://file/doorbell.db\"}\n", "database.url sqlite://file/doorbell.db (data.dir is its folder)"},
		{"the database is a folder", "data: {dir: keys}\ndatabase: {url: \"sqlite://folder\"}\n", "database.url sqlite://folder: this user needs to write there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := errors.Join(os.WriteFile("file", nil, 0o600), os.Mkdir("folder", 0o700), os.WriteFile("config.yaml", []byte(c.config), 0o600)); err != nil {
				t.Fatal(err)
			}
			err := run(t.Context(), nil, io.Discard)
			if exitCode(err) != 2 || !strings.Contains(err.Error(), c.says) {
				t.Errorf("exit %d with %v, want 2 saying %q", exitCode(err), err, c.says)
			}
		})
	}
	if err := server.InFolderOf("data.dir x", &fs.PathError{Op: "open", Path: "x", Err: syscall.ENOSPC}); exitCode(err) != 1 || !strings.Contains(err.Error(), "data.dir x") {
		t.Errorf("a full disk: exit %d with %v, want 1", exitCode(err), err)
	}
}

// TestUnknownVariablesStopNothing: Kubernetes makes some.
func TestUnknownVariablesStopNothing(t *testing.T) {
	loaded, err := config.Load("../../config.yaml", []string{"DOORBELL_SERVER_ADR=x", "DOORBELL_SERVICE_HOST=10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	warnUnknown(context.Background(), slog.New(slog.NewTextHandler(&log, nil)), loaded.Unknown)
	for _, want := range []string{"name=DOORBELL_SERVER_ADR nearest=DOORBELL_SERVER_ADDR", "name=DOORBELL_SERVICE_HOST", "level=WARN"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
}
