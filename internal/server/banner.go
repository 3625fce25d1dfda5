package server

import (
	"cmp"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/logqueue"
	"doorbell/internal/payment/providers"
)

// printBanner tells what runs, how to open it and how to try it.
func (s *Server) printBanner(ctx context.Context, addr net.Addr, out io.Writer) error {
	s.log.InfoContext(ctx, "ready", "addr", addr.String(), "version", s.Version, "trial", s.cfg.OnTrial())
	for _, warning := range s.cfg.Sky.Secret.Warnings() {
		s.log.WarnContext(ctx, "a secret of sky-take-out is easy to guess: whoever has it can sign in as anybody", "which", warning, "to_mend", "another sky.jwt secret in the backend, and the same here")
	}
	if s.cfg.Sky.Open {
		s.log.WarnContext(ctx, "sky.open admits anybody who reaches this server to shop 1, without a token", "addr", addr.String())
	}
	if s.takesNothing() {
		s.log.WarnContext(ctx, "no payment will be taken: no provider is configured (pay.wechat, pay.alipay, pay.stripe or pay.webhook; pay.trial to try)")
	}
	text := banner{cfg: s.cfg, command: s.Command, port: port(addr), base: BaseURL(s.cfg, addr.String()), lan: cmp.Or(LANAddress(), "ADDRESS-OF-THIS-MACHINE")}
	if s.printsLink(out) {
		var err error
		if text.link, err = s.link(ctx, text.base); err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // stopped before it was ready: no failure, after which systemd would start it again
			}
			// A database that is slow just now must not end a server that takes payments.
			s.log.WarnContext(ctx, "console link not created; the command makes one", "command", s.Command("link"), "error", err)
			text.link = ""
		}
	}
	lines := logqueue.New(out, logqueue.Format(s.cfg.Log.Format)) // a terminal stopped by Ctrl-S must not keep the server from stopping
	_, err := io.WriteString(lines, text.text())
	lines.Close()
	return err
}

// takesNothing reports that every callback will be answered 404.
func (s *Server) takesNothing() bool { return !s.cfg.OnTrial() && !s.cfg.Pay.Configured() }

// banner is what the start screen is made of. It gives no hint that the
// settings make wrong.
type banner struct {
	cfg     config.Config
	command func(words string) string // as Options.Command
	base    string                    // the console, on this machine or by server.public_url
	link    string                    // the same with a ticket; empty where none may be printed
	port    string
	lan     string // this machine, as a tablet would write it
}

func (n banner) text() string {
	trial, configured := n.cfg.OnTrial(), n.cfg.Pay.Configured()
	var b strings.Builder
	line := func(name, text string) {
		b.WriteString("  " + name + strings.Repeat(" ", max(1, 20-width(name))) + text + "\n")
	}
	switch {
	case trial:
		b.WriteString("\n  doorbell is ready, on trial / 已就绪（试运行：仅接受模拟支付，提醒带 test 标记）\n\n")
	default:
		b.WriteString("\n  doorbell is ready / 已就绪\n\n")
	}
	if !trial && !configured {
		line("Payments / 收款", "none will be taken: no provider is configured / 未配置收款服务商，不接受任何支付回调")
		line("", "configure one under pay: (see config.yaml), or pay.trial: true to try")
	}
	issues := n.cfg.Auth.Algorithm == "HS256" // else link and token can't sign for this server
	switch {
	case n.link != "" && issues:
		line("Console / 控制台", n.link)
		line("", "(once, within 15 minutes; another: "+n.command("link")+" / 仅一次有效，15 分钟内)")
	case n.link != "":
		line("Console / 控制台", n.link)
		line("", "(once, within 15 minutes / 仅一次有效，15 分钟内)")
	case issues:
		line("Console / 控制台", n.base+"   (sign in by: "+n.command("link")+")")
	default:
		line("Console / 控制台", n.base+"   (sign in with a token of your own / 使用自行签发的令牌登录)")
	}
	n.tablet(line, issues)
	for _, p := range n.callbacks() {
		line(p.name, p.address)
	}
	if trial && issues {
		line("Try it / 试一试", "in a second terminal: "+n.command("simulate"))
	}
	if issues && (!n.cfg.Server.TLS.On() || n.cfg.Server.PublicURL != "") { // a certificate seldom names loopback
		line("curl", `curl -N -H "Authorization: Bearer $(`+n.command("token --role console --shops 1")+`)" '`+n.base+"events?after=0'")
	}
	return b.String() + "\n"
}

// tablet says how another device reaches the console.
func (n banner) tablet(line func(name, text string), issues bool) {
	const name = "Tablet / 平板"
	with := ""
	if issues {
		with = ", signed in by: " + n.command("pair --shop 1 --name kitchen")
	}
	switch {
	case n.cfg.Server.PublicURL != "":
		line(name, "open "+n.base+with)
	case !n.cfg.Loopback():
		line(name, "open "+Scheme(n.cfg)+"://"+net.JoinHostPort(n.lan, n.port)+n.cfg.Server.BasePath+with)
	case len(n.cfg.Server.TrustedProxies) > 0:
		line(name, "set server.public_url to the proxy's address, which is what a tablet opens")
	default:
		line(name, "only this machine reaches "+n.cfg.Server.Addr+"; set server.addr: 0.0.0.0:"+n.port)
		if n.cfg.OnTrial() && !n.cfg.Pay.Trial {
			line("", "(and pay.trial: true while you try), then open "+Scheme(n.cfg)+"://"+net.JoinHostPort(n.lan, n.port)+n.cfg.Server.BasePath+" there")
		} else {
			line("", "then open "+Scheme(n.cfg)+"://"+net.JoinHostPort(n.lan, n.port)+n.cfg.Server.BasePath+" there")
		}
	}
}

// callback is where a provider posts.
type callback struct{ name, address string }

// callbacks returns the addresses to give to the configured providers, with the
// path that doorbell is under.
func (n banner) callbacks() []callback {
	origin := n.cfg.Server.PublicURL
	if origin == "" {
		origin = "https://YOUR-HOST"
	}
	root := strings.TrimSuffix(origin, "/") + n.cfg.Server.BasePath + "pay/"
	var out []callback
	for _, p := range providers.All(n.cfg.Pay) {
		if e := p.Endpoint(); p.Configured() {
			out = append(out, callback{e.Title, "posts to " + root + e.Provider})
		}
	}
	return out
}

// width returns how many columns a terminal gives to text: two for each Chinese
// character.
func width(text string) (n int) {
	for _, r := range text {
		n++
		if r >= 0x2e80 {
			n++
		}
	}
	return n
}

// printsLink reports whether the console's link may be printed: a ticket belongs on a screen and not in a service's log; on
// trial there is nothing behind it to guard.
func (s *Server) printsLink(out io.Writer) bool {
	f, ok := out.(*os.File)
	return s.cfg.OnTrial() || ok && term.IsTerminal(int(f.Fd()))
}

// link returns the console with a single-use ticket in the fragment, which no
// server and no log sees.
func (s *Server) link(ctx context.Context, base string) (string, error) {
	g := doorbell.Grant{
		Subject: "link", Role: doorbell.RoleConsole, Shops: doorbell.ShopSet{List: []doorbell.ShopID{1}},
		Expires: doorbell.Instant(time.Now().Add(auth.ConsoleTTL)),
	}
	ticket, _, err := s.logins.MakeTicket(ctx, g, auth.LinkTTL)
	return LinkTo(base, ticket), err
}
