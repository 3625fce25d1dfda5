package store

import (
	"io"
	"io/fs"
	"strings"
)

// rewriting is a file system that changes the SQL of its files as they are read.
type rewriting struct {
	fs.FS
	change func(string) string
}

// Open implements fs.FS.
func (r rewriting) Open(name string) (fs.File, error) {
	f, err := r.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".sql") {
		return f, err
	}
	defer f.Close() //nolint:errcheck // read
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	return rewrittenFile{strings.NewReader(r.change(string(text))), info}, err
}

type rewrittenFile struct {
	*strings.Reader
	info fs.FileInfo
}

// Stat implements fs.File.
func (f rewrittenFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close implements fs.File.
func (f rewrittenFile) Close() error { return nil }
