package transport

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"doorbell/internal/doorbell"
)

// run stores which pages are connected, and reports those that did not come back,
// until ctx ends.
func (b *tabRegistry) run(ctx context.Context, h *Hub) {
	b.load(ctx, h)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			b.save(ctx, h)
			b.tellLost(ctx, now)
		case <-ctx.Done():
			return
		}
	}
}

// savedTabs is the stored form of a shop's pages.
type savedTabs struct {
	Shop     doorbell.ShopID `json:"shop"`
	Departed []departedTab   `json:"departed"`
}

func (b *tabRegistry) load(ctx context.Context, h *Hub) {
	if b.o.Load == nil {
		return
	}
	defer close(b.loaded)
	text, err := b.o.Load(ctx)
	if err != nil {
		h.logError(ctx, "read the connected pages", err)
		return
	}
	if len(text) == 0 {
		return
	}
	var saved []savedTabs
	if err := json.Unmarshal(text, &saved); err != nil {
		h.logger.WarnContext(ctx, "reading the connected pages failed", "error", err)
		return
	}
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range saved {
		p := b.of(s.Shop)
		for _, d := range s.Departed {
			if !d.Clean && !d.Answered {
				d.At = now // it could not come back while no process ran
			}
			p.departed = append(p.departed, d)
		}
	}
}

// save stores the pages for the next process: the connected ones end with this
// one.
func (b *tabRegistry) save(ctx context.Context, h *Hub) {
	b.saving.Lock() // an older state never overwrites a newer one
	defer b.saving.Unlock()
	now := time.Now()
	b.mu.Lock()
	if !b.changed || b.o.Save == nil {
		b.mu.Unlock()
		return
	}
	b.changed = false
	var saved []savedTabs
	for shop, p := range b.shops {
		all := slices.Clone(p.departed[max(0, len(p.departed)-maxSaved):])
		for s := range p.here {
			all = append(all, departedTab{Browser: s.Browser, At: now})
		}
		saved = append(saved, savedTabs{shop, all})
	}
	b.mu.Unlock()
	slices.SortFunc(saved, func(x, y savedTabs) int { return cmp.Compare(x.Shop, y.Shop) })
	if err := b.o.Save(ctx, encode(saved)); err != nil {
		h.logError(ctx, "keep which pages there are", err)
		b.mu.Lock()
		b.changed = true
		b.mu.Unlock()
	}
}

// tellLost reports the pages that are visible but dead.
func (b *tabRegistry) tellLost(ctx context.Context, now time.Time) {
	type loss struct {
		shop  doorbell.ShopID
		pages int
		since time.Time
	}
	var losses []loss
	b.mu.Lock()
	for shop, p := range b.shops {
		l := loss{shop: shop}
		for i, d := range p.departed {
			if d.Clean || d.Answered || now.Sub(d.At) < lostAfter {
				continue
			}
			p.departed[i].Answered = true
			b.changed = true
			if l.pages++; l.pages == 1 || d.At.Before(l.since) {
				l.since = d.At
			}
		}
		if l.pages > 0 {
			losses = append(losses, l)
		}
	}
	b.mu.Unlock()
	for _, l := range losses {
		if b.o.Lost != nil {
			b.o.Lost(ctx, l.shop, l.pages, l.since)
		}
	}
}
