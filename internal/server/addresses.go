package server

import (
	"net"
	"net/netip"
	"strings"

	"doorbell/internal/config"
)

// BaseURL returns where addr serves the console to a browser on this machine.
func BaseURL(cfg config.Config, addr string) string {
	if cfg.Server.PublicURL != "" {
		return strings.TrimSuffix(cfg.Server.PublicURL, "/") + cfg.Server.BasePath
	}
	return LocalURL(cfg, addr)
}

// LocalURL returns where this machine reaches addr; every address becomes loopback.
func LocalURL(cfg config.Config, addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return Scheme(cfg) + "://" + addr + cfg.Server.BasePath
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return Scheme(cfg) + "://" + net.JoinHostPort(host, port) + cfg.Server.BasePath
}

// Scheme returns what server.addr speaks: http or https.
func Scheme(cfg config.Config) string {
	if cfg.Server.TLS.On() {
		return "https"
	}
	return "http"
}

// LinkTo returns the console at base with a ticket in the fragment, which no
// server and no log sees.
func LinkTo(base, ticket string) string { return base + "#ticket=" + ticket }

// LANAddress returns this machine's first address in a private network, as a
// tablet would write it; empty where there is none.
func LANAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsPrivate() {
			return p.Addr().String()
		}
	}
	return ""
}

// port returns the port of addr.
func port(addr net.Addr) string {
	_, p, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return p
}
