package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/server"
	"doorbell/internal/store"
)

// withStore opens the database beside a server that may be running, which
// finds out within a second what is written here.
func withStore(ctx context.Context, cfg string, use func(*store.Store, *doorbell.Service) error) (err error) {
	loaded, err := settings(cfg)
	if err != nil {
		return err
	}
	rules, err := server.Rules(loaded.Config)
	if err != nil {
		return usageError{err}
	}
	if file, err := store.SQLitePath(loaded.Database.URL); err == nil {
		if _, err := os.Stat(file); err != nil {
			return err // opening would make an empty one
		}
	}
	s, err := store.Open(ctx, store.Options{URL: loaded.Database.URL, Beside: loaded.Sky.Adopt})
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	orders, _, err := server.Orders(ctx, loaded.Config, s, log)
	if err != nil {
		return errors.Join(err, s.Close())
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	err = use(s, doorbell.NewService(orders, rules, log))
	stop()
	return errors.Join(err, <-ended, s.Close())
}

// inbox lists, shows or replays the callbacks that passed verification, and what became
// of them.
func inbox(ctx context.Context, args []string, out io.Writer) error {
	action, args := word(args, "list")
	fs, file := flags("inbox "+action, out)
	var act func(*store.Store, *doorbell.Service) error
	switch action {
	case "list":
		verdict := fs.String("verdict", "", "only these: settled, unknown_order, amount_differs, refused …")
		held := fs.Bool("held", false, "only what waits for somebody to look into it")
		provider := fs.String("provider", "", "only of this provider")
		number := fs.String("number", "", "only of this order number")
		limit := fs.Int("limit", 50, "at most so many (1 to 1000)")
		act = func(s *store.Store, _ *doorbell.Service) error {
			q := store.InboxQuery{Verdict: doorbell.Verdict(*verdict), Provider: *provider, Number: *number, Limit: min(max(*limit, 1), 1000)}
			return listInbox(ctx, s, q, *held, out)
		}
	case "show", "replay":
		key, accept := inboxKey(fs)
		act = func(s *store.Store, service *doorbell.Service) error {
			if action == "replay" {
				return replay(ctx, s, service, *key, *accept, out)
			}
			c, err := s.Received(ctx, *key)
			if err != nil {
				return err
			}
			return showCallback(c, out)
		}
	default:
		return usageError{fmt.Errorf("inbox: %q is none of list, show, replay", action)}
	}
	if err := parse(fs, args); err != nil {
		return err
	}
	return withStore(ctx, *file, act)
}

// word takes the action off the arguments.
func word(args []string, otherwise string) (string, []string) {
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		return args[0], args[1:]
	}
	return otherwise, args
}

// inboxKey adds the flags that name one line.
func inboxKey(fs *flag.FlagSet) (key *doorbell.Notice, acceptAmount *bool) {
	key = &doorbell.Notice{Kind: doorbell.PaymentNotice}
	fs.StringVar(&key.Provider, "provider", "wechat", "the provider")
	fs.StringVar(&key.Transaction, "transaction", "", "the provider's transaction id")
	fs.Func("kind", "payment, refund or event (default payment)", func(s string) error {
		switch key.Kind = doorbell.NoticeKind(s); key.Kind {
		case doorbell.PaymentNotice, doorbell.RefundNotice, doorbell.EventNotice:
			return nil
		default:
			return errors.New("none of payment, refund and event")
		}
	})
	return key, fs.Bool("accept-amount", false, "replay: take the amount that was paid although the order has another")
}

// waitsForSomebody reports whether only a person can end a verdict.
func waitsForSomebody(v doorbell.Verdict) bool {
	return v.Anomalous() || v == doorbell.UnknownOrder
}

func listInbox(ctx context.Context, s *store.Store, q store.InboxQuery, held bool, out io.Writer) error {
	limit := q.Limit
	if held { // few of many
		q.Limit = 100_000
	}
	lines, err := s.Inbox(ctx, q)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "LAST\tPROVIDER\tKIND\tTRANSACTION\tNUMBER\tAMOUNT\tVERDICT\tTIMES\tREASON") // Flush tells
	for _, c := range lines {
		if held && !waitsForSomebody(c.Verdict) || limit == 0 {
			continue
		}
		limit--
		_, _ = sayf(w, "%s\t%s\t%s\t%s\t%s\t%d %s\t%s\t%d\t%s\n", c.LastAt.Format(time.DateTime), c.Provider, c.Kind, c.Transaction,
			c.Number, c.Minor, c.Currency, c.Verdict, c.Times, c.Reason)
	}
	return w.Flush()
}

func showCallback(c doorbell.Callback, out io.Writer) error {
	_, err := sayf(out, `provider     %s
account      %s
kind         %s
transaction  %s
number       %s
amount       %d %s (checked: %v)
verdict      %s
reason       %s
times        %d, from %s to %s
body SHA-256 %s
`, c.Provider, c.Account, c.Kind, c.Transaction, c.Number, c.Minor, c.Currency, c.CheckAmount, c.Verdict, c.Reason,
		c.Times, c.FirstAt.Format(time.RFC3339), c.LastAt.Format(time.RFC3339), c.BodyHash)
	return err
}

func replay(ctx context.Context, s *store.Store, service *doorbell.Service, key doorbell.Notice, acceptAmount bool, out io.Writer) error {
	before, err := s.Received(ctx, key)
	if err != nil {
		return err
	}
	judge := service.Replay
	if acceptAmount {
		judge = service.SettleHeld
	}
	verdict, err := judge(ctx, key)
	if err != nil {
		return err
	}
	if _, err := sayf(out, "%s, order number %s: was %s, is %s\n", key.Transaction, before.Number, before.Verdict, verdict); err != nil {
		return err
	}
	if !verdict.Succeeded() {
		return fmt.Errorf("nothing was settled: %s", verdict)
	}
	return nil
}
