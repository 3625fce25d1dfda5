package doorbell

import (
	"context"
	"sync"
	"time"
)

const (
	// writtenEach is how often a notice may come until it is counted in memory:
	// WeChat Pay sends one 15 times.
	writtenEach = 16
	// writtenEvery is how often a notice that comes more often is written.
	writtenEvery = time.Minute
	// maxReplays bounds the notices that are counted in memory; those beyond are
	// written each time.
	maxReplays = 1024
)

// replays count notices that come over and over. Alipay's has no time that
// could be checked, so an old one verifies for ever: whoever has a copy must not
// be able to make the writer work.
type replays struct {
	mu    sync.Mutex
	since map[noticeKey]int64
}

type noticeKey struct {
	provider    string
	kind        NoticeKind
	transaction string
}

func keyOf(n Notice) noticeKey { return noticeKey{n.Provider, n.Kind, n.Transaction} }

// add counts one, and reports false where there is no room to.
func (r *replays) add(n Notice) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.since[keyOf(n)]; !known && len(r.since) >= maxReplays {
		return false
	}
	if r.since == nil {
		r.since = map[noticeKey]int64{}
	}
	r.since[keyOf(n)]++
	return true
}

// take returns how many were counted of a notice that is written now.
func (r *replays) take(n Notice) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := r.since[keyOf(n)]
	delete(r.since, keyOf(n))
	return count
}

// replayed reports whether a notice was settled long ago and was written a
// moment ago: then it is counted, and costs no write.
func (s *Service) replayed(ctx context.Context, n Notice) bool {
	line, err := s.store.Received(ctx, n)
	if err != nil || n.Refusal != "" || !line.Verdict.final() || line.differs(n) {
		return false // also where it can't be read: the writer tells
	}
	return line.Times >= writtenEach && s.now().Sub(line.LastAt) < writtenEvery && s.again.add(n)
}
