package transport

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/testrun"
)

// kitchen is a shop with pages, in virtual time. It outlives the hub, as a
// database does.
type kitchen struct {
	t     *testing.T
	log   *fakeLog
	mu    sync.Mutex
	taken map[doorbell.Seq]bool
	saved []byte
	lost  atomic.Int64
	shown map[doorbell.Seq]int

	hub  *Hub
	stop func()
}

func inKitchen(t *testing.T, test func(k *kitchen)) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		k := &kitchen{t: t, log: newLog(), taken: map[doorbell.Seq]bool{}, shown: map[doorbell.Seq]int{}}
		k.start()
		defer func() { k.stop() }()
		test(k)
	})
}

// start starts a process; crash and restart end it.
func (k *kitchen) start() {
	k.hub = New(Options{Log: k.log, Logger: slog.New(slog.DiscardHandler), Heartbeat: 15 * time.Second, Pages: PageOptions{
		Open: k.open,
		Load: func(context.Context) ([]byte, error) { return k.keep(nil), nil },
		Save: func(_ context.Context, text []byte) error { k.keep(text); return nil },
		Shown: func(_ *Session, seqs []doorbell.Seq) {
			k.mu.Lock()
			defer k.mu.Unlock()
			for _, seq := range seqs {
				k.shown[seq]++
			}
		},
		Lost: func(_ context.Context, _ doorbell.ShopID, pages int, _ time.Time) { k.lost.Add(int64(pages)) },
	}})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = k.hub.Run(ctx) }) // nil always
	k.stop = func() { cancel(); running.Wait() }
	synctest.Wait()
}

// keep stores the pages as the database does, and returns what is stored; nil
// stores nothing.
func (k *kitchen) keep(text []byte) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if text != nil {
		k.saved = text
	}
	return k.saved
}

func (k *kitchen) open(ctx context.Context, shop doorbell.ShopID, since time.Time) (out []doorbell.Alert, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all, err := k.log.AlertsAfter(ctx, shop, 0, 1<<20)
	for _, a := range all {
		if !k.taken[a.Seq] && !a.Time.Before(since) {
			out = append(out, a)
		}
	}
	return out, err
}

func (k *kitchen) ring(n int) {
	k.hub.Deliver(k.log.commit(1, n))
	synctest.Wait()
}

// fakeTab is a browser with sky-take-out's page.
type fakeTab struct {
	*fakeSink
	k       *kitchen
	session *Session
	pongs   uint64
}

func (k *kitchen) page(browser string) *fakeTab {
	k.t.Helper()
	s, sink := open(k.t, k.hub, Subscription{Shops: []doorbell.ShopID{1}, Transport: WebSocket, Plain: true, Start: FromPages, Browser: browser})
	p := &fakeTab{sink, k, s, 0}
	p.answer()
	return p
}

// answer lets all messages leave; the browser answers the pings after them.
func (p *fakeTab) answer() {
	p.drain(p.session)
	synctest.Wait()
	p.mu.Lock()
	p.pongs = uint64(len(p.got))
	p.mu.Unlock()
	p.session.Read(p.pongs)
}

// leave ends the connection by a close code.
func (p *fakeTab) leave(code int) {
	p.session.Leave(context.Background(), code, "left")
	synctest.Wait()
}

func (p *fakeTab) want(what string, seqs ...int64) {
	p.k.t.Helper()
	p.answer()
	if got := p.seqs(p.k.t); !slices.Equal(got, seqs) {
		p.k.t.Errorf("%s: got %v, want %v", what, got, seqs)
	}
}

const (
	goingAway = 1001
	lineCut   = 1006
)

