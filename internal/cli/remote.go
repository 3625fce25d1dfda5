package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/client"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/server"
)

// remote is the running server as the commands reach it.
type remote struct {
	base   string // ends in /
	token  string
	client *http.Client
	trust  *tls.Config // of its certificate; nil: as any client does
}

// remoteFlags adds --url.
func remoteFlags(fs *flag.FlagSet) *string {
	return fs.String("url", "", "the running server, with its path, say https://bell.example.com/bell/; goes before\n"+
		"server.public_url and server.addr (default: it is called at server.addr, and what is\n"+
		"printed for other devices begins with server.public_url, if that is set)")
}

// dial makes a short-lived token of the server's own secret. A server that is
// starting has not made it yet, while systemd holds its socket already: a call
// waits there until the server serves, and then the secret is there.
func dial(ctx context.Context, cfg config.Config, address string, g doorbell.Grant) (*remote, error) {
	if address == "" {
		address = server.LocalURL(cfg, cfg.Server.Addr)
	} else if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usageError{fmt.Errorf("--url: %q is not an address such as http://127.0.0.1:8080/", address)}
	}
	trust, err := cfg.Server.TLS.Trust()
	if err != nil {
		return nil, err
	}
	base, caller := strings.TrimSuffix(address, "/")+"/", &http.Client{Timeout: 15 * time.Second, Transport: client.Way(trust)}
	tokens, err := localTokens(cfg)
	if errors.Is(err, auth.ErrNoSecret) && (&remote{base: base, client: caller}).get(ctx, "page.json", nil) == nil {
		tokens, err = localTokens(cfg)
	}
	if err != nil {
		return nil, err
	}
	g.Expires = time.Now().Add(24 * time.Hour)
	t, err := tokens.Issue(g)
	if err != nil {
		return nil, err
	}
	return &remote{base: base, token: t, client: caller, trust: trust}, nil
}

// localTokens uses the secret that the server made or was given; it makes none.
func localTokens(cfg config.Config) (*auth.Tokens, error) {
	if cfg.Auth.Algorithm != "HS256" {
		return nil, auth.ErrCannotIssue
	}
	secret, err := auth.FindSecret(string(cfg.Auth.Secret), server.DataDir(cfg))
	if err != nil {
		return nil, fmt.Errorf("%w. Start the server once, or name its settings with --config", err)
	}
	return auth.NewHS256(secret, server.Expected(cfg))
}

// post sends a JSON body and reads a JSON answer; another status than 2xx is
// an error with the problem's detail.
func (r *remote) post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return r.call(ctx, http.MethodPost, path, bytes.NewReader(text), into)
}

// get reads a JSON answer.
func (r *remote) get(ctx context.Context, path string, into any) error {
	return r.call(ctx, http.MethodGet, path, http.NoBody, into)
}

func (r *remote) call(ctx context.Context, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return unreachable(r.base, err)
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
		return r.refused(method+" "+r.base+path, res.StatusCode, p.Detail)
	}
	if into == nil {
		return nil
	}
	if json.Unmarshal(answer, into) != nil {
		return fmt.Errorf("%s %s does not answer as doorbell does: is its address, with server.base_path, right? --url names another", method, r.base+path)
	}
	return nil
}

// unreachable names the address that was tried, and what to do.
func unreachable(base string, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the address again
	}
	return fmt.Errorf("no server answers at %s: %w. Start it, name its settings with --config, or its address with --url", base, err)
}

// refused tells an answer that is no success, and what to do about it.
func (r *remote) refused(what string, status int, detail string) error {
	if detail == "" {
		detail = "no reason given"
	}
	advice := ""
	switch {
	case status == http.StatusUnauthorized:
		advice = ". " + otherSecret
	case status == http.StatusNotFound:
		advice = ". Is it doorbell, and the path its server.base_path? --url names another address"
	case status >= 500:
		advice = ". The server, or a proxy in front of it, can't answer now: see its log, and try again"
	}
	return fmt.Errorf("%s: %d %s: %s%s", what, status, http.StatusText(status), strings.TrimSuffix(detail, "."), advice)
}

// otherSecret is what to do when the server refuses a token that was just made.
const otherSecret = "The server has another auth.secret than these settings: name its settings with --config, and run this as the server's user"
