package handlers

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"

	"doorbell/internal/doorbell"
	"doorbell/transport"
)

// TooMany is the code of a refusal because a limit is reached.
const TooMany doorbell.Code = "too_many"

// crowdedRetry is when a client refused by a limit may come again.
const crowdedRetry = 10 * time.Second

// client returns the address that a stream is counted under. It is empty if the
// address says nothing about the client: that of a trusted proxy that names none,
// a Unix socket, and this machine, where an unconfigured proxy would look the
// same.
func (h *web) client(c *gin.Context) string {
	a, err := netip.ParseAddr(c.ClientIP())
	if err != nil || !Countable(a) || h.proxied(a) {
		return ""
	}
	return ClientNetwork(a).String()
}

// Countable reports whether the address belongs to one client.
func Countable(a netip.Addr) bool { return a.IsValid() && !a.Unmap().IsLoopback() }

// ClientNetwork returns what one client has: an IPv4 address, or an IPv6 /64
// network, within which a client can choose its addresses.
func ClientNetwork(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil { // the address has that many bits
		panic(err)
	}
	return p
}

// crowdedKey marks the requests of a connection above its limit.
type crowdedKey struct{}

// Crowded marks the context of a connection whose address has too many: its
// requests are refused, except the providers' callbacks.
func Crowded(ctx context.Context, refusal *transport.CrowdedError) context.Context {
	return context.WithValue(ctx, crowdedKey{}, refusal)
}

// Crowd returns why the request's connection is above its limit, or nil.
func Crowd(r *http.Request) *transport.CrowdedError {
	e, _ := r.Context().Value(crowdedKey{}).(*transport.CrowdedError)
	return e
}

// uncrowded refuses requests on a connection above its limit.
func (h *web) uncrowded(c *gin.Context) {
	if e := Crowd(c.Request); e != nil {
		c.Header("Connection", "close")
		h.refuse(c, h.crowded(c.Request.Context(), e))
	}
}

// crowded returns the error for a reached limit; the log says once a minute which
// setting to change.
func (h *web) crowded(ctx context.Context, e *transport.CrowdedError) error {
	h.refused.WithLabelValues(string(e.Bound)).Inc()
	if h.crowdLog.due() {
		h.log.WarnContext(ctx, "client limit reached", "who", e.Who, "limit", e.Limit, "setting", "limits."+string(e.Bound))
	}
	var out *doorbell.Error
	switch e.Bound {
	case transport.PerAddress:
		out = doorbell.Refuse(TooMany, "%s has its %d connections. If it is a proxy, name it in server.trusted_proxies, else raise limits.connections_per_address.",
			"%s 已有 %d 个连接。如果它是反向代理，请写入 server.trusted_proxies，否则请调高 limits.connections_per_address。", e.Who, e.Limit)
	case transport.PerToken:
		out = doorbell.Refuse(TooMany, "This token has its %d streams; close some, or raise limits.streams_per_token.",
			"该令牌已有 %d 个连接；请关闭一部分，或调高 limits.streams_per_token。", e.Limit)
	default:
		out = doorbell.Refuse(TooMany, "%s has its %d streams; close some, or raise limits.streams_per_shop.",
			"%s 已有 %d 个连接；请关闭一部分，或调高 limits.streams_per_shop。", e.Who, e.Limit)
	}
	out.RetryAfter = crowdedRetry
	return out
}

// pollsPerSecond is the name of that limit.
const pollsPerSecond = "polls_per_second"

// paced refuses a poll that only looks if its token does so too often.
func (h *streams) paced(g doorbell.Grant) error {
	wait := h.looks.wait(g.Holder(), time.Now())
	if wait == 0 {
		return nil
	}
	h.refused.WithLabelValues(h.looks.setting).Inc()
	e := doorbell.Refuse(TooMany, "This token polls with wait=0 more than %d times a second (limits.polls_per_second); wait for alerts with wait=25 instead.",
		"该令牌以 wait=0 轮询超过每秒 %d 次（limits.polls_per_second）；请改用 wait=25 等待提醒。", h.looks.n)
	e.RetryAfter = wait
	return e
}
