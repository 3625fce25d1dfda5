package server

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"doorbell/transport/transporttest"
)

// simAlert is an alert as a console showed it.
type simAlert struct {
	raw    string
	typ    int
	order  orderKey
	number string
	at     time.Time
}

// orderKey tells orders apart: ids of ours and of others may be equal.
type orderKey struct {
	Source  string
	OrderID int64
}

// model is what a simulation knows to be true, and where it notes whatever
// contradicts that.
type model struct {
	fail func(format string, args ...any)
	keep time.Duration // alerts.retention

	mu    sync.Mutex
	logs  map[int64]map[int64]simAlert // by shop and seq, as first shown
	heads map[int64]int64              // the highest seq shown of each shop
	acked map[string]bool              // payments that the provider was told are taken
	epoch string                       // the last one drawn; older ones are in past
	past  map[string]time.Time         // until when an older epoch was good

	alerts, resets, dials, ended, audits, accepts, reminders, tooSoon int
}

func newModel(keep time.Duration, fail func(string, ...any)) *model {
	return &model{
		fail: fail, keep: keep, logs: map[int64]map[int64]simAlert{1: {}, 2: {}, 3: {}}, heads: map[int64]int64{},
		acked: map[string]bool{}, past: map[string]time.Time{},
	}
}

// newEpoch notes that the log's epoch is another one from now on.
func (m *model) newEpoch(epoch string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.epoch != "" {
		m.past[m.epoch] = time.Now()
	}
	m.epoch = epoch
}

// goodEpoch: a stream may tell an epoch until the hub's audit has found the
// next one.
func (m *model) goodEpoch(epoch string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, old := m.past[epoch]
	return epoch == m.epoch || old && time.Since(until) < 3*time.Second
}

// changedSince reports whether the epoch is another one than a console's.
func (m *model) changedSince(epoch string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return epoch != m.epoch
}

// show notes an alert that a console showed: all must show the same bytes
// under the same number.
func (m *model) show(who string, a transporttest.Message) simAlert {
	at, err := time.Parse(time.RFC3339, a.Time)
	if err != nil {
		m.fail("%s: %v in %s", who, err, a.Raw)
	}
	var order struct {
		orderKey
		Number string
	}
	if err := json.Unmarshal([]byte(a.Raw), &order); err != nil {
		m.fail("%s: %v in %s", who, err, a.Raw)
	}
	shown := simAlert{a.Raw, a.Type, order.orderKey, order.Number, at}
	m.mu.Lock()
	defer m.mu.Unlock()
	known, ok := m.logs[a.Shop][a.Seq]
	if ok && known.raw != a.Raw {
		m.fail("%s showed %s, another console %s", who, a.Raw, known.raw)
	}
	m.logs[a.Shop][a.Seq] = shown
	m.heads[a.Shop] = max(m.heads[a.Shop], a.Seq)
	if !ok {
		m.alerts++
	}
	return shown
}

// ack notes that a payment was taken.
func (m *model) ack(number string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked[number] = true
}

func (m *model) count(n *int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*n++
}

// knows reports whether every alert of a shop up to seq was shown to somebody.
func (m *model) knows(shop, seq int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ; seq > 0; seq-- {
		if _, ok := m.logs[shop][seq]; !ok {
			return false
		}
	}
	return true
}

// open folds a shop's log up to seq: what rings.
func (m *model) open(shop, upto int64) map[int64]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	ringing := map[orderKey][]int64{}
	for seq := int64(1); seq <= upto; seq++ {
		a := m.logs[shop][seq]
		if a.typ <= 2 {
			ringing[a.order] = append(ringing[a.order], seq)
		} else {
			delete(ringing, a.order)
		}
	}
	out := map[int64]bool{}
	for _, seqs := range ringing {
		for _, seq := range seqs {
			out[seq] = true
		}
	}
	return out
}

// mayBePruned: an alert older than the retention may be gone.
func (m *model) mayBePruned(shop, seq int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.logs[shop][seq]
	return ok && time.Since(a.at) > m.keep
}

// finish holds what was acknowledged against what was shown.
func (m *model) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	rang := map[string]int{}
	for shop, log := range m.logs {
		for seq := int64(1); seq <= m.heads[shop]; seq++ {
			a, ok := log[seq]
			if !ok {
				m.fail("shop %d: nobody was shown alert %d of %d", shop, seq, m.heads[shop])
			}
			if a.typ == 1 {
				rang[a.number]++
			}
		}
	}
	for number := range m.acked {
		if rang[number] != 1 {
			m.fail("order %s was paid and rang %d times", number, rang[number])
		}
	}
	for number, n := range rang {
		if !m.acked[number] || n != 1 {
			m.fail("order %s rang %d times; paid: %v", number, n, m.acked[number])
		}
	}
}

func (m *model) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("%d alerts, %d payments, %d accepts, %d reminders (%d too soon), %d connections of which %d ended with their token, %d resets, %d audits",
		m.alerts, len(m.acked), m.accepts, m.reminders, m.tooSoon, m.dials, m.ended, m.resets, m.audits)
}
