package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"doorbell/internal/doorbell"
	"doorbell/internal/server"
	"doorbell/internal/store"
)

// escalate sends a test to everybody whom a shop's ladder names, and tells which
// did not arrive.
func escalate(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("escalate", out)
	test := fs.Bool("test", false, "send a test; nothing else can be sent by hand")
	shop := fs.Int64("shop", 1, "the shop")
	if err := parse(fs, args); err != nil {
		return err
	}
	if !*test {
		return usageError{errors.New("escalate: say --test: it sends a real message to each")}
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	return withStore(ctx, *file, func(s *store.Store, _ *doorbell.Service) error {
		tried, err := server.TryLadder(ctx, cfg.Config, s, server.Options{Config: cfg.Config, Log: slog.New(slog.DiscardHandler)}, doorbell.ShopID(*shop))
		if err != nil {
			return err
		}
		return tellTried(out, tried, *shop)
	})
}

func tellTried(out io.Writer, tried []server.Tried, shop int64) error {
	if len(tried) == 0 {
		return fmt.Errorf("shop %d has no ladder: see escalation in config.yaml", shop)
	}
	failed := 0
	for _, t := range tried {
		line := "sent to " + t.To
		if t.Err != nil {
			failed++
			line = fmt.Sprintf("NOT sent to %s: %v", t.To, t.Err)
		}
		if _, err := sayf(out, "%s\n", line); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d were not sent", failed, len(tried))
	}
	return nil
}
