//go:build unix

package safefile

import (
	"errors"
	"os"
)

// SyncFolder makes what was named in a folder last.
func SyncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
