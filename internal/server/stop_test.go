package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// lockedBuffer collects what several goroutines log.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestStopGivesTheLeaseBack: a stop with webhooks configured warns of nothing,
// and the next server sends at once.
func TestStopGivesTheLeaseBack(t *testing.T) {
	dir := t.TempDir()
	called := make(chan struct{}, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	t.Cleanup(receiver.Close)
	cfg := config.Default()
	cfg.Database.URL = "sqlite://" + dir + "/doorbell.db"
	cfg.Webhooks = []config.Hook{{Name: "printer", URL: receiver.URL, Secret: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}
	var log lockedBuffer
	for i := range 3 {
		ctx, stop := context.WithCancel(t.Context())
		a, err := build(ctx, testOptions(cfg, slog.New(slog.NewTextHandler(&log, nil))), faults{})
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx, Listeners{Consoles: ln}, io.Discard) }()
		testrun.Eventually(t, "the server is ready", func() bool { return strings.Contains(log.String(), "msg=ready") })
		if _, _, err := a.service.RaiseAlert(ctx, doorbell.Raise{Type: doorbell.NewOrder, Shop: 1, Number: fmt.Sprint("A-", i)}, doorbell.Key{}); err != nil {
			t.Fatal(err)
		}
		select { // within its time of 30 s the lease of the server before would keep this one quiet
		case <-called:
		case <-time.After(15 * time.Second):
			t.Error("no message was sent: the lease of the server before was not given back")
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Errorf("a stop logs %s", line)
		}
	}
}

// TestAStopBeforeItIsReadyIsNoFailure: an exit code of 1 has systemd start it
// again, and a script that stopped it believe that it crashed.
func TestAStopBeforeItIsReadyIsNoFailure(t *testing.T) {
	cfg := config.Default()
	cfg.Database.URL = "sqlite://" + t.TempDir() + "/doorbell.db"
	a, err := build(t.Context(), testOptions(cfg, slog.New(slog.DiscardHandler)), faults{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := a.printBanner(ctx, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, io.Discard); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func testOptions(cfg config.Config, log *slog.Logger) Options {
	return Options{Config: cfg, Version: "test", Log: log, Command: func(words string) string { return "doorbell " + words }}
}
