package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"doorbell/transport/transporttest"
)

// heads reads how far each shop's log is, as soon as that can be told.
func (w *world) heads() map[int64]int {
	w.t.Helper()
	out := map[int64]int{}
	for _, shop := range w.shops {
		eventually(w.t, "the head of a shop is told", func() (ok bool) {
			out[shop], ok = w.head(shop)
			return ok
		})
	}
	return out
}

func (w *world) head(shop int64) (seq int, ok bool) {
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%sapi/v1/alerts?shop=%d&limit=1", w.s.base, shop), http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.console)
	res, err := w.client.Do(req)
	if err != nil {
		return 0, false
	}
	defer res.Body.Close() //nolint:errcheck // read
	var answer struct{ Alerts []struct{ Seq int } }
	switch err := json.NewDecoder(res.Body).Decode(&answer); {
	case res.StatusCode >= http.StatusInternalServerError:
		return 0, false
	case res.StatusCode != http.StatusOK || err != nil:
		w.t.Fatalf("read the head: %d, %v", res.StatusCode, err)
	case len(answer.Alerts) > 0:
		return answer.Alerts[0].Seq, true
	}
	return 0, true
}

// catchUp waits until every console has the log's present end, and returns how
// long that took.
func (w *world) catchUp() time.Duration {
	w.t.Helper()
	began, heads := time.Now(), w.heads()
	var late, slow string // who is late at last, and after a second
	deadline := began.Add(within)
	for caught := false; !caught; {
		if caught, late = w.caughtUp(heads); !caught && time.Now().After(deadline) {
			_, listed := w.s.call("GET", "api/v1/shops/1/consoles", w.console, nil)
			w.t.Fatalf("not within %v: every console has caught up with %v; %s; the server lists %v", within, heads, late, listed)
		}
		if slow == "" && time.Since(began) > time.Second {
			slow = late
		}
		pause(w.closing, 20*time.Millisecond)
	}
	if slow != "" {
		w.t.Logf("caught up after %v; after 1s %s", time.Since(began).Round(time.Millisecond), slow)
		for i, c := range w.consoles {
			w.t.Logf("console %d: %s", i, c.state())
		}
	}
	return time.Since(began)
}

// caughtUp reports whether every console has reached heads, and which has not.
func (w *world) caughtUp(heads map[int64]int) (bool, string) {
	for i, c := range w.consoles {
		for shop, head := range heads {
			if at := c.at(shop); at < head {
				return false, fmt.Sprintf("console %d on transport %d is at %d of shop %d: %s", i, c.transport, at, shop, c.state())
			}
		}
	}
	return true, ""
}

// finish ends the load and compares the three lists.
func (w *world) finish() {
	w.t.Helper()
	w.stopLoad()
	sent := make(chan struct{})
	go func() {
		w.senders.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-time.After(within):
		w.t.Fatalf("a sender never got its order through; the last callback was refused by: %v", w.lastRefusal())
	}
	w.catchUp()
	w.stopAll()
	w.readers.Wait()
	rang, closed := map[string]int{}, map[string]int{}
	total := 0
	for _, shop := range w.shops {
		log := w.log(shop)
		total += len(log)
		for i, raw := range log {
			var a struct {
				Type   int
				Seq    int
				Number string
			}
			if err := json.Unmarshal([]byte(raw), &a); err != nil {
				w.t.Fatal(err)
			}
			if a.Seq != i+1 {
				w.t.Fatalf("shop %d: the log has %d in place %d", shop, a.Seq, i+1)
			}
			switch a.Type {
			case 1:
				rang[a.Number]++
			case 3:
				closed[a.Number]++
			}
		}
		for _, c := range w.consoles {
			w.compare(shop, log, c)
		}
	}
	w.compareAcked(rang, closed)
	if out := w.s.run("verify"); w.t.Failed() || out == "" {
		w.t.Logf("verify: %s", out)
	}
	w.t.Logf("%d alerts in %d shops, %d payments acknowledged, %d accepts, %d consoles with %d connections",
		total, len(w.shops), len(w.acked), len(w.accepted), len(w.consoles), w.dials())
	if len(w.acked) == 0 || total == 0 {
		w.t.Error("nothing was acknowledged: the test looked at nothing")
	}
}

func (w *world) lastRefusal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refusal
}

func (w *world) dials() (n int) {
	for _, c := range w.consoles {
		n += c.dials
	}
	return n
}

func (w *world) compareAcked(rang, closed map[string]int) {
	w.t.Helper()
	for number := range w.acked {
		if rang[number] != 1 {
			w.t.Errorf("order %s was acknowledged and stands %d times in the log", number, rang[number])
		}
	}
	for number, n := range rang {
		if n != 1 {
			w.t.Errorf("order %s rang %d times", number, n)
		}
	}
	for number := range w.accepted {
		if closed[number] != 1 {
			w.t.Errorf("order %s was accepted and has %d alerts of type 3", number, closed[number])
		}
	}
}

// compare compares what a console showed with the log, byte for byte.
func (w *world) compare(shop int64, log []string, c *console) {
	w.t.Helper()
	shown := c.shown[shop]
	log = log[min(len(log), int(c.from[shop])):]
	if len(shown) != len(log) {
		w.t.Errorf("shop %d: a console on transport %d showed %d, the log has %d", shop, c.transport, len(shown), len(log))
		return
	}
	for i := range log {
		if shown[i] != log[i] {
			w.t.Errorf("shop %d: shown %s, in the log %s", shop, shown[i], log[i])
			return
		}
	}
}

// log reads a shop's whole log, oldest first, by a fresh console.
func (w *world) log(shop int64) (out []string) {
	w.t.Helper()
	head := w.heads()[shop]
	stream, err := transporttest.DialSSE(w.s.base, transporttest.Dial{Token: w.console, Query: fmt.Sprintf("after=0&shops=%d", shop)})
	if err != nil {
		w.t.Fatal(err)
	}
	defer stream.Close()
	for len(out) < head {
		m, err := stream.Next()
		if err != nil {
			w.t.Fatal(errors.Join(errors.New("read the log"), err))
		}
		if m.Event == "" {
			out = append(out, m.Raw)
		}
	}
	return out
}
