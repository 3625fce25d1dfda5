package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"doorbell/internal/auth"
	"doorbell/internal/config"
	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// tokenStep is how many tokens are read at once.
const tokenStep = 500

// listTokens prints the tokens that were made or used on the server, until they
// expire; none of them can be made from what is printed.
func listTokens(ctx context.Context, cfg config.Config, s *store.Store, out io.Writer) error {
	mark := "" // of all keys, where this program can't tell the server's
	if tokens, err := localTokens(cfg); err == nil {
		mark = tokens.Mark()
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tROLE\tSUB\tSHOPS\tMADE\tEXPIRES\tUSED\tSTATE") // Flush returns the error
	for after := ""; ; {
		page, err := auth.ListTokens(ctx, s, mark, after, tokenStep)
		if err != nil {
			return err
		}
		for _, e := range page.Tokens {
			state := "good"
			if !e.Revoked.IsZero() {
				state = "revoked " + shortTime(e.Revoked)
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%q\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.Grant.Role, e.Grant.Subject, shopsText(e.Grant.Shops),
				shortTime(e.Grant.Issued), shortTime(e.Grant.Expires), shortTime(e.Used), state)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "\nNot listed: tokens that were made by \"doorbell token\" or elsewhere and never used here, and customers'. To revoke one, give it to \"doorbell token --revoke -\" on standard input.")
	return err
}

func shopsText(s doorbell.ShopSet) string {
	if s.All {
		return "*"
	}
	parts := make([]string, len(s.List))
	for i, shop := range s.List {
		parts[i] = shop.String()
	}
	return strings.Join(parts, ",")
}

// shortTime returns a time in UTC; none is a dash.
func shortTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04Z")
}

// revokeToken revokes the token with this id; "-" reads the token itself from in,
// where neither the list of processes nor a shell's history keeps it.
func revokeToken(ctx context.Context, cfg config.Config, s *store.Store, id string, in io.Reader, out io.Writer) error {
	if id == "-" {
		line, err := bufio.NewReader(io.LimitReader(in, 16<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if id, err = noteToken(ctx, cfg, s, strings.TrimSpace(line)); err != nil {
			return err
		}
	}
	ids, err := s.RevokeToken(ctx, id, "doorbell token --revoke")
	if doorbell.CodeOf(err) == doorbell.NotFound {
		return fmt.Errorf("there is no token %q that has not expired; doorbell token --list shows the ids", id)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "revoked: %d (with those that were made by it); a running server refuses them, and ends their streams, within a heartbeat\n", len(ids))
	return err
}

// noteToken makes a token known that may never have been used, and returns its id.
func noteToken(ctx context.Context, cfg config.Config, s *store.Store, raw string) (id string, err error) {
	tokens, err := localTokens(cfg)
	if err != nil {
		return "", err
	}
	g, err := tokens.Check(raw)
	if err != nil {
		return "", fmt.Errorf("the token on standard input: %w", err)
	}
	e := doorbell.TokenEntry{ID: g.Source, Grant: g, First: doorbell.Instant(s.Now()), Mark: tokens.Mark()}
	return e.ID, s.NoteTokens(ctx, []doorbell.TokenEntry{e})
}

// knownTokens runs token --list or --revoke beside a server that may be running.
func knownTokens(ctx context.Context, file string, list bool, revoke string, out io.Writer) error {
	if list && revoke != "" {
		return usageError{errors.New("token: --list or --revoke, not both")}
	}
	cfg, err := settings(file)
	if err != nil {
		return err
	}
	return withStore(ctx, file, func(s *store.Store, _ *doorbell.Service) error {
		if list {
			return listTokens(ctx, cfg.Config, s, out)
		}
		return revokeToken(ctx, cfg.Config, s, revoke, os.Stdin, out)
	})
}
