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
)

// check returns every fault, each beginning with its key.
func (c Config) check() (faults []error) {
	bad := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf(key+": "+format, args...))
	}
	c.checkServer(bad)
	c.checkAuth(bad)
	c.checkTimes(bad)
	c.checkShops(bad)
	c.checkPay(bad)
	c.checkWeChat(bad)
	c.checkAlipay(bad)
	c.checkHooks(bad)
	if c.Bus.URL != "" {
		bad("bus.url", "a bus is not supported yet; leave it empty")
	}
	if !strings.HasPrefix(c.Database.URL, "sqlite://") || len(c.Database.URL) == len("sqlite://") {
		bad("database.url", "want sqlite://FILE")
	}
	if c.Console.Sounds != "" {
		if info, err := os.Stat(c.Console.Sounds); err != nil || !info.IsDir() {
			bad("console.sounds", "%q is not a folder", c.Console.Sounds)
		}
	}
	if c.Sky.Open && !c.Loopback() && len(c.Auth.Origins) == 0 {
		bad("sky.open", "admits anybody who reaches %s; bind server.addr to loopback, or name the pages that may connect in auth.origins", c.Server.Addr)
	}
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
		if (c.Auth.PublicKey == "") == (c.Auth.JWKSURL == "") {
			bad("auth.algorithm", "%s needs auth.public_key or auth.jwks_url, one of them", c.Auth.Algorithm)
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
		// Idempotency keys live with their alerts, at least 7 days.
		{"alerts.retention", c.Alerts.Retention, 168 * time.Hour, 87600 * time.Hour},
		{"orders.retention", c.Orders.Retention, 24 * time.Hour, 87600 * time.Hour},
		{"inbox.retention", c.Inbox.Retention, 48 * time.Hour, 87600 * time.Hour},
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
		bad("time.zone", "%v", err)
	}
	for _, s := range c.Reminder.Statuses {
		if s < 2 || s > 5 {
			bad("reminder.statuses", "%d is not a status of a paid order (2 to 5)", s)
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
		if _, err := time.LoadLocation(s.Timezone); err != nil {
			bad(key+".timezone", "%v", err)
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

func (c Config) checkWeChat(bad report) {
	w := c.Pay.WeChat
	if w.Forward != "" && !isHTTP(w.Forward) {
		bad("pay.wechat.forward", "want http(s)://HOST/PATH")
	}
	if !w.Configured() {
		return
	}
	if w.MchID == "" {
		bad("pay.wechat.mchid", "is missing")
	}
	if w.AppID == "" {
		bad("pay.wechat.appid", "is missing")
	}
	if len(w.APIv3Key) != 32 {
		bad("pay.wechat.api_v3_key", "has %d bytes, want 32", len(w.APIv3Key))
	}
	if len(w.Certificates)+len(w.KeyFiles()) == 0 {
		bad("pay.wechat.certificates", "or pay.wechat.public_key is needed to verify callbacks")
	}
	if (w.PublicKey == "") != (w.PublicKeyID == "") {
		bad("pay.wechat.public_key_id", "and pay.wechat.public_key go together")
	}
	for id, file := range w.KeyFiles() {
		if (id != "" || w.PublicKey == "") && (!strings.HasPrefix(id, "PUB_KEY_ID_") || file == "") {
			bad("pay.wechat.public_keys", "%q is not PUB_KEY_ID_…=FILE", id)
		}
	}
	if (w.PrivateKey == "") != (w.Serial == "") {
		bad("pay.wechat.serial", "and pay.wechat.private_key go together: the merchant certificate's number and its key's file")
	}
	if !isHTTP(w.APIURL) || strings.HasSuffix(w.APIURL, "/") {
		bad("pay.wechat.api_url", "want https://HOST, say https://api2.mch.weixin.qq.com")
	}
}

func (c Config) checkAlipay(bad report) {
	a := c.Pay.Alipay
	if !a.Configured() {
		return
	}
	if a.AppID == "" {
		bad("pay.alipay.app_id", "is missing")
	}
	if a.SellerID == "" {
		bad("pay.alipay.seller_id", "is missing: the account that is paid, 2088…")
	}
	if len(a.PublicKeys)+len(a.Certificates) == 0 {
		bad("pay.alipay.public_keys", "or pay.alipay.certificates are needed to verify callbacks: Alipay's, not yours")
	}
	if (a.AppCertificate == "") != (a.RootCertificate == "") {
		bad("pay.alipay.root_certificate", "and pay.alipay.app_certificate go together")
	}
	if !isHTTP(a.APIURL) {
		bad("pay.alipay.api_url", "want https://HOST/gateway.do")
	}
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
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(h.Secret), "whsec_"))
		if err != nil || len(raw) < 24 || len(raw) > 64 {
			bad(key+".secret", "want base64 of 24 to 64 bytes, whsec_ in front or not: openssl rand -base64 32")
		}
		for _, e := range h.Events {
			if !slices.Contains(HookEvents, e) {
				bad(key+".events", "%q is none of %s", e, strings.Join(HookEvents, ", "))
			}
		}
	}
}

// HookEvents are what an address can be told.
var HookEvents = []string{"alert.created", "order.paid", "order.refunded", "order.accepted", "order.unheard", "payment.anomaly"}

func isHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Fragment == ""
}

// Loopback reports whether only this machine can reach the server.
func (c Config) Loopback() bool { return onLoopback(c.Server.Addr) }

func onLoopback(addr string) bool {
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
	reachable := !c.Loopback() || c.Pay.Addr != "" && !onLoopback(c.Pay.Addr)
	return c.Pay.Trial || !reachable && len(c.Server.TrustedProxies) == 0
}

// Location is time.zone, or the machine's.
func (c Config) Location() (*time.Location, error) {
	if c.Time.Zone == "" {
		return time.Local, nil
	}
	return time.LoadLocation(c.Time.Zone)
}
