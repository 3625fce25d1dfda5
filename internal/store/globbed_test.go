package store

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFilesBesideAnAwkwardName: what stands beside the database is found by its
// name as it is, and no other database's.
func TestFilesBesideAnAwkwardName(t *testing.T) {
	folder := filepath.Join(t.TempDir(), `sh[op]*?\1`)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(folder, `d[b]*?\x`+".holder-1")
	for _, name := range []string{own, filepath.Join(folder, `db-and-x`+".holder-1")} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := filepath.Glob(globbed(filepath.Join(folder, `d[b]*?\x`)) + ".holder-*")
	if err != nil || !slices.Equal(got, []string{own}) {
		t.Errorf("found %q, %v; want %q", got, err, own)
	}
}
