package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time.zone works on machines without a zone database

	"doorbell/internal/hours"
)

// check returns every fault, each beginning with its key; where the value came
// from a variable, that is named too.
func (c Config) check(fromEnv map[string]bool) (faults []error) {
	bad := func(key, format string, args ...any) {
		where := ""
		whole, _, _ := strings.Cut(key, "[")
		if name := EnvName(whole); fromEnv[name] {
			where = " (set by " + name + ")"
		}
		faults = append(faults, fmt.Errorf("%s: %s%s", key, fmt.Sprintf(format, args...), where))
	}
	c.checkServer(bad)
	c.checkAuth(bad)
	c.checkTimes(bad)
	c.checkMetrics(bad)
	c.checkAdmin(bad)
	if f := c.Log.Format; f != "text" && f != "json" {
		bad("log.format", "%q is neither text nor json", f)
	}
	c.checkLimits(bad)
	c.checkShops(bad)
	c.checkPay(bad)
	c.checkWeChat(bad)
	c.checkAlipay(bad)
	c.checkAccounts(bad)
	c.checkSecrets(bad)
	c.checkHooks(bad)
	c.checkEscalation(bad)
	switch scheme, rest, _ := strings.Cut(c.Database.URL, "://"); scheme {
	case "sqlite", "postgres", "postgresql", "mysql":
		if rest == "" {
			bad("database.url", "names no database behind %s://", scheme)
		}
	default: // not printed: a password may stand in it
		bad("database.url", "want sqlite://FILE, postgres://USER:PASSWORD@HOST/DATABASE or mysql://USER:PASSWORD@HOST/DATABASE")
	}
	if c.Console.Sounds != "" {
		if info, err := os.Stat(c.Console.Sounds); err != nil || !info.IsDir() {
			bad("console.sounds", "%q is not a folder", c.Console.Sounds)
		}
	}
	c.checkSky(bad)
	return faults
}

type report func(key, format string, args ...any)

func (c Config) checkServer(bad report) {
	if _, _, err := net.SplitHostPort(c.Server.Addr); err != nil {
		bad("server.addr", "want HOST:PORT, say 127.0.0.1:8080: %v", err)
	}
	for _, p := range c.Server.TrustedProxies {
		_, err1 := netip.ParsePrefix(p)
		_, err2 := netip.ParseAddr(p)
		if err1 != nil && err2 != nil {
			bad("server.trusted_proxies", "%q is neither an address nor a network such as 10.0.0.0/8", p)
		}
	}
	if p := c.Server.BasePath; !strings.HasPrefix(p, "/") || !strings.HasSuffix(p, "/") || strings.ContainsAny(p, "?#: *") || strings.Contains(p, "//") {
		bad("server.base_path", "want a path such as / or /bell/")
	}
	switch t := c.Server.TLS; {
	case t.Cert != "" && t.Key == "":
		bad("server.tls.key", "is missing beside server.tls.cert")
	case t.Cert == "" && t.Key != "":
		bad("server.tls.cert", "is missing beside server.tls.key")
	}
	if u := c.Server.PublicURL; u != "" {
		if parsed, err := url.Parse(u); err != nil || !isOrigin(parsed) {
			bad("server.public_url", "want https://HOST with nothing behind it; the path stands in server.base_path")
		}
	}
}