// TestPageLoadedAnew: a reloaded page gets what it has not read, and what it read
// in its last two seconds; not what it read earlier, nor what was accepted
// meanwhile.
func TestPageLoadedAnew(t *testing.T) {
	inKitchen(t, func(k *kitchen) {
		k.ring(3) // before the page was there
		p := k.page("tablet")
		p.want("the first page ever")
		time.Sleep(time.Minute)
		k.ring(1)
		p.want("live", 4)
		time.Sleep(time.Minute)
		k.ring(1) // 5: read a second before the end
		p.answer()
		time.Sleep(time.Second)
		k.ring(1) // 6: written to a socket that closes
		p.leave(goingAway)
		k.ring(2) // 7, 8: in the gap
		k.taken[7] = true
		time.Sleep(300 * time.Millisecond)
		p = k.page("tablet")
		k.ring(1)
		p.want("loaded anew", 5, 6, 8, 9)
		time.Sleep(time.Minute)
		for range 3 { // reloads without new alerts
			p.leave(goingAway)
			time.Sleep(300 * time.Millisecond)
			p = k.page("tablet")
			p.want("loaded anew without anything new")
		}
		if k.shown[4] != 1 || k.shown[5] != 2 || k.shown[6] != 1 {
			t.Errorf("receipts %v, want those that were read", k.shown)
		}
	})
}

// TestPageReadsNothingByWriting: an alert that was written and never answered
// counts as not read, however old it is.
func TestPageReadsNothingByWriting(t *testing.T) {
	inKitchen(t, func(k *kitchen) {
		p := k.page("tablet")
		time.Sleep(10 * time.Second)
		k.ring(2)
		p.drain(p.session) // it leaves, and no pong comes
		time.Sleep(20 * time.Second)
		p.leave(goingAway)
		k.page("tablet").want("loaded anew", 1, 2)
	})
}

// TestGhosts: pages in the back/forward cache answer pings, although nobody sees
// them.
func TestGhosts(t *testing.T) {
	for _, c := range []struct {
		name  string
		comes func(k *kitchen, ghost *fakeTab) *fakeTab
	}{
		{"while its socket is open", func(k *kitchen, _ *fakeTab) *fakeTab { return k.page("tablet") }},
		{"by Back, and then loaded anew", func(k *kitchen, ghost *fakeTab) *fakeTab {
			ghost.leave(goingAway)
			time.Sleep(time.Second)
			return k.page("tablet")
		}},
		{"after it was given up", func(k *kitchen, ghost *fakeTab) *fakeTab {
			ghost.leave(lineCut)
			time.Sleep(time.Minute)
			return k.page("tablet")
		}},
		{"from another address", func(k *kitchen, ghost *fakeTab) *fakeTab {
			ghost.leave(goingAway)
			time.Sleep(time.Second)
			return k.page("tablet, in the other network")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inKitchen(t, func(k *kitchen) {
				k.ring(1)
				p := k.page("tablet")
				k.ring(1) // 2: just dialled, so it was seen
				p.answer()
				time.Sleep(time.Minute)
				k.ring(1) // 3: may have been seen
				p.answer()
				time.Sleep(90 * time.Second) // the page is now in the back/forward cache
				k.ring(1)
				p.answer()
				time.Sleep(5 * time.Second)
				k.ring(1)
				k.taken[5] = true
				p.answer()
				c.comes(k, p).want("comes back", 3, 4)
			})
		})
	}
}

// TestSecondTabletIsNotHeldBack: two tablets do not change each other's position.
func TestSecondTabletIsNotHeldBack(t *testing.T) {
	inKitchen(t, func(k *kitchen) {
		first := k.page("first")
		time.Sleep(time.Minute)
		k.ring(2)
		first.answer()
		second := k.page("second")
		second.want("one page more")
		time.Sleep(time.Minute)
		k.ring(1)
		first.answer()
		second.leave(goingAway)
		k.ring(1)
		first.answer()
		time.Sleep(300 * time.Millisecond)
		k.page("second").want("it had not read the third", 3, 4)
		first.want("the first goes on", 1, 2, 3, 4)
	})
}

