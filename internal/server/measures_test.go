package server

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	client "github.com/prometheus/client_model/go"

	"doorbell/internal/bus"
	"doorbell/internal/doorbell"
)

// counted returns how many durations a histogram has, and their sum in seconds.
func counted(t *testing.T, h prometheus.Histogram) (n uint64, sum float64) {
	t.Helper()
	var m client.Metric
	if err := h.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()
}

// hears keeps the messages that were passed on.
type hears struct {
	bus.Receiver
	got []doorbell.PeerAlert
}

func (h *hears) Receive(n doorbell.PeerAlert) { h.got = append(h.got, n) }

// TestDeliveriesAreMeasured of this node's alerts and of another's, each once and only
// of those that ring; by the database's clock, and never negative.
func TestDeliveriesAreMeasured(t *testing.T) {
	m, began := newMeasures(), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	alert := func(seq doorbell.Seq, typ doorbell.Type) doorbell.Alert {
		return doorbell.Alert{Shop: 1, Seq: seq, Type: typ, Time: began, Source: doorbell.FromOrder}
	}
	m.noteRaised([]doorbell.Alert{alert(1, doorbell.NewOrder), alert(2, doorbell.TakenCare)})
	peer := alert(3, doorbell.Reminder)
	to := &hears{}
	heard := heardByBus{to, m}
	heard.Receive(doorbell.PeerAlert{Shop: 1, Seq: 3, Type: peer.Type, Data: peer.Encode()})
	heard.Receive(doorbell.PeerAlert{Shop: 1, Seq: 4, Type: doorbell.NewOrder}) // was too long
	if len(to.got) != 2 {
		t.Fatalf("%d messages passed on, want both", len(to.got))
	}
	left := []doorbell.Delivery{{Shop: 1, From: 1, Upto: 4, At: began.Add(2 * time.Second)}}
	m.noteDelivered(left, time.Second)
	m.noteDelivered(left, time.Second) // another console
	if n, sum := counted(t, m.delivered); n != 2 || sum != 6 {
		t.Errorf("%d deliveries in %v s, want 2 in 6", n, sum)
	}
	m.noteRaised([]doorbell.Alert{alert(5, doorbell.NewOrder)})
	m.noteDelivered([]doorbell.Delivery{{Shop: 1, From: 5, Upto: 5, At: began.Add(-time.Hour)}}, 0)
	if n, sum := counted(t, m.delivered); n != 3 || sum != 6 {
		t.Errorf("%d deliveries in %v s after a clock that was set back, want 3 in 6", n, sum)
	}
}

// TestRaisedIsBounded: of alerts that nobody gets the latest are remembered.
func TestRaisedIsBounded(t *testing.T) {
	var r raised
	at := time.Now()
	for seq := range doorbell.Seq(3 * maxRaised) {
		r.add(shopSeq{1, seq}, at)
	}
	if len(r.at) != maxRaised || len(r.order) != maxRaised {
		t.Errorf("%d remembered in %d places, want %d", len(r.at), len(r.order), maxRaised)
	}
	if _, known := r.take(shopSeq{1, 2*maxRaised - 1}); known {
		t.Error("an old one is remembered")
	}
	if _, known := r.take(shopSeq{1, 2 * maxRaised}); !known {
		t.Error("the oldest of the latest is not remembered")
	}
}
