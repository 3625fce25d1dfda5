package store

import (
	"errors"
	"path/filepath"
	"testing"

	"doorbell/internal/doorbell"
)

// testLinks: each alert carries the epoch and the nonce of the alert before it, as
// its own transaction saw them; Positions and the rows agree.
func testLinks(t *testing.T, db database) {
	s := db.open(t, nil)
	var out []doorbell.Alert
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		out = nil
		for i := range 3 {
			a, err := tx.Append(alertOf(7, doorbell.OrderID(i+1), doorbell.NewOrder))
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, appendOne(t, s, alertOf(7, 9, doorbell.TakenCare)))
	epoch, at, err := s.Positions(t.Context(), []doorbell.ShopID{7, 8})
	if err != nil {
		t.Fatal(err)
	}
	prev, seen := doorbell.Nonce(0), map[doorbell.Nonce]bool{}
	for _, a := range out {
		if a.Prev != prev || a.Nonce == 0 || seen[a.Nonce] || a.Epoch != epoch {
			t.Errorf("alert %d has %+v, want its own nonce, %d for the one before and epoch %s", a.Seq, a.Link, prev, epoch)
		}
		prev, seen[a.Nonce] = a.Nonce, true
	}
	if at[7].Nonce != prev || at[8].Nonce != 0 {
		t.Errorf("positions tell %d and %d, want %d and none", at[7].Nonce, at[8].Nonce, prev)
	}
	rows, err := s.AlertsAfter(t.Context(), 7, 0, 10)
	if err != nil || len(rows) != len(out) {
		t.Fatalf("%d rows (%v), want %d", len(rows), err, len(out))
	}
	for i, a := range rows {
		if a.Nonce != out[i].Nonce {
			t.Errorf("row %d has nonce %d, want %d", a.Seq, a.Nonce, out[i].Nonce)
		}
	}
	if err := s.DrawEpoch(t.Context(), epoch); err != nil {
		t.Fatal(err)
	}
	if a := appendOne(t, s, alertOf(7, 10, doorbell.NewOrder)); a.Epoch == epoch || a.Epoch == "" {
		t.Errorf("epoch %q of an alert after %q was replaced", a.Epoch, epoch)
	}
}

// TestLinksAfterARollback: an alert that was rolled back, or after which another
// process has written, is not taken for the alert before.
func TestLinksAfterARollback(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.db")
	one, other := openFile(t, file, nil), openFile(t, file, nil)
	appendOne(t, one, alertOf(1, 1, doorbell.NewOrder))
	refusal := errors.New("refused")
	err := one.Write(t.Context(), func(tx doorbell.Tx) error {
		if _, err := tx.Append(alertOf(1, 2, doorbell.NewOrder)); err != nil {
			return err
		}
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Fatal(err)
	}
	last := appendOne(t, other, alertOf(1, 3, doorbell.NewOrder)) // takes the rolled-back seq
	for i, by := range []*Store{one, other, one, one, other, other, one} {
		if a := appendOne(t, by, alertOf(1, doorbell.OrderID(10+i), doorbell.NewOrder)); a.Prev != last.Nonce {
			t.Errorf("alert %d has the previous nonce %d, want %d", a.Seq, a.Prev, last.Nonce)
		} else {
			last = a
		}
	}
}
