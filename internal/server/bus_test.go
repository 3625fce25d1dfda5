package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"doorbell/internal/config"
	"doorbell/internal/testrun"
	"doorbell/internal/testservers"
)

// TestBusSettings: a bus.url that can't be used is a fault of the settings, told
// before anything listens and without the password.
func TestBusSettings(t *testing.T) {
	for url, want := range map[string]string{
		"http://10.0.0.1":                      "bus.url: want nats://HOST",
		"redis://:s3cret@10.0.0.1:x":           `bus.url: "10.0.0.1:x" is not HOST`,
		"rediss://:s3cret@10.0.0.1?ca=/no/pem": "bus.url: ca: open /no/pem",
	} {
		cfg := config.Default()
		cfg.Database.URL = "sqlite://" + t.TempDir() + "/doorbell.db"
		cfg.Bus.URL = config.Secret(url)
		_, err := New(t.Context(), testOptions(cfg, slog.New(slog.DiscardHandler)))
		if _, fault := errors.AsType[config.Fault](err); !fault || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want a fault of the settings with %q", url, err, want)
		}
	}
}

// TestBusOfARunningServer: a server starts without its broker, says so in /readyz,
// its figures and its log, and is well when the broker has come.
func TestBusOfARunningServer(t *testing.T) {
	broker := testservers.Redis(t)
	cfg := config.Default()
	cfg.Database.URL = "sqlite://" + t.TempDir() + "/doorbell.db"
	cfg.Bus.URL = config.Secret("redis://" + broker.Addr)
	var log lockedBuffer
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s, err := New(ctx, testOptions(cfg, slog.New(slog.NewTextHandler(&log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	var l Listeners
	for _, to := range []*net.Listener{&l.Consoles, &l.Metrics} {
		if *to, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l, io.Discard) }()
	ask := func(url string) string {
		t.Helper()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() //nolint:errcheck // read
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.Status + " " + string(body)
	}
	ready, figures := "http://"+l.Consoles.Addr().String()+"/readyz", "http://"+l.Metrics.Addr().String()+"/metrics"
	testrun.Eventually(t, "it is told that the bus is down", func() bool { return strings.Contains(log.String(), "bus not connected") })
	if got := ask(ready); !strings.HasPrefix(got, "200") || !strings.Contains(got, `"bus":"down","reasons":["the bus is not connected"]`) {
		t.Errorf("/readyz without the broker: %s", got)
	}
	if got := ask(figures); !strings.Contains(got, "\ndoorbell_bus_connected 0\n") {
		t.Error("the figures don't tell that the bus is down")
	}
	broker.Start()
	testrun.Eventually(t, "the bus is connected", func() bool { return strings.Contains(ask(figures), "\ndoorbell_bus_connected 1\n") })
	if got := ask(ready); !strings.Contains(got, `"bus":"ok","reasons":[]`) {
		t.Errorf("/readyz with the broker: %s\n%s", got, log.String())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
