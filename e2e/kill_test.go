package e2e

import (
	"syscall"
	"testing"
	"time"

	"doorbell/transport/transporttest"
)

// slowest bounds the time to catch up: in make test three times the goal of 3 s;
// in make long the goal itself.
func slowest(t *testing.T) time.Duration {
	t.Helper()
	return time.Duration(transporttest.Size(t, "DOORBELL_TEST_CATCHUP_S", 9)) * time.Second
}

// TestKillNine kills the server at random moments under load.
func TestKillNine(t *testing.T) {
	t.Parallel()
	rng := transporttest.Seeded(t)
	kills := transporttest.Size(t, "DOORBELL_TEST_KILLS", 30)
	w := newWorld(t, 6, 8, rng)
	var worst time.Duration
	for range kills {
		pause(t.Context(), time.Duration(20+rng.IntN(250))*time.Millisecond)
		w.s.stop(syscall.SIGKILL)
		w.s.start()
		worst = max(worst, w.catchUp())
	}
	if worst > slowest(t) {
		t.Errorf("a console took %v to catch up, want at most %v", worst, slowest(t))
	}
	w.finish()
	t.Logf("%d kills, consoles caught up within %v of the server listening", kills, worst.Round(time.Millisecond))
}

// TestRestoreUnderConsoles restores an older backup while consoles have cursors
// past its end: the log grows past them again, and nobody takes a new alert for an
// old one.
func TestRestoreUnderConsoles(t *testing.T) {
	s := startServer(t)
	online := openPage(t, s.link())
	online.waitLink("websocket")
	s.run("simulate", "--orders", "3", "--pause", "0s")
	s.run("backup", "b.db")
	s.run("simulate", "--orders", "4", "--pause", "0s")
	eventually(t, "seven alerts", func() bool { return len(online.counts().Shown) == 7 })
	token := s.token("console", "--shops", "1")
	_, had := s.call("GET", "api/v1/alerts?shop=1", token, nil) // by consoles that are off until all is over
	s.stop(syscall.SIGTERM)
	if out := s.run("restore", "b.db"); out == "" {
		t.Error("restore says nothing")
	}
	s.start()
	s.run("simulate", "--orders", "6", "--pause", "0s") // past the old cursor, 7
	// A restore ends every session; the page is told why, and signs in again.
	eventually(t, "the page is signed out", func() bool { return online.js(`document.getElementById('sign-in').hidden`) == "false" })
	online.MustElement("#token").MustInput(token)
	online.click("#sign-in button")
	online.waitLink("websocket")
	eventually(t, "the page has the restored log and what followed", func() bool {
		return online.js(`document.querySelectorAll('#open .alert').length`) == "9"
	})
	keys := online.js(`[...document.querySelectorAll('#open .alert')].map((e) => e.dataset.key.split('@')[0]).sort().join()`)
	if want := "1:1,1:2,1:3,1:4,1:5,1:6,1:7,1:8,1:9"; keys != want {
		t.Errorf("the page shows %s, want %s", keys, want)
	}
	for _, tr := range transporttest.Transports() {
		offline, err := tr.Dial(s.base, transporttest.Dial{Token: token, Query: "after=" + had["cursor"].(string)})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"hello", "reset"} {
			if m, err := offline.Next(); err != nil || m.Event != want || want == "reset" && (m.Reason != "epoch" || m.Cursor == had["cursor"]) {
				t.Errorf("%s comes back with a cursor of the log that was: got %s, %v; want %s", tr.Name, m.Raw, err, want)
			}
		}
		offline.Close()
	}
	_, got := s.call("GET", "api/v1/alerts?shop=1&limit=500", token, nil)
	contents := map[string]bool{}
	for _, a := range got["alerts"].([]any) {
		contents[a.(map[string]any)["content"].(string)] = true
	}
	lines := online.js(`[...document.querySelectorAll('#open .number')].map((e) => '订单号: ' + e.getAttribute('aria-label')).join('\n')`)
	for content := range contents {
		if !containsLine(lines, content) {
			t.Errorf("the page lacks %s: it took a new alert for an old one", content)
		}
	}
	s.run("verify")
}
