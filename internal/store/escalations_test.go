package store

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/doorbell"
)

// testEscalations: of many claims of one step at once one succeeds, none does
// after the accept, and the outcome of its message is stored with the step.
func testEscalations(t *testing.T, db database) {
	s := db.open(t, nil)
	a := appendOne(t, s, alertOf(1, 7, doorbell.NewOrder))
	at := doorbell.Instant(now())
	claim := func(seq doorbell.Seq, rung, round int, message string) (claimed, rings bool) {
		err := s.Write(t.Context(), func(tx doorbell.Tx) (err error) {
			step := doorbell.Step{Rung: rung, Round: round}
			claimed, rings, err = tx.Claim(doorbell.Escalation{Shop: 1, Seq: seq, Step: step, To: "owner", Message: message, At: at})
			if err != nil || !claimed {
				return err
			}
			return tx.Enqueue(doorbell.Outgoing{Hook: "notify:owner", Message: message, Event: doorbell.AlertEscalated, Shop: 1, About: seq, Body: []byte(`{}`), NextAt: at, CreatedAt: at})
		})
		if err != nil {
			t.Error(err)
		}
		return claimed, rings
	}
	var asking sync.WaitGroup
	var mu sync.Mutex
	first := 0
	for range 16 {
		asking.Go(func() {
			claimed, rings := claim(a.Seq, 1, 2, "m1")
			mu.Lock()
			defer mu.Unlock()
			if claimed {
				first++
			}
			if !rings {
				t.Error("the alert still rings")
			}
		})
	}
	asking.Wait()
	due, err := s.Due(t.Context(), "notify:owner", at, 10)
	if first != 1 || len(due) != 1 || err != nil || due[0].About != a.Seq {
		t.Fatalf("%d claimed, queued %+v, %v; want one", first, due, err)
	}
	claim(a.Seq, 1, 1, "m2")
	claim(a.Seq, 0, 0, "m3")
	told, err := s.Told(t.Context(), 1, a.Seq)
	if diff := cmp.Diff(doorbell.Rounds{0: 0, 1: 2}, told); diff != "" || err != nil {
		t.Errorf("told (-want +got), %v:\n%s", err, diff)
	}
	due[0].State, due[0].Attempts = doorbell.Delivered, 1
	if err := s.SaveAttempt(t.Context(), due[0]); err != nil {
		t.Fatal(err)
	}
	var state doorbell.OutgoingState
	if err := s.reads.one(t.Context(), `select state from escalations where message = 'm1'`).Scan(&state); err != nil || state != doorbell.Delivered {
		t.Errorf("the step's state is %v, %v; want delivered", state, err)
	}
	late := due[0] // another sender, which had lost the lease, was told the same later
	late.LastError = "later"
	if err := s.SaveAttempt(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	var words string
	if err := s.reads.one(t.Context(), `select last_error from escalations where message = 'm1'`).Scan(&words); err != nil || words != "" {
		t.Errorf("a second outcome was stored with the step: %q, %v; want the first", words, err)
	}
	since := func(want ...doorbell.Seq) {
		t.Helper()
		rings, err := s.RingingSince(t.Context(), at.Add(-time.Hour), 10)
		var got []doorbell.Seq
		for _, a := range rings {
			got = append(got, a.Seq)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("rings (-want +got), %v:\n%s", err, diff)
		}
	}
	since(a.Seq)
	appendOne(t, s, alertOf(1, 7, doorbell.TakenCare))
	since()
	if claimed, rings := claim(a.Seq, 2, 0, "m4"); claimed || rings {
		t.Errorf("after the accept: claimed %v, rings %v", claimed, rings)
	}
	if claimed, rings := claim(99, 0, 0, "m5"); claimed || rings {
		t.Errorf("no such alert: claimed %v, rings %v", claimed, rings)
	}
	for seq, want := range map[doorbell.Seq]bool{a.Seq: false, 99: false} {
		if rings, err := s.Rings(t.Context(), 1, seq); rings != want || err != nil {
			t.Errorf("alert %d rings: %v, %v", seq, rings, err)
		}
	}
}

// TestClaimHoldsTheAccept: while a node claims a step, another node's accept waits:
// it comes before the claim, which then finds that nothing rings, or after it.
func TestClaimHoldsTheAccept(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		url := db.url(t)
		claims, accepts := openURL(t, url, nil), openURL(t, url, nil)
		a := appendOne(t, claims, alertOf(1, 7, doorbell.NewOrder))
		accepted := make(chan error, 1)
		err := claims.Write(t.Context(), func(tx doorbell.Tx) error {
			claimed, rings, err := tx.Claim(doorbell.Escalation{Shop: 1, Seq: a.Seq, To: "owner", Message: "m1", At: doorbell.Instant(now())})
			if err != nil || !claimed || !rings {
				return fmt.Errorf("claimed %v, rings %v: %w", claimed, rings, err)
			}
			go func() {
				accepted <- accepts.Write(t.Context(), func(tx doorbell.Tx) error {
					_, err := tx.Append(alertOf(1, 7, doorbell.TakenCare))
					return err
				})
			}()
			select {
			case err := <-accepted:
				return fmt.Errorf("the alert was accepted during the claim: %w", err)
			case <-time.After(200 * time.Millisecond): // nothing tells that it waits
				return nil
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-accepted; err != nil {
			t.Errorf("accept after the claim: %v", err)
		}
	})
}
