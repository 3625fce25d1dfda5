package store

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

// testUnheard: an unheard alert is reported once; one that was heard or silenced
// or is too new is not.
func testUnheard(t *testing.T, db database) {
	s := db.open(t, nil)
	var seqs []doorbell.Seq
	for i := range 5 {
		seqs = append(seqs, appendOne(t, s, alertOf(1, doorbell.OrderID(i+1), doorbell.NewOrder)).Seq)
	}
	appendOne(t, s, alertOf(1, 2, doorbell.TakenCare))
	for _, r := range []doorbell.Receipt{
		{Shop: 1, Seq: seqs[2], Console: "c", Stage: doorbell.Sounded},
		{Shop: 1, Seq: seqs[3], Console: "c", Stage: doorbell.Shown},
		{Shop: 1, Seq: seqs[3], Console: "c", Stage: doorbell.Silent},
	} {
		if err := s.SaveReceipt(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	wantUnheard := func(want ...doorbell.Seq) {
		t.Helper()
		alerts, err := s.Unheard(t.Context(), now().Add(time.Hour), 10)
		var got []doorbell.Seq
		for _, a := range alerts {
			got = append(got, a.Seq)
		}
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("unheard %v, %v; want %v", got, err, want)
		}
	}
	wantUnheard(seqs[0], seqs[3], seqs[4])
	if alerts, err := s.Unheard(t.Context(), now().Add(-time.Hour), 10); err != nil || len(alerts) != 0 {
		t.Errorf("unheard an hour ago: %v, %v", alerts, err)
	}
	for seq, want := range map[doorbell.Seq][]bool{seqs[0]: {true, false}, seqs[1]: {false}, seqs[2]: {false}, 99: {false}} {
		for _, told := range want {
			err := s.Write(t.Context(), func(tx doorbell.Tx) error {
				got, err := tx.MarkUnheard(1, seq)
				if got != told {
					t.Errorf("alert %d reported: %v, want %v", seq, got, told)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	wantUnheard(seqs[3], seqs[4])
}

// testLease: a lease has one holder at a time, who may extend it; the next holder
// gets it when the lease ends or is released.
func testLease(t *testing.T, db database) {
	s := db.open(t, nil)
	for i, step := range []struct {
		holder string
		until  time.Duration
		want   bool
	}{
		{"one", time.Minute / 2, true},
		{"two", time.Minute / 2, false},
		{"one", time.Minute / 2, true},
		{"one", -time.Second, true},
		{"two", time.Minute / 2, true},
		{"one", time.Minute / 2, false},
	} {
		if got, err := s.Lease(t.Context(), "work", step.holder, now().Add(step.until)); err != nil || got != step.want {
			t.Errorf("step %d: %s holds the lease: %v, %v; want %v", i, step.holder, got, err, step.want)
		}
	}
	if got, err := s.Lease(t.Context(), "other work", "one", now().Add(time.Minute/2)); err != nil || !got {
		t.Errorf("another lease: %v, %v", got, err)
	}
	for holder, want := range map[string]bool{"one": false, "two": true} { // only the holder can release it
		if err := s.Release(t.Context(), "work", holder); err != nil {
			t.Fatal(err)
		}
		if want {
			if got, err := s.Lease(t.Context(), "work", "three", now().Add(time.Minute/2)); err != nil || !got {
				t.Errorf("after %s released it: %v, %v", holder, got, err)
			}
		}
	}
}

// testOutbox: which messages are due, in which order, and which are kept.
func testOutbox(t *testing.T, db database) {
	s := db.open(t, nil)
	at := doorbell.Instant(now())
	message := func(hook, id string, in time.Duration) doorbell.Outgoing {
		return doorbell.Outgoing{Hook: hook, Message: id, Event: doorbell.OrderPaid, Shop: 1, Body: []byte("{\"é\":1}\n\x00"), NextAt: at.Add(in), CreatedAt: at}
	}
	raw := message(doorbell.ForwardHook, "d", 0)
	raw.Header = http.Header{"A": {"1", "2"}}
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		for _, o := range []doorbell.Outgoing{message("h", "b", 0), message("h", "a", -time.Minute), message("h", "c", time.Minute), raw} {
			if err := tx.Enqueue(o); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	due, err := s.Due(t.Context(), "h", at, 10)
	if err != nil || len(due) != 2 || due[0].Message != "a" || due[1].Message != "b" {
		t.Fatalf("due: %+v, %v; want a, then b", due, err)
	}
	want := message("h", "a", -time.Minute)
	want.ID = due[0].ID
	if diff := cmp.Diff(want, due[0]); diff != "" {
		t.Errorf("a (-want +got):\n%s", diff)
	}
	passOn, err := s.Due(t.Context(), doorbell.ForwardHook, at, 10)
	if err != nil || len(passOn) != 1 || !cmp.Equal(passOn[0].Header, raw.Header) {
		t.Fatalf("due for forwarding: %+v, %v", passOn, err)
	}
	due[0].State, due[0].Attempts = doorbell.Delivered, 1
	due[1].State, due[1].LastError, due[1].Attempts = doorbell.GivenUp, "HTTP 500", 13
	passOn[0].State = doorbell.Delivered
	for _, o := range append(due, passOn...) {
		if err := s.SaveAttempt(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if waiting, givenUp, err := s.Backlog(t.Context()); err != nil || waiting != 1 || givenUp != 1 {
		t.Errorf("%d wait, %d given up, %v; want 1 and 1", waiting, givenUp, err)
	}
	if all, err := s.Outgoing(t.Context(), OutgoingQuery{Any: true, Limit: 10}); err != nil || len(all) != 3 {
		t.Errorf("kept %d, %v; want 3, without the forwarded one", len(all), err)
	}
	if n, err := s.SendAgain(t.Context(), 0); err != nil || n != 1 {
		t.Errorf("given-up messages queued again: %d, %v", n, err)
	}
	if n, err := s.SendAgain(t.Context(), due[0].ID); err != nil || n != 1 {
		t.Errorf("one message queued again: %d, %v", n, err)
	}
	if again, err := s.Due(t.Context(), "h", now().Add(time.Second), 10); err != nil || len(again) != 2 || again[0].Attempts != 0 {
		t.Errorf("due again: %+v, %v", again, err)
	}
	if err := s.Prune(t.Context(), Retention{Alerts: time.Hour, Orders: time.Hour, Inbox: time.Hour}, now().Add(keptOutgoing+time.Hour)); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Outgoing(t.Context(), OutgoingQuery{Any: true, Limit: 10}); err != nil || len(all) != 0 {
		t.Errorf("kept %d after a week, %v", len(all), err)
	}
}

// testUnpaid: lists unpaid orders by age, page by page.
func testUnpaid(t *testing.T, db database) {
	s := db.open(t, nil)
	at := doorbell.Instant(now())
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		for i, number := range []string{"A", "B", "C", "D"} {
			o := doorbell.Order{Number: number, Shop: 1, User: 1, Status: 1, Money: doorbell.Money{Minor: 1, Currency: "CNY"}, CreatedAt: at.Add(-time.Duration(i/2) * time.Hour)}
			o, err := tx.InsertOrder(o)
			if err != nil {
				return err
			}
			if number == "B" {
				o.PayStatus = doorbell.Paid
				if err := tx.UpdateOrder(o); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	var last doorbell.Order
	for {
		page, err := s.Unpaid(t.Context(), at.Add(-2*time.Hour), at, last, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		last = page[0]
		got = append(got, last.Number)
	}
	if !slices.Equal(got, []string{"C", "D", "A"}) {
		t.Errorf("unpaid %v, want C, D, A", got)
	}
	if page, err := s.Unpaid(t.Context(), at.Add(-2*time.Hour), at.Add(-time.Minute), doorbell.Order{}, 10); err != nil || len(page) != 2 {
		t.Errorf("older than a minute: %d, %v; want 2", len(page), err)
	}
}

// testInbox: lists the inbox by verdict, provider and number.
func testInbox(t *testing.T, db database) {
	s := db.open(t, nil)
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		for i, n := range []doorbell.Notice{{Provider: "wechat", Transaction: "1", Number: "A"}, {Provider: "alipay", Transaction: "2", Number: "A"}, {Provider: "wechat", Transaction: "3", Number: "B"}} {
			n.Kind, n.Currency = doorbell.PaymentNotice, "CNY"
			verdict := doorbell.Settled
			if i == 2 {
				verdict = doorbell.AmountDiffers
			}
			if err := tx.SaveCallback(doorbell.Callback{Notice: n, Verdict: verdict, Times: 1, LastAt: now().Add(time.Duration(i) * time.Second)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    InboxQuery
		want []string
	}{
		{InboxQuery{}, []string{"3", "2", "1"}},
		{InboxQuery{Verdict: doorbell.AmountDiffers}, []string{"3"}},
		{InboxQuery{Provider: "wechat"}, []string{"3", "1"}},
		{InboxQuery{Number: "A"}, []string{"2", "1"}},
		{InboxQuery{Number: "A", Provider: "wechat"}, []string{"1"}},
		{InboxQuery{Number: "C"}, nil},
	} {
		c.q.Limit = 10
		lines, err := s.Inbox(t.Context(), c.q)
		var got []string
		for _, l := range lines {
			got = append(got, l.Transaction)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v; want %v", c.q, got, err, c.want)
		}
	}
	if _, err := s.Received(t.Context(), doorbell.Notice{Provider: "wechat", Kind: doorbell.RefundNotice, Transaction: "1"}); doorbell.CodeOf(err) != doorbell.NotFound {
		t.Errorf("a missing row: %v", err)
	}
}

// TestManyColdReads: readers that each hold a connection and run a statement for
// the first time don't wait for each other.
func TestManyColdReads(t *testing.T) { onAll(t, testManyColdReads) }

func testManyColdReads(t *testing.T, db database) {
	times := 20
	if db.name != "sqlite" { // the test has a database of its own
		times = 2
	}
	for range times {
		s := db.open(t, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		var reading sync.WaitGroup
		for i := range 64 {
			reading.Go(func() {
				shops := make([]doorbell.ShopID, i%16+1)
				for k := range shops {
					shops[k] = doorbell.ShopID(k + 1)
				}
				_, _, err1 := s.Positions(ctx, shops)
				_, err2 := s.Alerts(ctx, doorbell.AlertQuery{Shop: 1, OpenOnly: i%2 == 0, Type: doorbell.Type(i % 3), Limit: 10})
				if err := errors.Join(err1, err2); err != nil {
					t.Error(err)
				}
			})
		}
		reading.Wait()
		cancel()
		if t.Failed() {
			return
		}
	}
}
