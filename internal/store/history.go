package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"doorbell/internal/doorbell"
)

// Alerts implements doorbell.Store.
func (s *Store) Alerts(ctx context.Context, q doorbell.AlertQuery) (page doorbell.AlertPage, err error) {
	err = s.snapshot(ctx, func(tx snapshot) error {
		epoch, at, err := positions(ctx, tx, []doorbell.ShopID{q.Shop})
		if err != nil {
			return err
		}
		page = doorbell.AlertPage{
			Alerts: []doorbell.AlertState{},
			Cursor: doorbell.Cursor{Epoch: epoch, Seqs: map[doorbell.ShopID]doorbell.Seq{q.Shop: at[q.Shop].Head}},
		}
		if page.Alerts, err = s.readPage(ctx, tx, q); err != nil {
			return err
		}
		if len(page.Alerts) > q.Limit {
			page.Alerts = page.Alerts[:q.Limit]
			page.Next = page.Alerts[q.Limit-1].Seq
		}
		for i := range page.Alerts {
			if err := s.complete(ctx, tx, &page.Alerts[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return page, err
}

// likeEscaper takes from a searched text what like would read.
var likeEscaper = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// readPage reads one more than the limit, to know whether a page follows.
func (s *Store) readPage(ctx context.Context, tx snapshot, q doorbell.AlertQuery) ([]doorbell.AlertState, error) {
	where, args := []string{`shop_id = ?`}, []any{q.Shop}
	and := func(cond string, arg ...any) { where, args = append(where, cond), append(args, arg...) }
	if q.OpenOnly {
		and(`ringing = 1`)
	}
	if q.Type != 0 {
		and(`type = ?`, q.Type)
	}
	if q.Before > 0 {
		and(`seq < ?`, q.Before)
	}
	if q.After > 0 {
		and(`seq > ?`, q.After)
	}
	if q.Search != "" {
		like := "%" + likeEscaper.Replace(q.Search) + "%"
		and(`(number like ? escape '!' or content like ? escape '!')`, like, like)
	}
	rows, err := tx.query(ctx, `select `+alertColumns+`, ringing from alerts where `+
		strings.Join(where, ` and `)+` order by seq desc limit ?`, append(args, q.Limit+1)...)
	if err != nil {
		return nil, fmt.Errorf("read the alerts of shop %d: %w", q.Shop, err)
	}
	out := []doorbell.AlertState{}
	err = eachRow(rows, func(r *sql.Rows) error {
		var st doorbell.AlertState
		var err error
		st.Alert, err = scanAlert(r.Scan, &st.Open)
		out = append(out, st)
		return err
	})
	return out, err
}

// complete adds who silenced an alert, and its receipts.
func (s *Store) complete(ctx context.Context, tx snapshot, st *doorbell.AlertState) error {
	if st.Type.Rings() && !st.Open {
		var c doorbell.Closing
		var at int64
		err := tx.one(ctx, `select type, seq, actor, created_at from alerts
			where shop_id = ? and source = ? and order_id = ? and seq > ? and type in (3, 4) order by seq limit 1`,
			st.Shop, st.Source, st.OrderID, st.Seq).Scan(&c.Type, &c.Seq, &c.By, &at)
		switch {
		case err == nil:
			c.At = instant(at)
			st.Closed = &c
		case !errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("read what closed alert %d: %w", st.Seq, err)
		}
	}
	rows, err := tx.query(ctx, `select console, stage, reason, actor, created_at from receipts
		where shop_id = ? and seq = ? order by created_at, console, stage`, st.Shop, st.Seq)
	if err != nil {
		return fmt.Errorf("read the receipts of alert %d: %w", st.Seq, err)
	}
	st.Receipts = []doorbell.Receipt{}
	return eachRow(rows, func(r *sql.Rows) error {
		var c doorbell.Receipt
		var at int64
		err := r.Scan(&c.Console, &c.Stage, &c.Reason, &c.By, &at)
		c.At = instant(at)
		st.Receipts = append(st.Receipts, c)
		return err
	})
}

// maxReceipts bounds what clients can make one alert weigh: 64 consoles with
// three stages each.
const maxReceipts = 192

// SaveReceipt implements doorbell.Store: NotFound for an alert that there is
// not, silent success for a repeat and for one too many.
func (s *Store) SaveReceipt(ctx context.Context, r doorbell.Receipt) error {
	return s.writer.do(ctx, func(t *txn) error {
		if _, err := t.Alert(r.Shop, r.Seq); err != nil {
			return err
		}
		if r.Stage == doorbell.Sounded { // also one too many to be kept
			if err := t.exec(`update alerts set heard = 1 where shop_id = ? and seq = ? and heard = 0`, r.Shop, r.Seq); err != nil {
				return err
			}
		}
		var n int
		if err := t.row(`select count(*) from receipts where shop_id = ? and seq = ?`, r.Shop, r.Seq).Scan(&n); err != nil || n >= maxReceipts {
			return err
		}
		return t.exec(`insert into receipts (shop_id, seq, console, stage, reason, actor, created_at) values (?, ?, ?, ?, ?, ?, ?)
			on conflict (shop_id, seq, console, stage) do nothing`,
			r.Shop, r.Seq, r.Console, r.Stage, r.Reason, r.By, millis(r.At))
	})
}

// maxTimings bounds what one day is summed up from.
const maxTimings = 20_000

// Timings implements doorbell.Store. It walks back from the shop's newest
// alert: seqs rise with time.
func (s *Store) Timings(ctx context.Context, shop doorbell.ShopID, from, to time.Time) (out []doorbell.Timing, err error) {
	rows, err := s.reads.query(ctx, `select a.type, a.created_at,
		coalesce((select min(r.created_at) from receipts r where r.shop_id = a.shop_id and r.seq = a.seq and r.stage = 'sounded'), 0),
		coalesce((select c.created_at from alerts c where c.shop_id = a.shop_id and c.source = a.source and c.order_id = a.order_id
			and c.seq > a.seq and c.type in (3, 4) order by c.seq limit 1), 0)
		from alerts a where a.shop_id = ? and a.type in (1, 2) and a.created_at >= ? and a.created_at < ? order by a.seq desc limit ?`,
		shop, millis(from), millis(to), maxTimings)
	if err != nil {
		return nil, fmt.Errorf("read the timings of shop %d: %w", shop, err)
	}
	err = eachRow(rows, func(r *sql.Rows) error {
		var t doorbell.Timing
		var at, sounded, closed int64
		err := r.Scan(&t.Type, &at, &sounded, &closed)
		t.At, t.Sounded, t.Closed = instant(at), instant(sounded), instant(closed)
		out = append(out, t)
		return err
	})
	return out, err
}
