package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// lockMode says who else may hold a file's lock.
type lockMode int

// Several servers of one machine may use the database (the old one may still be
// stopping while the new one starts); a restore needs it exclusively.
const (
	shared lockMode = iota
	exclusive
)

// errLocked is what tryLock returns while another open file holds the lock.
var errLocked = errors.New("another process has locked the file")

// ErrInUse is returned while a server has the database open.
var ErrInUse = errors.New("a server is using this database; stop it first")

// lockFile takes the lock beside the database, until the file is closed or its
// process ends for any reason.
func lockFile(database string, how lockMode) (*os.File, error) {
	return lockOpened(database, os.O_RDWR|os.O_CREATE, how)
}

// lockKnown takes the shared lock of a database that a server has used before: a
// connection that closes in the middle of a restore would remove the new
// database's write-ahead log. A database without a lock file stays without: a file
// created by another user would keep the server out.
func lockKnown(database string) (io.Closer, error) {
	f, err := lockOpened(database, os.O_RDWR, shared)
	if errors.Is(err, os.ErrNotExist) {
		return io.NopCloser(nil), nil
	}
	return f, err
}

func lockOpened(database string, flags int, how lockMode) (*os.File, error) {
	f, err := os.OpenFile(database+".lock", flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the database: %w", err)
	}
	err = tryLock(f, how)
	if errors.Is(err, errLocked) {
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

// lockLook is how often a start checks whether another start has finished the
// upgrade.
const lockLook = 20 * time.Millisecond

// alone runs upgrade when no other process runs one in this folder, and waits for
// one that does: goose has no lock on SQLite, and of two programs that started at
// once one failed at a column that the other had just added.
func alone(ctx context.Context, folder string, upgrade func() error) (err error) {
	f, err := openFolderLock(folder)
	if err != nil {
		return fmt.Errorf("lock the database's folder: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		err := tryLock(f, exclusive)
		if err == nil {
			return upgrade()
		}
		if !errors.Is(err, errLocked) {
			return fmt.Errorf("lock the database's folder: %w", err)
		}
		select {
		case <-time.After(lockLook):
		case <-ctx.Done():
			return fmt.Errorf("wait for another process that upgrades the database: %w", ctx.Err())
		}
	}
}
