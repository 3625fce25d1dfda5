// Package safefile keeps small secrets so that they are there whole or not at
// all, also after a power cut.
package safefile

import (
	"errors"
	"os"
	"path/filepath"
)

// Create writes a new file for its owner alone and returns when it is on disk,
// its name in the folder too. os.ErrExist where there is one already: of two
// that start at once one is first, and nobody reads half of it.
func Create(name string, content []byte) (err error) {
	folder := filepath.Dir(name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(folder, filepath.Base(name)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Link(f.Name(), name)
	}
	if err = errors.Join(err, os.Remove(f.Name())); err != nil {
		return err
	}
	return errors.Join(SyncFolder(folder), SyncFolder(filepath.Dir(folder)))
}
