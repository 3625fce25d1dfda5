package handlers

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// admittedByName reports whether a page may connect that only its origin admits.
// The browser sends the name that it believes to be the server's in Host: with DNS
// rebinding a stranger's name that resolves to this machine is in both Origin and
// Host. So only names count that are certainly the server's: loopback names, this
// machine's addresses, server.public_url and auth.origins. A request without
// Origin does not come from a page.
func (h *web) admittedByName(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	origin := values[0]
	if len(values) > 1 || origin == "" {
		return false
	}
	if slices.Contains(h.Origins, origin) || origin == strings.TrimSuffix(h.PublicURL, "/") {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && ourName(u.Hostname())
}

// ourName reports whether a host name or address is this machine's for every
// resolver.
func ourName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if a = a.Unmap().WithZone(""); a.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs() // read each time: a laptop moves
	if err != nil {
		return false
	}
	for _, own := range addrs {
		if p, err := netip.ParsePrefix(own.String()); err == nil && p.Addr().Unmap() == a {
			return true
		}
	}
	return false
}