func isOrigin(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

func (c Config) checkAuth(bad report) {
	if n := len(c.Auth.Secret); n > 0 && n < 32 {
		bad("auth.secret", "has %d bytes, want at least 32 (or none: one is made)", n)
	}
	switch c.Auth.Algorithm {
	case "HS256":
		if c.Auth.PublicKey != "" || c.Auth.JWKSURL != "" {
			bad("auth.algorithm", "HS256 uses auth.secret; with auth.public_key or auth.jwks_url say RS256 or EdDSA")
		}
	case "RS256", "EdDSA":
		if c.Auth.PublicKey == "" && c.Auth.JWKSURL == "" {
			bad("auth.public_key", "is missing: %s needs it, or auth.jwks_url", c.Auth.Algorithm)
		}
		if c.Auth.PublicKey != "" && c.Auth.JWKSURL != "" {
			bad("auth.jwks_url", "stands beside auth.public_key; leave one of them out")
		}
	default:
		bad("auth.algorithm", "%q is none of HS256, RS256, EdDSA", c.Auth.Algorithm)
	}
	for _, o := range c.Auth.Origins {
		if u, err := url.Parse(o); o != "null" && (err != nil || !isOrigin(u) || u.Path != "") {
			bad("auth.origins", "%q is not an origin such as https://admin.example.com or null", o)
		}
	}
}

func (c Config) checkTimes(bad report) {
	for _, d := range []struct {
		key       string
		value     time.Duration
		low, high time.Duration
	}{
		{"stream.heartbeat", c.Stream.Heartbeat, time.Second, time.Minute},
		{"stream.write_timeout", c.Stream.WriteTimeout, time.Second, time.Minute},
		{"auth.session_limit", c.Auth.SessionLimit, time.Minute, 8760 * time.Hour},
		// Idempotency keys live with their alerts, at least 7 days.
		{"alerts.retention", c.Alerts.Retention, 168 * time.Hour, 87600 * time.Hour},
		{"orders.retention", c.Orders.Retention, 24 * time.Hour, 87600 * time.Hour},
		{"inbox.retention", c.Inbox.Retention, 48 * time.Hour, 87600 * time.Hour},
		{"ledger.retention", c.Ledger.Retention, 720 * time.Hour, 262_800 * time.Hour},
		{"alerts.unheard", c.Alerts.Unheard, 0, 24 * time.Hour},
		{"pay.reconcile.after", c.Pay.Reconcile.After, 10 * time.Second, time.Hour},
		{"pay.reconcile.until", c.Pay.Reconcile.Until, time.Hour, 168 * time.Hour},
		{"reminder.interval", c.Reminder.Interval, 0, 24 * time.Hour},
	} {
		if d.value < d.low || d.value > d.high {
			bad(d.key, "%v is not from %v to %v", d.value, d.low, d.high)
		}
	}
	if _, err := c.Location(); err != nil {
		bad("time.zone", "%v; want a name such as Asia/Shanghai, Europe/Berlin or UTC", err)
	}
	for _, s := range c.Reminder.Statuses {
		if s < 2 || s > 5 {
			bad("reminder.statuses", "%d is not a status of a paid order (2 to 5)", s)
		}
	}
}

func (c Config) checkLimits(bad report) {
	const most = 1_000_000
	for _, l := range []struct {
		key string
		n   int
	}{
		{"limits.connections_per_address", c.Limits.ConnectionsPerAddress},
		{"limits.streams_per_token", c.Limits.StreamsPerToken},
		{"limits.streams_per_shop", c.Limits.StreamsPerShop},
		{"limits.polls_per_second", c.Limits.PollsPerSecond},
		{"limits.logins_per_minute", c.Limits.LoginsPerMinute},
		{"limits.tickets_per_second", c.Limits.TicketsPerSecond},
		{"limits.reads_per_second", c.Limits.ReadsPerSecond},
		{"limits.shop_reads_per_second", c.Limits.ShopReadsPerSecond},
		{"limits.searches_per_second", c.Limits.SearchesPerSecond},
		{"limits.shop_searches_per_second", c.Limits.ShopSearchesPerSecond},
		{"limits.reminders_per_minute", c.Limits.RemindersPerMinute},
		{"limits.shop_reminders_per_minute", c.Limits.ShopRemindersPerMinute},
	} {
		if l.n < 0 || l.n > most {
			bad(l.key, "%d is not from 0 (no bound) to %d", l.n, most)
		}
	}
}

func (c Config) checkShops(bad report) {
	seen := map[int64]bool{}
	for i, s := range c.Shops {
		key := fmt.Sprintf("shops[%d]", i)
		if s.ID < 1 || s.ID > 1<<53-1 {
			bad(key+".id", "want a positive whole number")
		}
		if seen[s.ID] {
			bad(key+".id", "%d stands twice", s.ID)
		}
		seen[s.ID] = true
		zone, err := time.LoadLocation(s.Timezone)
		if err != nil {
			bad(key+".timezone", "%v; want a name such as Asia/Shanghai, Europe/Berlin or UTC", err)
		} else if _, err := hours.Parse(s.Hours, zone); err != nil {
			bad(key+".hours", "%v", err)
		}
		if s.Language != "" && s.Language != "zh" && s.Language != "en" {
			bad(key+".language", "%q is neither zh nor en", s.Language)
		}
	}
}

func (c Config) checkPay(bad report) {
	if addr := c.Pay.Addr; addr != "" {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			bad("pay.addr", "want HOST:PORT, say 127.0.0.1:8081: %v", err)
		}
		if addr == c.Server.Addr {
			bad("pay.addr", "is server.addr; leave it empty, or give callbacks a port of their own")
		}
	}
	if c.Pay.Trial && c.Pay.Configured() {
		bad("pay.trial", "the simulator's key must verify nothing beside a real one; remove pay.trial, or the provider")
	}
}

func (c Config) checkMetrics(bad report) {
	addr := c.Metrics.Addr
	if addr == "" {
		return
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		bad("metrics.addr", "want HOST:PORT, say 127.0.0.1:9090: %v", err)
	}
	if addr == c.Server.Addr || addr == c.Pay.Addr {
		bad("metrics.addr", "%s is taken by server.addr or pay.addr; give the figures a port of their own", addr)
	}
}

