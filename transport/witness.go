package transport

import (
	"context"
	"slices"
	"sync"

	"doorbell/internal/doorbell"
)

// maxWitnesses bounds the shops without followers that each audit looks up.
const maxWitnesses = 16

// witness is an alert that this node has committed.
type witness struct {
	shop doorbell.ShopID
	seq  doorbell.Seq
	link doorbell.Link
}

// witnesses are the latest committed alerts, one per shop. A log that goes back
// loses its latest commits: with witnesses this is detected even if no console
// follows the shops concerned, and before one comes with a cursor into the lost
// alerts.
type witnesses struct {
	mu     sync.Mutex
	latest []witness // the newest last
}

func (w *witnesses) note(a doorbell.Alert) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(a.Shop)
	if len(w.latest) == maxWitnesses {
		w.latest = slices.Delete(w.latest, 0, 1)
	}
	w.latest = append(w.latest, witness{a.Shop, a.Seq, a.Link})
}

// drop removes a shop's witness. Needs w.mu.
func (w *witnesses) drop(shop doorbell.ShopID) {
	w.latest = slices.DeleteFunc(w.latest, func(x witness) bool { return x.shop == shop })
}

// unfollowed returns the witnesses whose shop has no feed.
func (h *Hub) unfollowed() []witness {
	h.witnesses.mu.Lock()
	all := slices.Clone(h.witnesses.latest)
	h.witnesses.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(all, func(w witness) bool { return h.feeds[w.shop] != nil })
}

// auditWitnesses checks that the log still has what this node committed.
func (h *Hub) auditWitnesses(ctx context.Context) {
	all := h.unfollowed()
	if len(all) == 0 {
		return
	}
	shops := make([]doorbell.ShopID, len(all))
	for i, w := range all {
		shops[i] = w.shop
	}
	epoch, at, changed, err := h.positions(ctx, shops)
	if err != nil {
		h.logError(ctx, "audit what was committed", err)
		return
	}
	if changed {
		return
	}
	for _, w := range all {
		if w.link.Epoch != epoch { // the epoch has changed since, which is known
			h.witnesses.mu.Lock()
			h.witnesses.drop(w.shop)
			h.witnesses.mu.Unlock()
			continue
		}
		lost, err := h.lost(ctx, w, at[w.shop])
		if err != nil {
			h.logError(ctx, "audit what was committed", err)
			return
		}
		if lost {
			h.wentBack(ctx, epoch, w.shop, w.seq)
			return
		}
	}
}

// lost reports whether the log has lost an alert, or has another one in its place.
func (h *Hub) lost(ctx context.Context, w witness, at doorbell.Position) (bool, error) {
	switch {
	case at.Head <= w.seq:
		return at.Head < w.seq || !at.Nonce.Fits(w.link.Nonce), nil
	case at.Oldest > w.seq: // pruned
		return false, nil
	}
	rows, err := h.log.AlertsAfter(ctx, w.shop, w.seq-1, 1)
	return len(rows) == 1 && rows[0].Seq == w.seq && !rows[0].Nonce.Fits(w.link.Nonce), err
}
