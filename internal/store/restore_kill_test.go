package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"doorbell/internal/doorbell"
)

// restoreVariable makes this test binary a restore that dies: the database, the
// backup, and after how many steps.
const restoreVariable = "DOORBELL_TEST_RESTORE"

// dieRestoring runs the first steps of a restore and kills its own process, as a
// power cut does. Without the environment variable it returns.
func dieRestoring() {
	args := strings.Split(os.Getenv(restoreVariable), "|")
	if len(args) != 3 {
		return
	}
	die := func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) }
	n, err := strconv.Atoi(args[2])
	if err != nil {
		panic(err)
	}
	if n < 0 { // runs all steps, until another process kills it
		if _, err := Restore(context.Background(), "sqlite://"+args[0], args[1]); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	if _, err := lockFile(args[0], exclusive); err != nil {
		panic(err)
	}
	r := &restoring{file: args[0], from: args[1], fresh: args[0] + ".restoring"}
	for _, step := range r.steps()[:n] {
		if err := step(context.Background()); err != nil {
			panic(err)
		}
	}
	die()
	select {}
}

// restoreBench is a database of 3 alerts, killed while its last pages were in the
// write-ahead log, and a backup of 1 alert.
type restoreBench struct {
	t         *testing.T
	file, bak string
	oldEpoch  string
	image     map[string][]byte // files of the folder
	dir       string
}

func newRestoreBench(t *testing.T) *restoreBench {
	t.Helper()
	b := &restoreBench{t: t, dir: t.TempDir(), image: map[string][]byte{}}
	made := t.TempDir()
	b.file, b.bak = filepath.Join(b.dir, "d.db"), filepath.Join(made, "b.db")
	s, err := Open(t.Context(), Options{URL: "sqlite://" + filepath.Join(made, "d.db")})
	if err != nil {
		t.Fatal(err)
	}
	stop := startOnce(s)
	paidOrder(t, s, "A-1")
	if err := Backup(t.Context(), "sqlite://"+filepath.Join(made, "d.db"), b.bak); err != nil {
		t.Fatal(err)
	}
	paidOrder(t, s, "A-2")
	paidOrder(t, s, "A-3")
	if b.oldEpoch, _, err = s.Positions(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	// As after a kill: the last pages are only in the write-ahead log.
	for _, suffix := range []string{"", "-wal"} {
		if b.image["d.db"+suffix], err = os.ReadFile(filepath.Join(made, "d.db"+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return b
}

// reset restores the folder of the killed database.
func (b *restoreBench) reset() {
	b.t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Remove(filepath.Join(b.dir, e.Name())); err != nil {
			b.t.Fatal(err)
		}
	}
	for name, content := range b.image {
		if err := os.WriteFile(filepath.Join(b.dir, name), content, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
}

// child returns a process that restores and dies after n steps.
func (b *restoreBench) child(n int) *exec.Cmd {
	c := exec.CommandContext(b.t.Context(), os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s|%s|%d", restoreVariable, b.file, b.bak, n))
	return c
}

// state opens the database as a server does, and tells whether it is the restored
// one.
func (b *restoreBench) state() (restored bool) {
	b.t.Helper()
	s, err := Open(b.t.Context(), Options{URL: "sqlite://" + b.file})
	if err != nil {
		b.t.Fatal(err)
	}
	stop := startOnce(s)
	epoch, at, err := s.Positions(b.t.Context(), []doorbell.ShopID{1})
	if err != nil {
		b.t.Fatal(err)
	}
	restored = epoch != b.oldEpoch
	if want := map[bool]doorbell.Seq{false: 3, true: 1}[restored]; at[1].Head != want {
		b.t.Errorf("restored %v: head %d, want %d", restored, at[1].Head, want)
	}
	paidOrder(b.t, s, "A-9") // and it can be written to
	if err := stop(); err != nil {
		b.t.Fatal(err)
	}
	if findings, err := Verify(b.t.Context(), "sqlite://"+b.file); err != nil || len(findings) > 0 {
		b.t.Errorf("restored %v: %v, %v; want it whole", restored, findings, err)
	}
	// The new database never gets a part of the old one, nor the reverse.
	names, err := filepath.Glob(filepath.Join(b.dir, "*.replaced-*"))
	if err != nil {
		b.t.Fatal(err)
	}
	here, err := os.Stat(b.file)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, name := range names {
		if there, err := os.Stat(name); err != nil || os.SameFile(here, there) {
			b.t.Errorf("%s is another name of the database itself (%v)", name, err)
		}
	}
	if restored != (len(names) == 1) {
		b.t.Errorf("restored %v, and kept %v", restored, names)
	}
	return restored
}

// TestKilledRestore: a restore that is killed after each of its steps leaves the
// old or the new database complete, and the next restore succeeds.
func TestKilledRestore(t *testing.T) {
	b := newRestoreBench(t)
	steps := len((&restoring{}).steps())
	seen := map[bool]int{}
	for n := range steps + 1 {
		b.reset()
		if err := b.child(n).Run(); err == nil {
			t.Fatal("the process was not killed")
		}
		seen[b.state()]++
		kept, err := Restore(t.Context(), "sqlite://"+b.file, b.bak)
		if err != nil {
			t.Fatalf("after %d steps: again: %v", n, err)
		}
		if findings, err := Verify(t.Context(), "sqlite://"+kept); err != nil || len(findings) > 0 {
			t.Errorf("the replaced database: %v, %v", findings, err)
		}
		left, err := filepath.Glob(filepath.Join(b.dir, "*.restoring*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	}
	if seen[true] != 2 || seen[false] != steps-1 {
		t.Errorf("new %d times, old %d times; want the new one from the swap on", seen[true], seen[false])
	}
}

// TestRestoreKilledAnywhere kills restores at random moments.
func TestRestoreKilledAnywhere(t *testing.T) {
	b := newRestoreBench(t)
	b.reset()
	began := time.Now()
	if out, err := b.child(-1).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := time.Since(began)
	if !b.state() {
		t.Fatal("a restore that was not killed restored nothing")
	}
	for range 25 {
		b.reset()
		c := b.child(-1)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(rand.N(whole))
		_ = c.Process.Kill() // it may have ended already
		_ = c.Wait()
		b.state()
	}
}
