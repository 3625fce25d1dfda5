package escalation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ladders = doorbell.Ladders{
	1: {
		{After: 40 * time.Second, To: doorbell.ChannelTo("push")},
		{After: time.Minute, Repeat: 30 * time.Second, To: doorbell.ChannelTo("owner")},
		{After: 3 * time.Minute, To: doorbell.HookTo("phone")},
	},
	0: {{After: 0, Repeat: 50 * time.Second, To: doorbell.ChannelTo("manager")}},
	3: {},
}

// told is one message.
type told struct {
	key
	doorbell.Step
	queued, sent time.Time
	sends        int
}

// world is a database and what was sent, in virtual time; nodes come and go.
type world struct {
	r      *rand.Rand
	now    time.Time
	alerts map[key]doorbell.Alert
	seen   map[key]time.Time // when an alert could be read first: its transaction ended after its time
	closed map[key]time.Time
	rows   map[key]map[doorbell.Step]*told
	outbox []*told
	broken bool // the database answers nothing
	well   bool // nothing fails any more
	nodes  []*climber
	calm   time.Time // since when the same nodes have run, and the database has answered
	crash  bool      // a sender was killed between sending and noting it
	fault  string
}

var errDown = errors.New("the database is down")

func (w *world) RingingSince(_ context.Context, since time.Time, limit int) (out []doorbell.Alert, err error) {
	if w.broken {
		return nil, errDown
	}
	for k, a := range w.alerts {
		if _, closed := w.closed[k]; !closed && !a.Time.Before(since) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b doorbell.Alert) int { return a.Time.Compare(b.Time) })
	return out[:min(limit, len(out))], nil
}

// Now implements Store.
func (w *world) Now() time.Time { return w.now }

func (w *world) Told(_ context.Context, shop doorbell.ShopID, seq doorbell.Seq) (doorbell.Rounds, error) {
	if w.broken {
		return nil, errDown
	}
	out := doorbell.Rounds{}
	for s := range w.rows[key{shop, seq}] {
		if last, known := out[s.Rung]; !known || s.Round > last {
			out[s.Rung] = s.Round
		}
	}
	return out, nil
}

// escalate is Service.Escalate with Store.Claim, by their contracts.
func (w *world) escalate(_ context.Context, a doorbell.Alert, step doorbell.Step, _ time.Duration) (claimed, rings bool, err error) {
	fails := w.r.IntN(60) // the database fails between the look and the claim
	if w.well {
		fails = -1
	}
	if w.broken || fails == 0 {
		w.calm = w.now
		return false, false, errDown
	}
	k := key{a.Shop, a.Seq}
	if _, closed := w.closed[k]; closed {
		return false, false, nil
	}
	if w.rows[k] == nil {
		w.rows[k] = map[doorbell.Step]*told{}
	}
	if w.rows[k][step] != nil {
		return false, true, nil
	}
	w.judge(k, step)
	t := &told{key: k, Step: step, queued: w.now}
	w.rows[k][step] = t
	w.outbox = append(w.outbox, t)
	if fails == 1 { // committed, and the answer was lost
		w.calm = w.now
		return false, false, errDown
	}
	return true, true, nil
}

// rang bounds since when nodes take an alert to ring: its own time, or, where that is
// yet to come, because its node's clock is ahead, when a node read it first.
func (w *world) rang(k key) (first, last time.Time) {
	first, last = earliest(w.alerts[k].Time, w.seen[k]), w.seen[k]
	if w.calm.After(last) { // a node that began later read it then
		last = w.calm
	}
	return first, earliest(w.alerts[k].Time, last)
}

// judge holds the moment at which a step is told: not before its time, and, while all
// is well, with the next look.
func (w *world) judge(k key, step doorbell.Step) {
	r := ladders.Of(k.shop)[step.Rung]
	after := r.After + time.Duration(step.Round)*r.Repeat
	first, last := w.rang(k)
	if early := first.Add(after).Sub(w.now); early > 0 {
		w.fault = fmt.Sprintf("%v %v is told %v early", k, step, early)
	}
	due := last.Add(after)
	for _, from := range []time.Time{w.seen[k], w.calm} {
		if from.After(due) {
			due = from
		}
	}
	if late := w.now.Sub(due); late > 2*lookEvery {
		w.fault = fmt.Sprintf("%v %v is told %v late", k, step, late)
	}
}

// send is the outbox's sender: it asks again right before.
func (w *world) send() {
	if w.broken {
		return
	}
	w.outbox = slices.DeleteFunc(w.outbox, func(t *told) bool {
		if _, closed := w.closed[t.key]; closed {
			return true // withdrawn
		}
		t.sends++
		t.sent = w.now
		if w.r.IntN(50) == 0 { // it did not get through, or that was not noted
			w.crash = true
			return false
		}
		return true
	})
}

func (w *world) start() *climber {
	return New(Options{Store: w, Ladders: ladders, Escalate: w.escalate, Wake: func() {}, Log: slog.New(slog.DiscardHandler)}).begin()
}

