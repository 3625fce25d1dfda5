package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
)

// startScreen tells what runs, how to open it and how to try it.
func (a *app) startScreen(ctx context.Context, addr net.Addr, out io.Writer) error {
	base := a.baseURL(addr.String())
	a.log.InfoContext(ctx, "ready", "addr", addr.String(), "version", version(), "trial", a.cfg.OnTrial())
	if a.cfg.Sky.Open {
		a.log.WarnContext(ctx, "sky.open admits anybody who reaches this server to shop 1, without a token", "addr", addr.String())
	}
	var b strings.Builder
	if a.cfg.OnTrial() {
		b.WriteString("\n  doorbell is ready, on trial / 已就绪（试运行：仅接受模拟支付，提醒带 test 标记）\n\n")
	} else {
		b.WriteString("\n  doorbell is ready / 已就绪\n\n")
	}
	if a.printsLink(out) {
		open, err := a.link(ctx, base)
		if err != nil {
			return fmt.Errorf("make the console's link: %w", err)
		}
		fmt.Fprintf(&b, "  Console / 控制台    %s\n                      (once, within 15 minutes; another: doorbell link / 仅一次有效，15 分钟内)\n", open)
	} else {
		fmt.Fprintf(&b, "  Console / 控制台    %s   (sign in by: doorbell link)\n", base)
	}
	if a.cfg.Loopback() {
		b.WriteString("  Tablet / 平板       only this machine reaches " + addr.String() + "; set server.addr: 0.0.0.0:" + port(addr) + "\n")
		b.WriteString("                      (and pay.trial: true while you try), then open http://" + lanAddress() + ":" + port(addr) + " there\n")
	} else {
		b.WriteString("  Tablet / 平板       open http://" + lanAddress() + ":" + port(addr) + a.cfg.Server.BasePath + " there, with a link from: doorbell link\n")
	}
	if a.cfg.OnTrial() {
		b.WriteString("  Try it / 试一试     in a second terminal: go run . simulate\n")
	}
	b.WriteString("  curl                curl -N -H \"Authorization: Bearer $(go run . token --role console --shops 1)\" '" + base + "events?after=0'\n\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// printsLink: a ticket belongs on a screen and not in a service's log; on
// trial there is nothing behind it to guard.
func (a *app) printsLink(out io.Writer) bool {
	f, ok := out.(*os.File)
	return a.cfg.OnTrial() || ok && term.IsTerminal(int(f.Fd()))
}

// link is the console with a single-use ticket in the fragment, which no
// server and no log sees.
func (a *app) link(ctx context.Context, base string) (string, error) {
	g := doorbell.Grant{
		Subject: "link", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}},
		Expires: doorbell.Instant(time.Now().Add(auth.ConsoleTTL)),
	}
	ticket, _, err := a.logins.MakeTicket(ctx, g, auth.LinkTTL)
	return linkTo(base, ticket), err
}

func linkTo(base, ticket string) string { return base + "#ticket=" + ticket }

// baseURL is where a browser finds the console.
func (a *app) baseURL(addr string) string { return baseURL(a.cfg, addr) }

func port(addr net.Addr) string {
	_, p, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return p
}

// lanAddress is this machine's first address in a private network, as a tablet
// would write it.
func lanAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "ADDRESS"
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsPrivate() {
			return p.Addr().String()
		}
	}
	return "ADDRESS-OF-THIS-MACHINE"
}
