package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// timelineRow is meta's name of the timeline that the epoch was drawn on.
const timelineRow = "timeline"

// timelines watches which of PostgreSQL's timelines this process is on. A replica
// that becomes the primary starts a new one, and may lack what the old primary
// committed last. No number shows that, and no process may be left that remembers.
type timelines struct {
	newest atomic.Pointer[string] // that this process has seen
}

// check looks at a connection before it is used. On a timeline other than the
// epoch's it draws a new epoch; on one older than this process has seen it refuses
// the connection: that is the old primary, and what it takes is lost.
//
// A connection that takes writes stays on its timeline for as long as it lasts, so
// nothing is read or written before the check.
func (w *timelines) check(ctx context.Context, c *pgx.Conn) error {
	var current string
	var known *string
	err := c.QueryRow(ctx, `select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), (select value from meta where name = $1)`, timelineRow).Scan(&current, &known)
	if lacksTimelines(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the server's timeline: %w", err)
	}
	if err := w.advance(current); err != nil {
		return err
	}
	if known != nil && *known == current {
		return nil
	}
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error { return noteTimeline(ctx, tx, current) })
}

// lacksTimelines reports whether the service is not PostgreSQL itself, or does not
// tell: then the nonces of the alerts are what shows that a log went back.
func lacksTimelines(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "42883" || e.Code == "42501" || e.Code == "0A000")
}

// advance notes the timeline of a connection. Their names compare like the numbers
// that they are.
func (w *timelines) advance(current string) error {
	for {
		newest := w.newest.Load()
		switch {
		case newest != nil && current < *newest:
			return fmt.Errorf("this server is on timeline %s, an older one than %s, which this node has seen: it was the primary before", current, *newest)
		case newest != nil && current == *newest, w.newest.CompareAndSwap(newest, &current):
			return nil
		}
	}
}

// noteTimeline draws a new epoch where the timeline is another than the epoch's. Of
// several nodes one does, the others wait for it.
func noteTimeline(ctx context.Context, tx pgx.Tx, current string) error {
	drew, err := tx.Exec(ctx, `insert into meta (name, value) values ($1, $2) on conflict (name) do nothing`, timelineRow, current)
	if err != nil || drew.RowsAffected() == 1 {
		return err
	}
	var known string
	if err := tx.QueryRow(ctx, `select value from meta where name = $1 for update`, timelineRow).Scan(&known); err != nil || known == current {
		return err
	}
	if _, err := tx.Exec(ctx, `update meta set value = $1 where name = 'epoch'`, newEpoch()); err != nil {
		return fmt.Errorf("draw a new epoch for timeline %s: %w", current, err)
	}
	_, err = tx.Exec(ctx, `update meta set value = $1 where name = $2`, current, timelineRow)
	return err
}
