package server

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"doorbell/internal/bus"
	"doorbell/internal/doorbell"
)

// measures are the histograms of an alert's way to the kitchen.
type measures struct {
	delivered, sounded, accepted prometheus.Histogram
	wrote                        *prometheus.HistogramVec // by lane

	raised raised
}

func newMeasures() *measures {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	quick := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	m := &measures{
		delivered: histogram("doorbell_alert_delivered_seconds", "From a new order's or reminder's alert to when it left for a first console of this node.", quick),
		sounded:   histogram("doorbell_alert_sounded_seconds", "From an alert to when a first console sounded.", quick),
		accepted:  histogram("doorbell_alert_accepted_seconds", "From an alert to when it was accepted on a console.", []float64{1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600}),
		wrote: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "doorbell_store_write_seconds", Help: "From a change handed in to the database to its commit or refusal, by lane.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"lane"}),
	}
	for _, lane := range []string{"urgent", "press", "call", "receipt"} {
		m.wrote.WithLabelValues(lane)
	}
	return m
}

func (m *measures) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.delivered, m.sounded, m.accepted, m.wrote}
}

// Wrote implements store.Measures.
func (m *measures) Wrote(lane string, took time.Duration) {
	m.wrote.WithLabelValues(lane).Observe(took.Seconds())
}

// Sounded implements store.Measures.
func (m *measures) Sounded(a doorbell.Alert, at time.Time) { observe(m.sounded, at.Sub(a.Time)) }

func (m *measures) tookCare(target, closing doorbell.Alert) {
	observe(m.accepted, closing.Time.Sub(target.Time))
}

// noteDelivered measures alerts that have left for a first console; ahead is how far
// the clock of the alerts is ahead of this machine's.
func (m *measures) noteDelivered(all []doorbell.Delivery, ahead time.Duration) {
	for _, d := range all {
		for seq := max(d.From, d.Upto-maxRaised+1); seq <= d.Upto; seq++ {
			if at, known := m.raised.take(shopSeq{d.Shop, seq}); known {
				observe(m.delivered, d.At.Add(ahead).Sub(at))
			}
		}
	}
}

// observe counts a duration. Clocks that disagree by a moment make no negative ones.
func observe(h prometheus.Histogram, d time.Duration) { h.Observe(max(0, d.Seconds())) }

// noteRaised remembers the alerts that ring of those that this node has committed.
func (m *measures) noteRaised(alerts []doorbell.Alert) {
	for _, a := range alerts {
		if a.Type.Rings() {
			m.raised.add(shopSeq{a.Shop, a.Seq}, a.Time)
		}
	}
}

// heardByBus passes another node's messages on and remembers the alerts among them
// that ring.
type heardByBus struct {
	bus.Receiver
	*measures
}

// Receive implements bus.Receiver. An alert that was too long for the bus is not
// measured.
func (h heardByBus) Receive(n doorbell.PeerAlert) {
	var a struct {
		Time time.Time `json:"time"`
	}
	if n.Type.Rings() && json.Unmarshal(n.Data, &a) == nil {
		h.raised.add(shopSeq{n.Shop, n.Seq}, a.Time)
	}
	h.Receiver.Receive(n)
}

// maxRaised bounds the alerts that are remembered until they leave for a console: a
// few minutes of the busiest day.
const maxRaised = 8192

type shopSeq struct {
	shop doorbell.ShopID
	seq  doorbell.Seq
}

// raised are the times of the latest alerts that have not left for a console yet.
type raised struct {
	mu    sync.Mutex // guards all below
	at    map[shopSeq]time.Time
	order []shopSeq // a ring of maxRaised
	next  int       // in order
}

func (r *raised) add(one shopSeq, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[shopSeq]time.Time{}
	}
	if len(r.order) < maxRaised {
		r.order = append(r.order, one)
	} else {
		delete(r.at, r.order[r.next])
		r.order[r.next] = one
		r.next = (r.next + 1) % maxRaised
	}
	r.at[one] = at
}

func (r *raised) take(one shopSeq) (at time.Time, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, known = r.at[one]
	delete(r.at, one)
	return at, known
}
