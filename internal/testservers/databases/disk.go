package databases

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// filler is the file that takes the free space of a small disk.
func (s *Server) filler() string { return filepath.Join(s.folder, "filler") }

// FillDisk takes all that is free on the server's own disk.
func (s *Server) FillDisk() error {
	f, err := os.Create(s.filler())
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// FreeDisk gives the space back, and starts the server again if it has ended for
// want of it.
func (s *Server) FreeDisk() error {
	if err := os.Remove(s.filler()); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return s.Start()
	case <-time.After(time.Second): // it may be about to end
	}
	select {
	case <-s.ended:
		return s.Start()
	default:
		return nil
	}
}
