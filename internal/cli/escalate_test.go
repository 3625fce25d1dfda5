package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"doorbell/internal/store"
)

// TestEscalateTest sends one of each and names what failed, without its key.
func TestEscalateTest(t *testing.T) {
	t.Chdir(t.TempDir())
	got := make(chan string, 10)
	services := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(body)
		if strings.HasPrefix(r.URL.Path, "/robot") {
			_, _ = io.WriteString(w, `{"errcode":310000,"errmsg":"token is not exist"}`)
			return
		}
		_, _ = io.WriteString(w, `{"errcode":0,"errmsg":"ok"}`)
	}))
	t.Cleanup(services.Close)
	settings := `
webhooks: [{name: phone, url: "` + services.URL + `/call", secret: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}]
channels: [{name: owner, url: "wecom://SECRET?api=` + services.URL + `"}, {name: chef, url: "dingtalk://SECRET?api=` + services.URL + `"}]
escalation: {1: [{after: 40s, to: [push, owner]}, {after: 60s, to: [owner, chef], repeat: 60s}, {after: 3m, to: [phone]}]}
`
	if err := os.WriteFile("config.yaml", []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("data", 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{URL: "sqlite://data/doorbell.db"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = run(t.Context(), []string{"escalate", "--test", "--shop", "1"}, &out)
	if err == nil || err.Error() != "2 of 4 were not sent" {
		t.Errorf("%v, want that push and chef were not sent", err)
	}
	for _, want := range []string{"NOT sent to push: no device", "sent to owner", "NOT sent to chef: refused: 310000 token is not exist", "sent to phone"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if n := len(got); n != 3 {
		t.Errorf("%d calls, want one to each of the three", n)
	}
	if strings.Contains(out.String(), "SECRET") {
		t.Errorf("shows a key:\n%s", out.String())
	}
	for _, args := range [][]string{{"escalate"}, {"escalate", "--test", "--shop", "2"}} {
		if err := run(t.Context(), args, &out); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
