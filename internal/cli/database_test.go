package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/server"
	"doorbell/internal/store"
)

// makeData starts a server once, in the working folder, so that its database and
// its secrets are there.
func makeData(t *testing.T) {
	t.Helper()
	a, err := server.New(t.Context(), serverOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func serverOptions() server.Options {
	return server.Options{Config: config.Default(), Version: version(), Log: slog.New(slog.DiscardHandler), Command: hintsFor("doorbell", "").line}
}

func runs(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return out.String()
}

// TestABackupIsEnoughForANewMachine: it brings the database and the secrets, and
// says what else to save; a secret that stands there already stays.
func TestABackupIsEnoughForANewMachine(t *testing.T) {
	t.Chdir(t.TempDir())
	makeData(t)
	file := filepath.Join(t.TempDir(), "bell.backup")
	said := runs(t, "backup", file)
	for _, want := range []string{"auth.secret", "vapid.json", "Not in it: config.yaml"} {
		if !strings.Contains(said, want) {
			t.Errorf("backup does not say %q: %s", want, said)
		}
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, %v; want 0600", info.Mode(), err)
	}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("data", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	secret, keys := read("auth.secret"), read("vapid.json")

	t.Chdir(t.TempDir()) // the new machine
	said = runs(t, "restore", file)
	if strings.Contains(said, "What stood there") || !strings.Contains(said, "Restored data/auth.secret") {
		t.Errorf("restored where nothing stood, it says: %s", said)
	}
	if read("auth.secret") != secret || read("vapid.json") != keys {
		t.Error("the secrets were not restored")
	}
	for _, name := range []string{"auth.secret", "vapid.json", "doorbell.db"} {
		if info, err := os.Stat(filepath.Join("data", name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
	}
	if sealed, err := store.Sealed(t.Context(), "data/doorbell.db"); err != nil || len(sealed) > 0 {
		t.Errorf("the database holds secrets: %d, %v", len(sealed), err)
	}
	if strings.Contains(read("doorbell.db"), strings.TrimSpace(secret)) {
		t.Error("a freed page of the database holds the secret")
	}
	makeData(t) // it starts
	if said := runs(t, "verify"); !strings.Contains(said, "sound") {
		t.Errorf("verify: %s", said)
	}
	if said = runs(t, "restore", file); !strings.Contains(said, "What stood there is now data/doorbell.db.replaced-") {
		t.Errorf("restored where a database stood, it says: %s", said)
	}

	t.Chdir(t.TempDir()) // a machine that has run already
	makeData(t)
	other := read("auth.secret")
	said = runs(t, "restore", file)
	if read("auth.secret") != other || !strings.Contains(said, "data/auth.secret stays as it is here") || !strings.Contains(said, "--secrets") {
		t.Errorf("the secret that stood there was replaced unasked, or nobody was told: %s", said)
	}
	said = runs(t, "restore", "--secrets", file)
	kept, err := filepath.Glob("data/auth.secret.replaced-*")
	if read("auth.secret") != secret || err != nil || len(kept) != 1 {
		t.Errorf("--secrets: kept %v, %v: %s", kept, err, said)
	}
}

// TestABackupThatFailsLeavesNothing: half a backup must not look like one.
func TestABackupThatFailsLeavesNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	makeData(t)
	if err := os.WriteFile("data/vapid.json", bytes.Repeat([]byte("x"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	err := run(t.Context(), []string{"backup", "bell.backup"}, &bytes.Buffer{})
	if _, gone := os.Stat("bell.backup"); err == nil || !errors.Is(gone, os.ErrNotExist) {
		t.Errorf("%v, and the file: %v; want an error and no file", err, gone)
	}
}

// TestABackupBySettings: a secret of the settings is in the settings.
func TestABackupBySettings(t *testing.T) {
	t.Chdir(t.TempDir())
	makeData(t)
	if err := os.WriteFile("config.yaml", []byte(testSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	if said := runs(t, "backup", "bell.backup"); strings.Contains(said, "auth.secret") {
		t.Errorf("it holds a secret that is not in use: %s", said)
	}

	from, err := filepath.Abs("bell.backup")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // a new machine whose settings hold no secret
	if said := runs(t, "restore", from); !strings.Contains(said, "no auth.secret: copy it from the old data folder") {
		t.Errorf("restore does not say what becomes of the old server's tokens: %s", said)
	}
}
