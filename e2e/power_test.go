package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"doorbell/internal/testrun"
	"doorbell/transport/transporttest"
)

const (
	// ext4Shutdown is EXT4_IOC_SHUTDOWN (linux/ext4.h): the file system stops at
	// once, as after a power cut.
	ext4Shutdown = 0x8004587d
	// noFlush discards what is not on disk yet, including the end of the journal.
	noFlush uint32 = 2
)

// disk is an ext4 in a file, on a loop device.
type disk struct {
	t          *testing.T
	image, dir string
}

// newDisk mounts a disk, or skips the test with a report if the machine can't;
// required makes that a failure.
func newDisk(t *testing.T) *disk {
	t.Helper()
	dir := t.TempDir()
	d := &disk{t: t, image: filepath.Join(dir, "image"), dir: filepath.Join(dir, "mounted")}
	err := os.Mkdir(d.dir, 0o700)
	if err == nil {
		err = exec.Command("truncate", "-s", "128M", d.image).Run()
	}
	if err == nil {
		err = exec.Command("mkfs.ext4", "-qF", d.image).Run()
	}
	if err == nil {
		err = d.mount()
	}
	if err != nil {
		if os.Getenv("DOORBELL_TEST_POWER") == "required" {
			t.Fatalf("mount an ext4 on a loop device: %v", err)
		}
		testrun.Skip(t, "power cuts need a loop-mounted ext4 (CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() { d.unmount() })
	return d
}

func (d *disk) mount() error { return exec.Command("mount", "-o", "loop", d.image, d.dir).Run() }

func (d *disk) unmount() {
	d.t.Helper()
	if out, err := exec.Command("umount", d.dir).CombinedOutput(); err != nil {
		d.t.Errorf("unmount: %v %s", err, out)
	}
}

// cut stops the file system.
func (d *disk) cut() {
	d.t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only a handle
	flags := noFlush
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		d.t.Fatalf("cut the power: %v", errno)
	}
}

// TestPowerCut cuts the power of the server's disk at random moments under
// load, the first time right after the first start.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	rng := transporttest.Seeded(t)
	cuts := transporttest.Size(t, "DOORBELL_TEST_CUTS", 10)
	d := newDisk(t)
	w := newWorld(t, 6, 8, rng, "DOORBELL_DATABASE_URL=sqlite://"+filepath.Join(d.dir, "data", "doorbell.db"))
	var worst time.Duration
	for range cuts {
		pause(t.Context(), time.Duration(rng.IntN(300))*time.Millisecond)
		w.power.Add(1)
		d.cut()
		w.s.stop(syscall.SIGKILL)
		d.unmount()
		if err := d.mount(); err != nil {
			t.Fatal(err)
		}
		w.s.start()
		w.power.Add(1)
		worst = max(worst, w.catchUp())
	}
	if worst > slowest(t) {
		t.Errorf("a console took %v to catch up, want at most %v", worst, slowest(t))
	}
	w.finish()
	w.s.stop(syscall.SIGTERM) // before its disk goes
	t.Logf("%d power cuts, consoles caught up within %v of the server listening", cuts, worst.Round(time.Millisecond))
}