// checkAdmin keeps profiles, which show what is in memory, on this machine.
func (c Config) checkAdmin(bad report) {
	addr := c.Server.Admin
	if addr == "" {
		return
	}
	switch _, port, err := net.SplitHostPort(addr); {
	case err != nil:
		bad("server.admin", "want HOST:PORT, say 127.0.0.1:6060: %v", err)
	case !OnLoopback(addr):
		bad("server.admin", "%s is not loopback, and profiles show what is in memory; say 127.0.0.1:%s, and come by ssh -L", addr, port)
	case port != "0" && (addr == c.Server.Addr || addr == c.Pay.Addr || addr == c.Metrics.Addr):
		bad("server.admin", "%s is taken by server.addr, pay.addr or metrics.addr; give the profiles a port of their own", addr)
	}
}

// checkSecrets holds the signing secrets of Stripe and of Standard Webhooks.
func (c Config) checkSecrets(bad report) {
	for i, s := range c.Pay.Stripe.Secrets {
		// An API key or an endpoint's id would refuse every callback, at night.
		if !strings.HasPrefix(string(s), "whsec_") || len(s) < 16 {
			bad(fmt.Sprintf("pay.stripe.secrets[%d]", i), "want the endpoint's signing secret, whsec_…: neither an API key (sk_…) nor the endpoint's id (we_…)")
		}
	}
	for i, s := range c.Pay.Webhook.Secrets {
		if !hookSecret(s) {
			bad(fmt.Sprintf("pay.webhook.secrets[%d]", i), wantHookSecret)
		}
	}
}

const wantHookSecret = "want base64 of 24 to 64 bytes, with whsec_ in front or without: openssl rand -base64 32" //nolint:gosec // a hint

// hookSecret reports whether s is a secret of Standard Webhooks.
func hookSecret(s Secret) bool {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(s), "whsec_"))
	return err == nil && len(raw) >= 24 && len(raw) <= 64
}

// callbackSecret names the key of the callback secret that s is too; empty when
// it is none.
func (c Config) callbackSecret(s Secret) string {
	bare := func(s Secret) string { return strings.TrimRight(strings.TrimPrefix(string(s), "whsec_"), "=") }
	callbacks := map[string][]Secret{"pay.webhook.secrets": c.Pay.Webhook.Secrets, "pay.stripe.secrets": c.Pay.Stripe.Secrets}
	for i, a := range c.Pay.Stripe.Accounts {
		callbacks[fmt.Sprintf("pay.stripe.accounts[%d].secrets", i)] = a.Secrets
	}
	for key, secrets := range callbacks {
		for _, known := range secrets {
			if s != "" && bare(known) == bare(s) {
				return key
			}
		}
	}
	return ""
}

// hookName is what a hook is called in the database and on the command line.
var hookName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

func (c Config) checkHooks(bad report) {
	seen := map[string]bool{}
	for i, h := range c.Webhooks {
		key := fmt.Sprintf("webhooks[%d]", i)
		if !hookName.MatchString(h.Name) || h.Name == "wechat-forward" {
			bad(key+".name", "%q is not 1 to 32 of a-z 0-9 _ -", h.Name)
		}
		if seen[h.Name] {
			bad(key+".name", "%q stands twice", h.Name)
		}
		seen[h.Name] = true
		if !isHTTP(h.URL) {
			bad(key+".url", "want http(s)://HOST/PATH")
		}
		if !hookSecret(h.Secret) {
			bad(key+".secret", wantHookSecret)
		}
		if where := c.callbackSecret(h.Secret); where != "" {
			bad(key+".secret", "is in %s too: whoever is told of events could sign payments; draw another one", where)
		}
		for _, e := range h.Events {
			if !slices.Contains(HookEvents, e) {
				bad(key+".events", "%q is none of %s", e, strings.Join(HookEvents, ", "))
			}
		}
	}
}

// HookEvents are what an address can be told.
var HookEvents = []string{"alert.created", "order.paid", "order.refunded", "order.refunded_in_part", "order.accepted", "order.unheard", "payment.anomaly", "shop.unattended", "shop.attended", "page.lost", "alert.escalated"}

func isHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Fragment == ""
}

// Loopback reports whether only this machine can reach the server.
func (c Config) Loopback() bool { return OnLoopback(c.Server.Addr) }

// OnLoopback reports whether an address, HOST:PORT, is one that only this machine reaches.
func OnLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// OnTrial reports whether the simulator's key verifies callbacks: nobody else
// can reach the server and nothing real is configured, or pay.trial says so.
func (c Config) OnTrial() bool {
	if c.Pay.Configured() {
		return false
	}
	reachable := !c.Loopback() || c.Pay.Addr != "" && !OnLoopback(c.Pay.Addr)
	return c.Pay.Trial || !reachable && len(c.Server.TrustedProxies) == 0
}

// Location returns time.zone, or the machine's.
func (c Config) Location() (*time.Location, error) {
	if c.Time.Zone == "" {
		return time.Local, nil
	}
	return time.LoadLocation(c.Time.Zone)
}
