package server

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/transport"
)

const (
	// openStep is how many of the alerts that ring are read at once for a page, and
	// maxOpen how many in all.
	openStep = 200
	maxOpen  = 2000
	// maxShown bounds the receipts of pages that wait to be written.
	maxShown = 4096
)

// pages is what sky-take-out's pages need of the rest of the program: they send
// neither receipts nor a word when they are gone.
type pages struct {
	server *Server
	shown  chan doorbell.Receipt
	lost   atomic.Int64
}

func (s *Server) newPages() *pages {
	return &pages{server: s, shown: make(chan doorbell.Receipt, maxShown)}
}

func (p *pages) options() transport.PageOptions {
	return transport.PageOptions{Open: p.open, Load: p.server.store.Pages, Save: p.server.store.SavePages, Shown: p.note, Lost: p.tellLost}
}

// open returns the alerts of a shop that ring, written since a time, rising.
func (p *pages) open(ctx context.Context, shop doorbell.ShopID, since time.Time) (out []doorbell.Alert, err error) {
	for before := doorbell.Seq(0); len(out) < maxOpen; {
		page, err := p.server.store.Alerts(ctx, doorbell.AlertQuery{Shop: shop, OpenOnly: true, Before: before, Limit: openStep})
		if err != nil {
			return nil, err
		}
		for _, a := range page.Alerts {
			if a.Time.Before(since) {
				page.Next = 0
				break
			}
			out = append(out, a.Alert)
		}
		if before = page.Next; before == 0 {
			break
		}
	}
	slices.Reverse(out)
	return out, nil
}

// note queues the receipts of alerts that a page's browser has read. What finds no
// room is not written: a receipt less makes nobody believe that somebody heard.
func (p *pages) note(s *transport.Session, seqs []doorbell.Seq) {
	for _, seq := range seqs {
		select {
		case p.shown <- doorbell.Receipt{Shop: s.Shops[0], Seq: seq, Console: s.ID(), Stage: doorbell.Shown, Reason: "plain", By: "console:" + s.Grant.Subject}:
		default:
		}
	}
}

// run writes the receipts until ctx ends.
func (p *pages) run(ctx context.Context) error {
	for {
		select {
		case r := <-p.shown:
			if err := p.server.service.Receive(ctx, r); err != nil && ctx.Err() == nil && doorbell.CodeOf(err) != doorbell.NotFound {
				p.server.log.ErrorContext(ctx, "receipt of a page not written", "shop", r.Shop, "seq", r.Seq, "error", err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *pages) tellLost(ctx context.Context, shop doorbell.ShopID, n int, since time.Time) {
	p.lost.Add(int64(n))
	if err := p.server.service.TellPageLost(ctx, shop, n, since); err != nil && ctx.Err() == nil {
		p.server.log.ErrorContext(ctx, "the loss of a page was not told", "shop", shop, "error", err)
		return
	}
	p.server.hooks.Wake()
}
