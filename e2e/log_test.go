package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"doorbell/internal/payment/providers"
	"doorbell/internal/payment/wechat"
	"doorbell/transport/transporttest"
)

// TestAStalledStandardError: nobody reads the program's log from its start on.
// Consoles come and go, and paid orders still ring; the log lines are there for a
// late reader, and the program stops when asked to.
func TestAStalledStandardError(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close() //nolint:errcheck // a test
	if err := write.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := write.Write(bytes.Repeat([]byte("x"), 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the pipe is not full: %v", err)
	}
	addr := freeAddr(t)
	s := &server{t: t, bin: binary, addr: addr, base: "http://" + addr + "/", dir: t.TempDir(), stderr: write}
	s.start()
	t.Cleanup(func() { s.stop(syscall.SIGTERM) })
	service, console := s.token("service", "--shops", "1"), s.token("console", "--shops", "1")
	players, err := providers.LoadPlayers(s.data())
	if err != nil {
		t.Fatal(err)
	}
	for i, tr := range transporttest.Transports() {
		number := fmt.Sprintf("L-%d", i)
		gone, err := tr.Dial(s.base, transporttest.Dial{Token: console})
		if err != nil {
			t.Fatal(err)
		}
		gone.Close()
		stream, err := tr.Dial(s.base, transporttest.Dial{Token: console})
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := s.call("POST", "api/v1/orders", service, map[string]any{"number": number, "shopId": 1, "userId": 1, "amount": 100}); status != http.StatusCreated {
			t.Fatalf("%s: %d %v", tr.Name, status, answer)
		}
		if status := s.callback(players.WeChat, wechat.Notice{Content: players.WeChat.Payment(number, "T"+number, 100)}); status != http.StatusNoContent {
			t.Fatalf("%s: the callback: %d", tr.Name, status)
		}
		for {
			m, err := stream.Next()
			if err != nil {
				t.Fatalf("%s: %v", tr.Name, err)
			}
			if m.Event == "" {
				break
			}
		}
		stream.Close()
	}
	began := time.Now()
	s.stop(syscall.SIGTERM)
	t.Logf("stopped %v after it was told to", time.Since(began).Round(time.Millisecond))
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, read); err != nil {
		t.Fatal(err)
	}
}
