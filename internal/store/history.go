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
	if !looksFar(q) {
		return s.alerts(ctx, q)
	}
	err = s.searches.run(ctx, q.Shop, func(ctx context.Context) (err error) {
		page, err = s.alerts(ctx, q)
		return err
	})
	return page, err
}

// looksFar reports whether the query may have to read the whole log: an alert with
// this text or type may be anywhere in it, or nowhere. Open alerts have an index
// of their own.
func looksFar(q doorbell.AlertQuery) bool { return q.Search != "" || q.Type != 0 && !q.OpenOnly }

func (s *Store) alerts(ctx context.Context, q doorbell.AlertQuery) (page doorbell.AlertPage, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx snapshot) error {
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

// likeEscaper escapes the characters that `like` treats as wildcards.
var likeEscaper = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

// readPage reads one alert more than the limit, to know whether another page
// follows.
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
		and(`(`+s.dialect.contains(`number`)+` or `+s.dialect.contains(`content`)+`)`, like, like)
	}
	rows, err := tx.query(ctx, `select `+alertColumns+`, ringing, `+detailOf+`, `+refundedOf+` from alerts a where `+
		strings.Join(where, ` and `)+` order by seq desc limit ?`, append(args, q.Limit+1)...)
	if err != nil {
		return nil, fmt.Errorf("read the alerts of shop %d: %w", q.Shop, err)
	}
	out := []doorbell.AlertState{}
	err = eachRow(rows, func(r *sql.Rows) error {
		var st doorbell.AlertState
		var err error
		var detail string
		if st.Alert, err = scanAlert(r.Scan, &st.Open, &detail, &st.Refunded.Minor, &st.Refunded.Currency); err == nil {
			st.Detail, err = parseDetail(detail)
		}
		out = append(out, st)
		return err
	})
	return out, err
}

// complete adds the alert that closed this one, and the receipts.
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
	if st.Type.Rings() {
		if err := s.delivered(ctx, tx, st); err != nil {
			return err
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

// maxReceipts bounds the receipts of one alert, which clients write: 64 consoles
// with three stages each.
const maxReceipts = 192

// SaveReceipt implements doorbell.Store. It returns NotFound for an alert that
// does not exist, and nil for a repeated receipt and for one above maxReceipts.
func (s *Store) SaveReceipt(ctx context.Context, r doorbell.Receipt) error {
	var about doorbell.Alert
	var first bool // the first console that sounded
	err := s.queue.wait(ctx, s.queue.receipts, func(t *txn) (err error) {
		// The head is not locked: a receipt must not make the shop's next payment
		// wait.
		first = false
		if about, err = t.alert(r.Shop, r.Seq); err != nil {
			return err
		}
		if r.Stage == doorbell.Sounded { // set also when the receipt itself is above the bound
			if err := t.exec(`update alerts set heard = 1 where shop_id = ? and seq = ? and heard = 0`, r.Shop, r.Seq); err != nil {
				return err
			}
		}
		var n, sounded int
		if err := t.row(`select count(*), count(case when stage = 'sounded' then 1 end) from receipts where shop_id = ? and seq = ?`,
			r.Shop, r.Seq).Scan(&n, &sounded); err != nil || n >= maxReceipts {
			return err
		}
		first = r.Stage == doorbell.Sounded && sounded == 0
		return t.exec(t.dialect.insertOr("receipts", "shop_id, seq, console, stage", "shop_id, seq, console, stage, reason, actor, created_at"),
			r.Shop, r.Seq, r.Console, r.Stage, r.Reason, r.By, millis(r.At))
	})
	if err == nil && first {
		s.measures.Sounded(about, r.At)
	}
	return err
}

// maxTimings bounds the alerts that one day's figures are computed from.
const maxTimings = 20_000

// setBackAtMost is the largest clock setback that is expected within a log: apart
// from that, a higher seq has a later time.
const setBackAtMost = 24 * time.Hour

// Timings implements doorbell.Store. It reads back from the shop's newest alert to
// the requested day, bounded as a search is.
func (s *Store) Timings(ctx context.Context, shop doorbell.ShopID, from, to time.Time) (out []doorbell.Timing, err error) {
	err = s.searches.run(ctx, shop, func(ctx context.Context) (err error) {
		out, err = s.timings(ctx, shop, from, to)
		return err
	})
	return out, err
}

func (s *Store) timings(ctx context.Context, shop doorbell.ShopID, from, to time.Time) (out []doorbell.Timing, err error) {
	// The last alert before the day bounds the walk. This needs its own statement:
	// as a subquery it did not bound MariaDB, which read the whole log.
	var before doorbell.Seq
	err = s.reads.one(ctx, `select seq from alerts where shop_id = ? and created_at < ? order by seq desc limit 1`,
		shop, millis(from.Add(-setBackAtMost))).Scan(&before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read the timings of shop %d: %w", shop, err)
	}
	rows, err := s.reads.query(ctx, `select a.type, a.created_at,
		coalesce((select min(r.created_at) from receipts r where r.shop_id = a.shop_id and r.seq = a.seq and r.stage = 'sounded'), 0),
		coalesce((select c.created_at from alerts c where c.shop_id = a.shop_id and c.source = a.source and c.order_id = a.order_id
			and c.seq > a.seq and c.type in (3, 4) order by c.seq limit 1), 0)
		from alerts a where a.shop_id = ? and a.type in (1, 2) and a.created_at >= ? and a.created_at < ?
			and a.seq > ?
		order by a.seq desc limit ?`,
		shop, millis(from), millis(to), before, maxTimings)
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
