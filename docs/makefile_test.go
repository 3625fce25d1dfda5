package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMakeUsesWhatItInstalls puts a stranger's programs in front on the path, as a
// version manager does: make takes none of them.
func TestMakeUsesWhatItInstalls(t *testing.T) {
	_ = readFile(t, "Makefile") // a change of it is one for the test cache to see
	strange := t.TempDir()
	list := func() []string {
		cmd := exec.CommandContext(t.Context(), "make", "-s", "programs")
		cmd.Env = append(os.Environ(), "PATH="+strange+":"+os.Getenv("PATH"), "MAKEFLAGS=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("make programs: %v\n%s", err, out)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	want := list()
	if len(want) < 8 {
		t.Fatalf("the tests use %q, want a browser, proxies, Node and more", want)
	}
	for _, file := range want {
		fake := filepath.Join(strange, filepath.Base(file))
		if filepath.Base(file) == "go" {
			continue // whose go runs make is the caller's choice
		}
		if err := os.WriteFile(fake, []byte("#!/bin/sh\nexit 99\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i, file := range list() {
		if strings.HasPrefix(file, strange) || strings.HasPrefix(file, "no ") {
			t.Errorf("the tests would use %q, want %q", file, want[i])
		}
	}
}
