package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Pages returns what SavePages stored last, empty if it was never called.
func (s *Store) Pages(ctx context.Context) ([]byte, error) {
	var text string
	err := s.reads.one(ctx, `select value from meta where name = 'pages'`).Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read the connected pages: %w", err)
	}
	return []byte(text), nil
}

// SavePages stores which plain pages are connected, for the next process.
func (s *Store) SavePages(ctx context.Context, text []byte) error {
	return s.queue.do(ctx, func(t *txn) error {
		if err := t.exec(t.dialect.insertOr("meta", "name", "name, value"), "pages", string(text)); err != nil {
			return err
		}
		return t.exec(`update meta set value = ? where name = 'pages'`, string(text))
	})
}
