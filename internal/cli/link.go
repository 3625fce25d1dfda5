package cli

import (
	"context"
	"fmt"
	"io"

	"doorbell/internal/auth"
	"doorbell/internal/doorbell"
	"doorbell/internal/server"
)

// link prints a link that opens the console of the running server.
func link(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("link", out)
	at := remoteFlags(fs)
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
	r, err := dial(ctx, cfg.Config, *at, doorbell.Grant{Subject: "link", Role: doorbell.RoleService, Shops: set})
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
	base := r.base
	if *at == "" {
		if base, err = tabletURL(cfg.Config); err != nil { // nobody but this machine reaches it
			base = r.base
		}
	}
	_, err = fmt.Fprintln(out, server.LinkTo(base, answer.Ticket))
	return err
}
