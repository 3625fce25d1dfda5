package attendance

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/internal/hours"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kitchen is a database with nodes that come and go, in virtual time.
type kitchen struct {
	t       *testing.T
	store   *store.Store
	service *doorbell.Service
	hours   map[doorbell.ShopID]hours.Hours

	mu     sync.Mutex
	told   []string
	began  time.Time
	broken bool
}

// node is one process; there says until when its console could ring.
type node struct {
	mu    sync.Mutex
	there map[doorbell.ShopID]bool
	stop  func()
}

func (n *node) attend(shop doorbell.ShopID, there bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.there[shop] = there
}

// freshFor is as long as a console's word counts.
const freshFor = 70 * time.Second

func (k *kitchen) start(name string) *node {
	n := &node{there: map[doorbell.ShopID]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	w := New(Options{
		Store: k.store, Hours: k.hours, Log: slog.New(slog.DiscardHandler), Node: name, Heartbeat: 15 * time.Second,
		Here: func() map[doorbell.ShopID]time.Time {
			n.mu.Lock()
			defer n.mu.Unlock()
			out := map[doorbell.ShopID]time.Time{}
			for shop, there := range n.there {
				if there { // it said so some seconds ago
					out[shop] = time.Now().Truncate(20 * time.Second).Add(freshFor)
				}
			}
			return out
		},
		Tell: func(ctx context.Context, from, to doorbell.Attendance, what doorbell.EventType) (bool, error) {
			k.mu.Lock()
			broken := k.broken
			k.mu.Unlock()
			if broken {
				return false, errors.New("the disk is full")
			}
			return k.service.TellAttendance(ctx, from, to, what)
		},
	})
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) })
	n.stop = func() { cancel(); running.Wait() }
	return n
}

// want waits and compares what the hook was told since the last time, as EVENT and
// seconds since the last time. Within 4 s it is the same.
func (k *kitchen) want(after time.Duration, told ...string) {
	k.t.Helper()
	time.Sleep(after)
	synctest.Wait()
	messages, err := k.store.Outgoing(k.t.Context(), store.OutgoingQuery{Any: true, Limit: 100})
	if err != nil {
		k.t.Fatal(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var got []string
	for _, m := range slices.Backward(messages) {
		got = append(got, string(m.Event))
	}
	if fresh := got[len(k.told):]; !slices.Equal(fresh, told) {
		k.t.Errorf("after %v, at %v: told %v, want %v", after, time.Since(k.began), fresh, told)
	}
	k.told = got
}

func inKitchen(t *testing.T, lines []string, use func(k *kitchen)) {
	t.Helper()
	testrun.Bubble(t, func(t *testing.T) {
		h, err := hours.Parse(lines, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		k := &kitchen{t: t, hours: map[doorbell.ShopID]hours.Hours{1: h}, began: time.Now()}
		if len(lines) == 0 {
			k.hours = nil
		}
		if k.store, err = store.Open(t.Context(), store.Options{URL: "sqlite://" + filepath.Join(t.TempDir(), "d.db")}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = k.store.Run(ctx) })
		k.service = doorbell.NewService(k.store, doorbell.Rules{Hooks: []doorbell.Hook{{Name: "pos"}}}, slog.New(slog.DiscardHandler))
		use(k)
		stop()
		running.Wait()
		if err := k.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

const (
	unattended = "shop.unattended"
	attended   = "shop.attended"
)

// TestNobodyThere: with no order pending the alarm comes 30 s after the last
// console could ring, and ends within 10 s of one that can.
func TestNobodyThere(t *testing.T) {
	inKitchen(t, []string{"daily 00:00-24:00"}, func(k *kitchen) {
		one := k.start("one")
		defer one.stop()
		one.attend(1, true)
		one.attend(2, false) // has no hours
		k.want(10 * time.Minute)
		one.attend(1, false)
		k.want(29 * time.Second)
		k.want(5*time.Second, unattended)
		k.want(10 * time.Minute)
		one.attend(1, true)
		k.want(10*time.Second, attended)
		k.want(10 * time.Minute)
	})
}

// TestClosedShop: outside of its hours nobody is told.
func TestClosedShop(t *testing.T) {
	inKitchen(t, []string{"daily 00:10-00:20", "daily 00:25-00:30"}, func(k *kitchen) { // a bubble begins at midnight
		one := k.start("one")
		defer one.stop()
		k.want(10*time.Minute + 29*time.Second)
		k.want(5*time.Second, unattended)
		k.want(14*time.Minute + 50*time.Second)
		k.want(10*time.Second, unattended) // it opens again, and nobody has come
		one.attend(1, true)
		k.want(10*time.Second, attended)
	})
}

// TestTwoNodes: a console on either is enough; the alarm is told once; a node that
// goes takes its console with it.
func TestTwoNodes(t *testing.T) {
	inKitchen(t, []string{"daily 00:00-24:00"}, func(k *kitchen) {
		one, two := k.start("one"), k.start("two")
		two.attend(1, true)
		k.want(10 * time.Minute)
		one.attend(1, true)
		k.want(time.Minute)
		two.attend(1, false)
		k.want(time.Minute)
		one.attend(1, false)
		k.want(40*time.Second, unattended)
		two.attend(1, true)
		k.want(10*time.Second, attended)
		two.stop() // with its console, which does not come back
		k.want(freshFor+40*time.Second, unattended)
		two = k.start("three")
		one.stop()
		k.want(time.Minute)
		two.attend(1, true)
		k.want(10*time.Second, attended)
		two.stop()
	})
}

// TestRestart: the server is replaced, also over and over. Its consoles come back
// within a heartbeat: nobody is told. An alarm that stands stands after it.
func TestRestart(t *testing.T) {
	inKitchen(t, []string{"daily 00:00-24:00"}, func(k *kitchen) {
		one := k.start("0")
		one.attend(1, true)
		k.want(10 * time.Minute)
		for i := range 20 {
			one.stop()
			if i%2 == 0 {
				time.Sleep(5 * time.Minute) // what was kept is stale by now
			}
			one = k.start(string(rune('a' + i)))
			k.want(20 * time.Second)
			one.attend(1, true)
			k.want(time.Minute)
		}
		one.attend(1, false)
		k.want(40*time.Second, unattended)
		one.stop()
		one = k.start("z")
		k.want(10 * time.Minute)
		one.stop()
		k.hours = nil // somebody takes the hours out of the settings
		one = k.start("y")
		one.attend(1, true)
		k.want(10*time.Second, attended)
		one.stop()
	})
}

// TestAlarmThatCantBeKept is told when it can be.
func TestAlarmThatCantBeKept(t *testing.T) {
	inKitchen(t, []string{"daily 00:00-24:00"}, func(k *kitchen) {
		one := k.start("one")
		defer one.stop()
		k.mu.Lock()
		k.broken = true
		k.mu.Unlock()
		k.want(10 * time.Minute)
		k.mu.Lock()
		k.broken = false
		k.mu.Unlock()
		k.want(3*time.Second, unattended)
	})
}
