package config

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Sky takes the place of sky-take-out's alerts: its admin page, its mini-program
// and its tokens are taken as they are.
type Sky struct {
	Open       bool       `yaml:"open"`
	Secret     SkySecrets `yaml:"secret"`
	TokenNames SkyNames   `yaml:"token_names"`
	Upstream   string     `yaml:"upstream"` // their backend; empty: doorbell stands beside it
	// Adopt takes their table of orders as it stands, in database.url.
	Adopt bool          `yaml:"adopt"`
	Zone  string        `yaml:"zone"`  // of the times in it
	Watch time.Duration `yaml:"watch"` // how often it is looked at; 0: not
}

// Location returns the zone of the times in their table.
func (s Sky) Location() (*time.Location, error) { return time.LoadLocation(s.Zone) }

// SkySecrets sign the tokens of that backend; with an empty one none is good.
type SkySecrets struct {
	Admin Secret `yaml:"admin"` // its sky.jwt.admin-secret-key
	User  Secret `yaml:"user"`  // its sky.jwt.user-secret-key
}

// SkyNames are where those tokens stand in a request.
type SkyNames struct {
	Admin string `yaml:"admin"` // of a cookie and a header
	User  string `yaml:"user"`  // of a header
}

// publishedSecrets stand in the tutorial, where everybody can read them.
var publishedSecrets = []Secret{"itcast", "itheima"}

// minWatch and maxWatch bound sky.watch: what the database bears, and how late a ring
// may be.
const (
	minWatch = 200 * time.Millisecond
	maxWatch = time.Minute
)

// minSkySecret is what HS256 asks for, and their secrets mostly don't have.
const minSkySecret = 32

// Warnings tells which secrets anybody could guess, each with its key: they are
// taken, for they are the backend's to change.
func (s SkySecrets) Warnings() (keys []string) {
	for _, one := range []struct {
		key    string
		secret Secret
	}{{"sky.secret.admin", s.Admin}, {"sky.secret.user", s.User}} {
		switch {
		case one.secret == "":
		case slices.Contains(publishedSecrets, one.secret):
			keys = append(keys, one.key+" is the tutorial's own, which everybody knows")
		case len(one.secret) < minSkySecret:
			keys = append(keys, one.key+" is shorter than 32 bytes")
		}
	}
	return keys
}

func (c Config) checkSky(bad report) {
	s := c.Sky
	if s.Open && !c.Loopback() && len(c.Auth.Origins) == 0 {
		bad("sky.open", "admits anybody who reaches %s; bind server.addr to loopback, or name the pages that may connect in auth.origins", c.Server.Addr)
	}
	// Any page can make a frame whose origin is null: with sky.open, from another
	// machine, that is everybody.
	if s.Open && slices.Contains(c.Auth.Origins, "null") && (!c.Loopback() || len(c.Server.TrustedProxies) > 0) {
		bad("auth.origins", "null beside sky.open admits every page that anybody opens; bind server.addr to loopback without trusted_proxies, or name the pages")
	}
	if s.Secret.Admin != "" && s.Secret.Admin == s.Secret.User {
		bad("sky.secret.user", "is sky.secret.admin too: a customer could sign in as an employee; give each its own")
	}
	for key, secret := range map[string]Secret{"sky.secret.admin": s.Secret.Admin, "sky.secret.user": s.Secret.User} {
		if secret != "" && secret == c.Auth.Secret {
			bad(key, "is auth.secret too: whoever holds one could make every token; draw another one for auth.secret")
		}
	}
	if s.Upstream != "" {
		if u, err := url.Parse(s.Upstream); err != nil || !isOrigin(u) || u.Path != "" {
			bad("sky.upstream", "want http://HOST:PORT with nothing behind it")
		} else if u.Host == c.Server.Addr {
			bad("sky.upstream", "is server.addr: doorbell would pass everything on to itself")
		}
	}
	if s.Adopt && !strings.HasPrefix(c.Database.URL, "mysql://") {
		bad("sky.adopt", "takes the orders of the database that database.url names; want mysql://USER:PASSWORD@HOST:PORT/sky_take_out there")
	}
	if _, err := s.Location(); err != nil || s.Zone == "" || s.Zone == "Local" {
		bad("sky.zone", "%q is no zone; want that of the backend's JVM, such as Asia/Shanghai or UTC", s.Zone)
	}
	if s.Watch != 0 && (s.Watch < minWatch || s.Watch > maxWatch) {
		bad("sky.watch", "want from 200ms to 1m, or 0")
	}
	if s.Watch != 0 && !s.Adopt {
		bad("sky.watch", "looks at the table of sky.adopt; set sky.adopt: true")
	}
	for key, name := range map[string]string{"sky.token_names.admin": s.TokenNames.Admin, "sky.token_names.user": s.TokenNames.User} {
		if !headerName(name) {
			bad(key, "%q is no name of a header", name)
		}
	}
}

// headerName reports whether a header of ours to read may be called so: a token of
// RFC 9110, 5.6.2, and none that means something else.
func headerName(name string) bool {
	if name == "" || len(name) > 64 || slices.ContainsFunc([]string{"authorization", "cookie", "host", "origin", "doorbell_session", "__Host-doorbell_session", "__Secure-doorbell_session"}, func(taken string) bool {
		return strings.EqualFold(name, taken)
	}) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
