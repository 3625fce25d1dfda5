package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
)

// remote is the running server as the commands reach it.
type remote struct {
	base   string // ends in /
	token  string
	client *http.Client
}

// remoteFlags adds --url.
func remoteFlags(fs *flag.FlagSet) *string {
	return fs.String("url", "", "the running server (default: by server.addr)")
}

// dial makes a short-lived token of the server's own secret.
func dial(cfg config.Config, url string, g doorbell.Grant) (*remote, error) {
	if url == "" {
		url = baseURL(cfg, cfg.Server.Addr)
	}
	tokens, err := localTokens(cfg)
	if err != nil {
		return nil, err
	}
	g.Expires = time.Now().Add(24 * time.Hour)
	t, err := tokens.Issue(g)
	if err != nil {
		return nil, err
	}
	return &remote{base: strings.TrimSuffix(url, "/") + "/", token: t, client: &http.Client{Timeout: 15 * time.Second}}, nil
}

// localTokens uses the secret that the server made or was given; it makes none.
func localTokens(cfg config.Config) (*auth.Tokens, error) {
	if cfg.Auth.Algorithm != "HS256" {
		return nil, auth.ErrCannotIssue
	}
	secret, err := auth.FindSecret(string(cfg.Auth.Secret), dataDir(cfg))
	if err != nil {
		return nil, fmt.Errorf("%w (start the server once, or name its settings with --config)", err)
	}
	return auth.NewHS256(secret)
}

// baseURL is where addr serves the console; every address becomes loopback.
func baseURL(cfg config.Config, addr string) string {
	if cfg.Server.PublicURL != "" {
		return strings.TrimSuffix(cfg.Server.PublicURL, "/") + cfg.Server.BasePath
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr + cfg.Server.BasePath
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + cfg.Server.BasePath
}

// post sends a JSON body and reads a JSON answer; another status than 2xx is
// an error with the problem's detail.
func (r *remote) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+r.token)
	res, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("is the server running? %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // read
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		var p struct {
			Detail string `json:"detail"`
		}
		_ = json.Unmarshal(answer, &p) // without a detail the status has to do
		return fmt.Errorf("POST %s: %s: %s", path, res.Status, p.Detail)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// link is the command.
func link(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("link", out)
	url := remoteFlags(fs)
	shops := fs.String("shops", "1", "the shops of the console, by comma")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	set, err := shopSet(*shops)
	if err != nil {
		return usageError{err}
	}
	r, err := dial(cfg.Config, *url, doorbell.Grant{Subject: "link", Role: doorbell.RoleService, Shops: set})
	if err != nil {
		return err
	}
	var answer struct {
		Ticket string `json:"ticket"`
	}
	body := map[string]any{"sub": "link", "life": "15m", "ttl": auth.ConsoleTTL.String()}
	if err := r.post(ctx, "api/v1/tickets", body, &answer); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, linkTo(r.base, answer.Ticket))
	return err
}

// token is the command: it prints the token and nothing else.
func token(_ context.Context, args []string, out io.Writer) error {
	fs, file := flags("token", out)
	role := fs.String("role", "", "console, service, customer or admin")
	shops := fs.String("shops", "", "the shops, by comma, or *")
	sub := fs.String("sub", "", "who it is for; a customer's userId (default: the role)")
	ttl := fs.Duration("ttl", 0, "how long it is good (default: service 8760h, console 720h)")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	g := doorbell.Grant{Subject: *sub, Role: doorbell.Role(*role)}
	if g.Shops, err = shopSet(*shops); err != nil {
		return usageError{err}
	}
	if g.Subject == "" {
		g.Subject = *role
	}
	if err := checkGrant(g, *ttl); err != nil {
		return usageError{err}
	}
	if *ttl == 0 {
		*ttl = auth.DefaultTTL(g.Role)
	}
	g.Expires = time.Now().Add(*ttl)
	tokens, err := localTokens(cfg.Config)
	if err != nil {
		return err
	}
	t, err := tokens.Issue(g)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, t)
	return err
}

func checkGrant(g doorbell.Grant, ttl time.Duration) error {
	switch g.Role {
	case doorbell.RoleConsole, doorbell.RoleService, doorbell.RoleAdmin:
		if !g.Shops.All && len(g.Shops.List) == 0 {
			return fmt.Errorf("--shops: role %s needs the shops, say --shops 1", g.Role)
		}
	case doorbell.RoleCustomer:
		if n, err := strconv.ParseInt(g.Subject, 10, 64); err != nil || n < 1 {
			return fmt.Errorf("--sub: a customer's is the userId in decimal")
		}
	default:
		return fmt.Errorf("--role: %q is none of console, service, customer, admin", g.Role)
	}
	if ttl < 0 {
		return fmt.Errorf("--ttl: %v is over already", ttl)
	}
	return nil
}

func shopSet(list string) (set doorbell.ShopSet, err error) {
	if list == "*" {
		return doorbell.ShopSet{All: true}, nil
	}
	if list == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil || n < 1 || n > doorbell.MaxID {
			return set, fmt.Errorf("--shops: %q is not a shop", part)
		}
		set.List = append(set.List, doorbell.ShopID(n))
	}
	return set, nil
}
