package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// processCPU is what a process has used of the CPU, its own and the kernel's
// for it; 0 for pid 0.
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

// ownCPU is processCPU of this one.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// settledMemory is a process's resident memory in bytes, once it has not moved
// by more than a hundredth for three seconds: a server gives back what a burst
// of connections took.
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
