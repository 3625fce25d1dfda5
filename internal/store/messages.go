package store

import (
	"context"
	"database/sql"
	"fmt"

	"doorbell/internal/doorbell"
)

// maxMessages bounds how far back messages are counted, in seqs of their shop.
const maxMessages = 5000

const wasRead = `exists (select 1 from receipts r where r.shop_id = a.shop_id and r.seq = a.seq and r.console = ? and r.stage = 'shown')`

// Messages implements doorbell.Store.
func (s *Store) Messages(ctx context.Context, q doorbell.MessageQuery) (list []doorbell.Message, total int, err error) {
	where := ` from alerts a where a.shop_id = ? and a.type in (1, 2) and a.seq > (select h.last_seq - ? from shop_heads h where h.shop_id = ?)`
	args := []any{q.Shop, maxMessages, q.Shop}
	switch {
	case q.All:
	case q.Read:
		where, args = where+` and `+wasRead, append(args, q.Reader)
	default:
		where, args = where+` and not `+wasRead, append(args, q.Reader)
	}
	if err := s.reads.one(ctx, `select count(*)`+where, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count the messages of shop %d: %w", q.Shop, err)
	}
	if q.Limit == 0 || q.Offset >= total {
		return nil, total, nil
	}
	args = append(append([]any{q.Reader}, args...), q.Limit, q.Offset)
	rows, err := s.reads.query(ctx, `select `+alertColumns+`, ringing, case when `+wasRead+` then 1 else 0 end, `+detailOf+where+` order by a.seq desc limit ? offset ?`, args...)
	if err != nil {
		return nil, 0, fmt.Errorf("read the messages of shop %d: %w", q.Shop, err)
	}
	err = eachRow(rows, func(r *sql.Rows) (err error) {
		var m doorbell.Message
		var detail string
		if m.Alert, err = scanAlert(r.Scan, &m.Open, &m.Read, &detail); err == nil {
			m.Detail, err = parseDetail(detail)
		}
		list = append(list, m)
		return err
	})
	return list, total, err
}
