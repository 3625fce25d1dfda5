package testservers

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// AwaitStopped returns when all threads of a process that got SIGSTOP stand still: the
// signal reaches them one after another, and a thread that runs on another core may
// still answer. A process that has ended is no error.
func AwaitStopped(pid int) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for late := time.After(startWait); ; {
		if stopped(pid) {
			return nil
		}
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("process %d did not stop within %v", pid, startWait)
		}
	}
}

func stopped(pid int) bool {
	threads, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/stat") // the pattern is right
	for _, file := range threads {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// The state follows the name, which stands in brackets and may hold some.
		_, rest, _ := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(" "))
		if len(rest) > 0 && !bytes.ContainsRune([]byte("TtZX"), rune(rest[0])) {
			return false
		}
	}
	return true
}
