package transport

import (
	"context"
	"time"
)

// rightsChunk bounds the logins of one query.
const rightsChunk = 512

// rightsWait bounds the wait for its result.
const rightsWait = 5 * time.Second

// runRights ends the streams whose login has ended. A stream opened with a session
// cookie, or with a ticket of a session, is valid as long as that session. Each
// stream's login is checked when the stream has joined, because a session that
// ended during the handshake found no stream to close; then once a heartbeat,
// because another node may have ended it; and when the stream's time is over,
// because use prolongs a session.
func (h *Hub) runRights(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case now := <-tick.C:
			all := now.Sub(last) >= h.heartbeat-500*time.Millisecond
			if all {
				last = now
			}
			h.checkRights(ctx, now, all)
		case <-ctx.Done():
			return
		}
	}
}

// checkRights checks the logins of sessions that joined since its last call, of
// those whose time is over, and of all sessions if all is set; one query serves
// many.
func (h *Hub) checkRights(ctx context.Context, now time.Time, all bool) {
	due := map[string][]*Session{} // by login
	for _, s := range h.all() {
		s.mu.Lock()
		expired := !s.expires.IsZero() && !now.Before(s.expires)
		fresh, over := !s.asked, s.over
		s.mu.Unlock()
		life := s.Grant.Life()
		switch {
		case over:
		case expired && (s.Grant.Session == "" || h.live == nil):
			s.Close(AuthOver) // the expiry of a token or ticket never moves
		case life != "" && h.live != nil && (expired || fresh || all):
			due[life] = append(due[life], s)
		}
	}
	chunk := make([]string, 0, min(len(due), rightsChunk))
	for life := range due {
		if chunk = append(chunk, life); len(chunk) == rightsChunk {
			h.askRights(ctx, now, chunk, due)
			chunk = chunk[:0]
		}
	}
	h.askRights(ctx, now, chunk, due)
}

// askRights checks one chunk of logins. While the query fails, streams go on until
// their time is over.
func (h *Hub) askRights(ctx context.Context, now time.Time, lives []string, due map[string][]*Session) {
	if len(lives) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, rightsWait)
	defer cancel()
	until, err := h.live(ctx, lives)
	if err != nil {
		h.logError(ctx, "check which sessions are valid", err)
	}
	for _, life := range lives {
		for _, s := range due[life] {
			good, known := until[life]
			s.mu.Lock()
			if err == nil {
				s.asked = true
				if known && s.Grant.Session != "" {
					s.expires = good
				}
			}
			over := err == nil && !known || !s.expires.IsZero() && !now.Before(s.expires)
			s.mu.Unlock()
			if over {
				s.Close(AuthOver)
			}
		}
	}
}

// EndTokens closes the streams that began with these tokens (Grant.Source), of
// their sessions and tickets, too.
func (h *Hub) EndTokens(ids ...string) {
	ended := make(map[string]bool, len(ids))
	for _, id := range ids {
		ended[id] = true
	}
	for _, s := range h.all() {
		if ended[s.Grant.Source] {
			s.Close(AuthOver)
		}
	}
}

// EndLogins closes the streams of these sessions and of their tickets.
func (h *Hub) EndLogins(ids ...string) {
	if len(ids) == 0 {
		return
	}
	ended := make(map[string]bool, len(ids))
	for _, id := range ids {
		ended[id] = true
	}
	for _, s := range h.all() {
		if life := s.Grant.Life(); life != "" && ended[life] {
			s.Close(AuthOver)
		}
	}
}
