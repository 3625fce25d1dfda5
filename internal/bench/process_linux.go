package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// processCPU returns a process's CPU time, in user and kernel mode; 0 for pid 0.
func processCPU(pid int) (time.Duration, error) {
	if pid == 0 {
		return 0, nil
	}
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, fmt.Errorf("--pid %d: %w", pid, err)
	}
	s, err := p.Stat()
	if err != nil {
		return 0, fmt.Errorf("--pid %d: %w", pid, err)
	}
	return time.Duration(s.CPUTime() * float64(time.Second)), nil
}

// ownCPU returns the CPU time that this process has used.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentMemory returns a process's resident memory in bytes; 0 for pid 0.
func residentMemory(pid int) (int, error) {
	if pid == 0 {
		return 0, nil
	}
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	s, err := p.Stat()
	return s.ResidentMemory(), err
}

// settledMemory returns a process's resident memory in bytes, once it has not
// moved by more than a hundredth for three seconds: a server first frees the
// memory of a burst of connections.
func settledMemory(ctx context.Context, pid int) (int, error) {
	if pid == 0 {
		return 0, nil
	}
	p, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	last, still := 0, 0
	for range 120 {
		s, err := p.Stat()
		if err != nil {
			return 0, err
		}
		now := s.ResidentMemory()
		if still++; now > last+last/100 || now < last-last/100 {
			last, still = now, 0
		}
		if still == 6 {
			return now, nil
		}
		if err := pause(ctx, time.Second/2); err != nil {
			return 0, err
		}
	}
	return last, nil
}
