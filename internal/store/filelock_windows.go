package store

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// tryLock locks the file, until it is closed or its process ends for any reason,
// or returns errLocked at once.
func tryLock(f *os.File, how lockMode) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if how == exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return errLocked
	}
	return err
}

// openMovable opens a file that may be renamed and removed while it is open: os.OpenFile
// does not share that right, so that a holder's file could not get its name.
func openMovable(name string, flags int) (*os.File, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	create := uint32(windows.OPEN_EXISTING)
	if flags&os.O_CREATE != 0 {
		create = windows.CREATE_NEW // every caller wants a new file
	}
	h, err := windows.CreateFile(path, windows.GENERIC_READ|windows.GENERIC_WRITE,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE, nil, create, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), nil
}

// openFolderLock opens a file that stands for the folder, which can't be locked
// itself on Windows. The file stays there.
func openFolderLock(folder string) (*os.File, error) {
	return os.OpenFile(filepath.Join(folder, "upgrade.lock"), os.O_RDWR|os.O_CREATE, 0o600)
}