// TestTwoTabsAtOnce: each page may be either of the two, so both continue from the
// last one's position.
func TestTwoTabsAtOnce(t *testing.T) {
	inKitchen(t, func(k *kitchen) {
		a, b := k.page("tablet"), k.page("tablet")
		time.Sleep(time.Minute)
		k.ring(1)
		a.answer()
		time.Sleep(time.Minute)
		a.leave(goingAway)
		b.leave(goingAway)
		k.ring(1)
		time.Sleep(300 * time.Millisecond)
		k.page("tablet").want("the first to come", 1, 2)
		k.page("tablet").want("the second", 1, 2)
	})
}

// TestPagesGoBackTenMinutes: and no further.
func TestPagesGoBackTenMinutes(t *testing.T) {
	inKitchen(t, func(k *kitchen) {
		p := k.page("tablet")
		time.Sleep(time.Minute)
		k.ring(1)
		p.leave(lineCut)
		time.Sleep(9 * time.Minute)
		k.ring(1)
		time.Sleep(2 * time.Minute)
		k.page("tablet").want("after eleven minutes", 2)
	})
}

// TestPagesAfterARestart: sky-take-out's page never reconnects, so a page that was
// connected and is not back within a minute is reported; one that is back gets
// what came meanwhile.
func TestPagesAfterARestart(t *testing.T) {
	for _, orderly := range []bool{true, false} {
		inKitchen(t, func(k *kitchen) {
			p := k.page("tablet")
			k.page("office")
			time.Sleep(time.Minute)
			k.ring(1)
			p.answer()
			time.Sleep(2 * time.Second) // the pages are stored
			saved := k.keep(nil)
			if orderly {
				go func() {
					time.Sleep(time.Second)
					for _, s := range k.hub.all() {
						s.Leave(context.Background(), 1012, "shutdown")
					}
				}()
				if err := k.hub.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			}
			k.stop()
			if !orderly {
				k.keep(saved) // a crash stores nothing more
				for _, s := range k.hub.all() {
					s.Leave(context.Background(), lineCut, "crash")
				}
			}
			k.ring(1)
			time.Sleep(5 * time.Minute)
			k.start()
			time.Sleep(30 * time.Second)
			k.page("tablet").want("loaded anew after the restart", 1, 2)
			if k.lost.Load() != 0 {
				t.Errorf("orderly %v: %d pages reported after 30 s", orderly, k.lost.Load())
			}
			time.Sleep(10 * time.Minute)
			if k.lost.Load() != 1 {
				t.Errorf("orderly %v: %d pages reported, want the office's, once", orderly, k.lost.Load())
			}
		})
	}
}

// TestClosedPagesAreNotMissed: a page that the user closed is not reported.
func TestClosedPagesAreNotMissed(t *testing.T) {
	inKitchen(t, func(k *kitchen) {
		k.page("tablet").leave(goingAway)
		p := k.page("office")
		p.leave(lineCut)
		time.Sleep(59 * time.Second)
		if k.lost.Load() != 0 {
			t.Errorf("%d pages reported within the minute", k.lost.Load())
		}
		time.Sleep(time.Hour)
		if k.lost.Load() != 1 {
			t.Errorf("%d pages reported, want the one that was cut, once", k.lost.Load())
		}
	})
}

// TestPageThatNeverAnswers: the memory of a page that never answers is bounded.
func TestPageThatNeverAnswers(t *testing.T) {
	inKitchen(t, func(k *kitchen) {
		p := k.page("tablet")
		time.Sleep(time.Minute)
		for range 20 {
			k.ring(500)
			p.drain(p.session)
		}
		if n := len(p.session.tab.unread); n > maxUnread {
			t.Errorf("%d kept", n)
		}
		p.answer()
		p.leave(goingAway)
		time.Sleep(100 * time.Millisecond)
		next := k.page("tablet")
		next.answer()
		if got := next.seqs(t); len(got) != 10_000 {
			t.Errorf("got %d, want all, because none counts as read", len(got))
		}
	})
}
