package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// maxLease is longer than any lease that is requested. One that ends later was
// written before the clock was set back.
const maxLease = time.Minute

// Holder returns the random name of this process. It must be unique among all
// processes on the database: two with the same name would both do what only one
// may.
func (s *Store) Holder() string { return s.holder }

// holderFile returns the path of the file that a holder locks while its process
// lives. The kernel releases the lock however the process ends, so that a
// successor goes on at once and need not wait for the leases to end.
func holderFile(database, holder string) string { return database + ".holder-" + holder }

// newHolder returns a name that no other process has.
func newHolder() string { return rand.Text() }

// holdName creates and locks the file that shows that this process is alive.
func holdName(database string) (holder string, alive *os.File, err error) {
	holder = newHolder()
	// The file is locked before it gets the name by which other processes look for
	// it.
	f, err := openMovable(database+".new-holder-"+holder, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return "", nil, fmt.Errorf("hold this process's name: %w", err)
	}
	if err = tryLock(f, exclusive); err == nil {
		err = os.Rename(f.Name(), holderFile(database, holder))
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("hold this process's name: %w", err), f.Close(), os.Remove(f.Name()))
	}
	return holder, f, nil
}

// forgetDead removes the leases and files of processes that were killed.
func forgetDead(ctx context.Context, db *sql.DB, database string) error {
	names, err := filepath.Glob(globbed(database) + ".holder-*")
	if err != nil {
		return err
	}
	for _, name := range names {
		if !dead(name) {
			continue
		}
		holder := strings.TrimPrefix(name, holderFile(database, ""))
		if _, err := db.ExecContext(ctx, `delete from leases where holder = ?`, holder); err != nil {
			return fmt.Errorf("free the leases of a process that was killed: %w", err)
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove what a process that was killed left: %w", err)
		}
	}
	return nil
}

// letGo removes this process's holder file and releases the database.
func (s *Store) letGo() error {
	if s.holding == nil { // the database is on a server
		return nil
	}
	err := os.Remove(holderFile(s.database, s.holder))
	if errors.Is(err, os.ErrNotExist) { // for example, its folder was removed
		err = nil
	}
	return errors.Join(err, s.holding.Close(), s.lock.Close())
}

// dead reports whether the process with this file has ended. A process of another
// machine, and one whose file can't be read, count as alive.
func dead(name string) bool {
	f, err := openMovable(name, os.O_RDWR)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // its lock goes with it
	return tryLock(f, exclusive) == nil
}

// alive reports whether the holder of a lease runs on this machine, and whether
// that is known.
func (s *Store) alive(holder string) (known, alive bool) {
	name := holderFile(s.database, holder)
	if _, err := os.Stat(name); err != nil {
		return false, false
	}
	return true, !dead(name)
}

// Lease gives holder the exclusive right called name until the given time, unless
// another process holds it; the current holder's lease is extended. On a server
// only the distance from now to until counts, and the database's clock decides.
// The lease of a killed process is free at once where the death can be seen, else
// when the lease ends.
func (s *Store) Lease(ctx context.Context, name, holder string, until time.Time) (held bool, err error) {
	left, err := s.leftBy(ctx, name, holder)
	if err != nil {
		return false, err
	}
	lasts := until.Sub(now())
	err = s.queue.wait(ctx, s.queue.urgent, func(t *txn) (err error) {
		held, err = t.dialect.lease(t, name, holder, lasts, left)
		return err
	})
	return held, err
}

// leftBy returns the holder of the lease if it is known to have ended, else "".
func (s *Store) leftBy(ctx context.Context, name, asks string) (string, error) {
	if s.holding == nil { // holders on a server may run on any machine
		return "", nil
	}
	var holder string
	var until int64
	err := s.reads.one(ctx, `select holder, until_at from leases where name = ?`, name).Scan(&holder, &until)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && holder == asks:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read who holds %s: %w", name, err)
	}
	known, alive := s.alive(holder)
	if known && !alive || !known && instant(until).After(now().Add(maxLease)) {
		return holder, nil
	}
	return "", nil
}

// Release gives a lease back, so that another process need not wait for its end.
func (s *Store) Release(ctx context.Context, name, holder string) error {
	return s.queue.wait(ctx, s.queue.urgent, func(t *txn) error {
		return t.exec(`delete from leases where name = ? and holder = ?`, name, holder)
	})
}
