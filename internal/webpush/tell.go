package webpush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"doorbell/internal/doorbell"
)

// Text is what a shop's devices are told that is no alert of the log.
type Text struct {
	Event string          `json:"event"`
	Shop  doorbell.ShopID `json:"shopId"`
	Title string          `json:"title"`
	Body  string          `json:"body"`
}

// Tell pushes a text to all devices that take a shop's pushes, now. It is an error
// when none of them was reached.
func (s *Sender) Tell(ctx context.Context, shop doorbell.ShopID, text Text) error {
	text.Shop = shop
	payload, err := json.Marshal(text)
	if err != nil {
		return err
	}
	to, err := s.Store.Pushes(ctx, shop)
	if err != nil {
		return err
	}
	if len(to) == 0 {
		return errors.New("no device of this shop takes pushes")
	}
	reached := 0
	var last error
	for _, p := range to {
		if err := p.Check(); err != nil {
			last = err
			continue
		}
		status, err := s.post(ctx, p, payload)
		switch {
		case err == nil && status/100 == 2:
			reached++
			s.sent.Add(1)
			continue
		case err == nil && (status == http.StatusNotFound || status == http.StatusGone): // the browser has unsubscribed
			s.forget(ctx, job{to: p, service: host(p.Endpoint)}, fmt.Errorf("HTTP %d", status))
		}
		if err == nil {
			err = fmt.Errorf("HTTP %d", status)
		} else if e, network := errors.AsType[*url.Error](err); network {
			err = e.Err // without the address
		}
		last = fmt.Errorf("%s: %w", host(p.Endpoint), err)
	}
	if reached == 0 {
		return last
	}
	return nil
}
