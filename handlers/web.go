package handlers

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"doorbell/internal/doorbell"
)

// Web describes the server's addresses.
type Web struct {
	Log            *slog.Logger
	BasePath       string
	PublicURL      string   // may be empty
	Origins        []string // of other pages that may call; may be nil
	TrustedProxies []string // may be nil
	Rates          Rates
}

// web is shared by all groups: names and origins, refusals, routers.
type web struct {
	Web
	log       *slog.Logger
	proxies   []netip.Prefix
	originLog onceAMinute
	crowdLog  onceAMinute
	refused   *prometheus.CounterVec // by limit
	paces     paces
}

func newWeb(o Web) *web {
	rates := newPaces(o.Rates)
	w := &web{Web: o, log: o.Log, refused: newRefused(rates), paces: rates}
	for _, p := range o.TrustedProxies {
		w.proxies = append(w.proxies, Prefix(p))
	}
	return w
}

// engine returns a router without routes, and the group for its routes.
func (h *web) engine() (*gin.Engine, *gin.RouterGroup, error) {
	r := gin.New()
	if err := r.SetTrustedProxies(h.TrustedProxies); err != nil {
		return nil, nil, err
	}
	r.HandleMethodNotAllowed = true
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.Use(identify, guarded, h.recovered, bounded)
	r.NoRoute(h.answer(func(*gin.Context) error {
		return doorbell.Refuse(doorbell.NotFound, "There is nothing here.", "没有这个地址。")
	}))
	r.NoMethod(h.answer(h.wrongMethod))
	return r, r.Group(strings.TrimSuffix(h.BasePath, "/")), nil
}

// Prefix parses a network or a single address, which was validated before.
func Prefix(s string) netip.Prefix {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p
	}
	a, err := netip.ParseAddr(s)
	if err != nil { // the configuration was validated
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, a.BitLen())
}

// trusted reports whether the request comes directly from a trusted proxy.
func (h *web) trusted(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && h.proxied(a)
}

// proxied reports whether the address is a trusted proxy's.
func (h *web) proxied(a netip.Addr) bool {
	for _, p := range h.proxies {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}
