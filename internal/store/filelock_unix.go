//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks the file, until it is closed or its process ends for any reason,
// or returns errLocked at once.
func tryLock(f *os.File, how lockMode) error {
	op := syscall.LOCK_EX
	if how == shared {
		op = syscall.LOCK_SH
	}
	for {
		err := syscall.Flock(int(f.Fd()), op|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		default:
			return err
		}
	}
}

// openMovable opens a file, for its owner alone, that may be renamed and removed
// while it is open.
func openMovable(name string, flags int) (*os.File, error) { return os.OpenFile(name, flags, 0o600) }

// openFolderLock opens the folder itself, whose lock leaves no file behind.
func openFolderLock(folder string) (*os.File, error) { return os.Open(folder) }
