package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Servers of one machine share the database (an old one may still be stopping
// while the new one starts); a restore wants it alone.
const (
	shared    = syscall.LOCK_SH
	exclusive = syscall.LOCK_EX
)

// ErrInUse says that a server has the database open.
var ErrInUse = errors.New("a server is using this database; stop it first")

// lockFile takes the lock beside the database, until it is closed or its
// process ends, however it ends.
func lockFile(database string, how int) (*os.File, error) {
	f, err := os.OpenFile(database+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrInUse
		if how == shared {
			err = errors.New("the database is being restored")
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
