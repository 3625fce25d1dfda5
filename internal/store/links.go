package store

import (
	"database/sql"
	"errors"
	"fmt"

	"doorbell/internal/doorbell"
)

// maxLinks bounds the shops whose last nonce a connection remembers: some 200 KB.
const maxLinks = 4096

// links caches the epoch and the shops' last nonces for the one connection that
// writes to SQLite: reading both for each alert took a tenth of the commit's CPU.
type links struct {
	epoch string                       // as read in the open transaction; empty: not read yet
	last  map[doorbell.ShopID]appended // nil: not cached
}

type appended struct {
	seq   doorbell.Seq
	nonce doorbell.Nonce
}

// forget empties the cache after a rollback.
func (l *links) forget() {
	l.epoch = ""
	clear(l.last)
}

func (l *links) keep(a doorbell.Alert) {
	if len(l.last) >= maxLinks {
		clear(l.last)
	}
	if l.last != nil {
		l.last[a.Shop] = appended{a.Seq, a.Nonce}
	}
}

// knownLink returns the epoch and the nonce of the alert before seq, from the
// cache where possible.
func (t *txn) knownLink(shop doorbell.ShopID, seq doorbell.Seq) (epoch string, prev doorbell.Nonce, err error) {
	if t.links.last == nil {
		t.links.last = map[doorbell.ShopID]appended{}
	}
	if t.links.epoch == "" {
		if err := t.row(`select value from meta where name = 'epoch'`).Scan(&t.links.epoch); err != nil {
			return "", 0, fmt.Errorf("read the epoch: %w", err)
		}
	}
	// Only the cached nonce of seq-1 counts: another process may have written in
	// between.
	if l := t.links.last[shop]; l.seq == seq-1 && seq > 1 {
		return t.links.epoch, l.nonce, nil
	}
	err = t.row(`select nonce from alerts where shop_id = ? and seq = ?`, shop, seq-1).Scan(&prev)
	if errors.Is(err, sql.ErrNoRows) {
		return t.links.epoch, 0, nil
	}
	return t.links.epoch, prev, err
}
