package client

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"time"

	"doorbell/internal/doorbell"
)

// query returns the stream's query, from the last cursor.
func (f *follower) query() string {
	q := url.Values{}
	if f.Shops != "" {
		q.Set("shops", f.Shops)
	}
	switch {
	case f.known:
		q.Set("after", f.cursor.String())
	case f.After != "":
		q.Set("after", f.After)
	}
	return "?" + q.Encode()
}

// take shows an alert, if it is the next one of its shop.
func (f *follower) take(data []byte) {
	var a struct {
		Shop doorbell.ShopID `json:"shopId"`
		Seq  doorbell.Seq    `json:"seq"`
	}
	if json.Unmarshal(data, &a) != nil || a.Seq <= f.cursor.Seqs[a.Shop] {
		return
	}
	f.cursor.Seqs[a.Shop] = a.Seq
	f.Alert(data)
}

// note keeps what hello and reset say of the cursor, and shows the event.
func (f *follower) note(name string, data []byte) error {
	switch name {
	case "hello", "reset":
		var e struct {
			Cursor string            `json:"cursor"`
			Shops  []doorbell.ShopID `json:"shops"`
		}
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		c, err := doorbell.ParseCursor(e.Cursor)
		if err != nil {
			return err
		}
		f.move(c, name == "reset", e.Shops)
	case "bye":
		f.bye(data)
	}
	f.Event(name, data)
	return nil
}

// move takes from a server's cursor what the follower has no place of yet, and the
// places of shops that were reset. A hello alone moves no known place: if the
// connection ends before the reset that belongs to it, the next one must be told
// of that again.
func (f *follower) move(to doorbell.Cursor, reset bool, shops []doorbell.ShopID) {
	if !f.known {
		f.cursor, f.known = to, true
		return
	}
	if reset {
		f.cursor.Epoch = to.Epoch
	}
	for shop, seq := range to.Seqs {
		if _, has := f.cursor.Seqs[shop]; !has || reset && slices.Contains(shops, shop) {
			f.cursor.Seqs[shop] = seq
		}
	}
}

// bye notes when the server asks to be dialled again; after one for the token's
// sake it would be in vain.
func (f *follower) bye(data []byte) {
	var e struct {
		Reason  string `json:"reason"`
		RetryMS int64  `json:"retryMs"`
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	if e.Reason == "auth" {
		f.ended = &Refused{Address: f.URL, Reason: "the token ended, or was revoked"}
	}
	f.asked = min(time.Duration(max(e.RetryMS, 0))*time.Millisecond, maxAfter)
}