// step is one second: something may happen, then everybody looks.
func (w *world) step(quiet bool) {
	w.now, w.well = w.now.Add(time.Second), quiet
	n := w.r.IntN(100)
	running, broken := slices.Clone(w.nodes), w.broken
	switch {
	case quiet:
		w.broken = false
	case n < 4 && len(w.alerts) < 12:
		k := key{doorbell.ShopID(1 + w.r.IntN(3)), doorbell.Seq(len(w.alerts) + 1)}
		at := w.now
		switch w.r.IntN(4) {
		case 0: // it took long to commit
			at = at.Add(-time.Duration(w.r.IntN(9)) * time.Second)
		case 1: // its node's clock is ahead, or was set back since
			at = at.Add(time.Duration(w.r.IntN(90)) * time.Second)
		}
		w.alerts[k], w.seen[k] = doorbell.Alert{Shop: k.shop, Seq: k.seq, Type: doorbell.NewOrder, Time: at}, w.now
	case n < 7:
		for k := range w.alerts {
			if _, closed := w.closed[k]; !closed {
				w.closed[k] = w.now
				break
			}
		}
	case n < 10: // killed, and started again or not
		i := w.r.IntN(len(w.nodes))
		w.nodes[i] = nil
		if w.r.IntN(2) == 0 {
			w.nodes[i] = w.start()
		}
	case n < 12: // two hold what is one's lease
		w.nodes[w.r.IntN(len(w.nodes))] = w.start()
	case n < 14:
		w.broken = !w.broken
	case n < 15: // nobody ran for some minutes
		for i := range w.nodes {
			w.nodes[i] = nil
		}
		w.now = w.now.Add(time.Duration(w.r.IntN(300)) * time.Second)
	}
	if quiet && w.nodes[0] == nil {
		w.nodes[0] = w.start()
	}
	if w.broken || broken || !slices.Equal(running, w.nodes) || !slices.ContainsFunc(w.nodes, func(n *climber) bool { return n != nil }) {
		w.calm = w.now
	}
	for _, node := range w.nodes {
		if node != nil {
			_ = node.look(context.Background(), w.now) // it is looked at again
		}
	}
	if quiet || w.r.IntN(3) > 0 {
		w.send()
	}
}

// check holds the end of a history, after two minutes in which all was well.
func (w *world) check(t *testing.T, name string) {
	t.Helper()
	if w.fault != "" {
		t.Fatalf("%s: %s", name, w.fault)
	}
	for k, rows := range w.rows {
		closed, over := w.closed[k]
		for _, m := range rows {
			switch {
			case over && (m.queued.After(closed) || m.sent.After(closed)):
				t.Fatalf("%s: %v %v queued at %v, sent at %v, and was accepted at %v", name, k, m.Step, m.queued, m.sent, closed)
			case !over && m.sends == 0:
				t.Fatalf("%s: %v %v was never sent", name, k, m.Step)
			case m.sends > 1 && !w.crash:
				t.Fatalf("%s: %v %v was sent %d times", name, k, m.Step, m.sends)
			}
		}
	}
	for k := range w.alerts {
		if _, over := w.closed[k]; over {
			continue
		}
		for i, r := range ladders.Of(k.shop) {
			_, rang := w.rang(k)
			age := w.now.Sub(rang)
			if age < r.After {
				continue
			}
			round := 0
			if r.Repeat > 0 {
				round = min(int((age-r.After)/r.Repeat), 59)
			}
			told := false
			for step := range w.rows[k] {
				told = told || step.Rung == i && step.Round >= round
			}
			if !told {
				t.Fatalf("%s: %v rings for %v, and round %d of rung %d was not told", name, k, age, round, i)
			}
		}
	}
}

// TestEscalationModel runs random histories of alerts, accepts, nodes that are
// killed, overlap or are all away, and a database that fails or whose answer is
// lost. DOORBELL_TEST_ESCALATIONS sets how many.
func TestEscalationModel(t *testing.T) {
	histories := transporttest.Size(t, "DOORBELL_TEST_ESCALATIONS", 500)
	steps := 0
	for seed := range histories {
		w := &world{
			r: rand.New(rand.NewPCG(19, uint64(seed))), now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC),
			alerts: map[key]doorbell.Alert{}, seen: map[key]time.Time{}, closed: map[key]time.Time{}, rows: map[key]map[doorbell.Step]*told{}, nodes: make([]*climber, 3),
		}
		w.nodes[0] = w.start()
		for range 240 {
			w.step(false)
		}
		for range 65 {
			w.step(true)
		}
		w.check(t, fmt.Sprint("history ", seed))
		for _, rows := range w.rows {
			steps += len(rows)
		}
	}
	if steps < 5*histories {
		t.Errorf("%d steps in %d histories: the model does not reach what it is to check", steps, histories)
	}
}
