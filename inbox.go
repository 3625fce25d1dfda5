package main

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
	"doorbell/internal/store"
)

// withStore opens the database beside a server that may be running, which
// finds out within a second what is written here.
func withStore(ctx context.Context, cfg string, use func(*store.Store, *doorbell.Service) error) (err error) {
	loaded, err := settings(cfg)
	if err != nil {
		return err
	}
	rules, err := rulesOf(loaded.Config)
	if err != nil {
		return usageError{err}
	}
	file, err := store.SQLitePath(loaded.Database.URL)
	if err != nil {
		return usageError{err}
	}
	if _, err := os.Stat(file); err != nil {
		return err // opening would make an empty one
	}
	s, err := store.Open(ctx, store.Options{URL: loaded.Database.URL})
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(running) }()
	err = use(s, doorbell.NewService(s, rules, slog.New(slog.DiscardHandler)))
	stop()
	return errors.Join(err, <-ended, s.Close())
}

// inbox is the command: the callbacks that passed verification, and what became
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
		return usageError{fmt.Errorf("doorbell inbox: there is no %q; list, show and replay are", action)}
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
	fs.Func("kind", "payment or refund (default payment)", func(s string) error {
		if key.Kind = doorbell.NoticeKind(s); key.Kind != doorbell.PaymentNotice && key.Kind != doorbell.RefundNotice {
			return errors.New("neither payment nor refund")
		}
		return nil
	})
	return key, fs.Bool("accept-amount", false, "replay: take the amount that was paid although the order has another")
}

// waitsForSomebody are the verdicts that only a person can end.
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
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d %s\t%s\t%d\t%s\n", c.LastAt.Format(time.DateTime), c.Provider, c.Kind, c.Transaction,
			c.Number, c.Minor, c.Currency, c.Verdict, c.Times, c.Reason)
	}
	return w.Flush()
}

func showCallback(c doorbell.Callback, out io.Writer) error {
	_, err := fmt.Fprintf(out, `provider     %s
kind         %s
transaction  %s
number       %s
amount       %d %s (checked: %v)
verdict      %s
reason       %s
times        %d, from %s to %s
body SHA-256 %s
`, c.Provider, c.Kind, c.Transaction, c.Number, c.Minor, c.Currency, c.CheckAmount, c.Verdict, c.Reason,
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
	if _, err := fmt.Fprintf(out, "%s, order number %s: was %s, is %s\n", key.Transaction, before.Number, before.Verdict, verdict); err != nil {
		return err
	}
	if !verdict.Succeeded() {
		return fmt.Errorf("nothing was settled: %s", verdict)
	}
	return nil
}

// webhooks is the command: the messages to other systems.
func webhooks(ctx context.Context, args []string, out io.Writer) error {
	action, args := word(args, "list")
	fs, file := flags("webhooks "+action, out)
	var act func(*store.Store, *doorbell.Service) error
	switch action {
	case "list":
		state := fs.String("state", "", "only these: waiting, delivered, given_up")
		limit := fs.Int("limit", 50, "at most so many (1 to 1000)")
		act = func(s *store.Store, _ *doorbell.Service) error {
			q := store.OutgoingQuery{Any: *state == "", Limit: min(max(*limit, 1), 1000)}
			for _, known := range []doorbell.OutgoingState{doorbell.Waiting, doorbell.Delivered, doorbell.GivenUp} {
				if known.String() == *state {
					q.State = known
				}
			}
			if !q.Any && q.State.String() != *state {
				return usageError{fmt.Errorf("--state: %q is none of waiting, delivered, given_up", *state)}
			}
			return listOutgoing(ctx, s, q, out)
		}
	case "replay":
		id := fs.Int64("id", 0, "the message")
		all := fs.Bool("given-up", false, "all that were given up")
		act = func(s *store.Store, _ *doorbell.Service) error {
			if (*id == 0) != *all {
				return usageError{errors.New("doorbell webhooks replay: name --id N or --given-up")}
			}
			n, err := s.SendAgain(ctx, *id)
			if err == nil {
				_, err = fmt.Fprintf(out, "%d messages will be sent again\n", n)
			}
			return err
		}
	default:
		return usageError{fmt.Errorf("doorbell webhooks: there is no %q; list and replay are", action)}
	}
	if err := parse(fs, args); err != nil {
		return err
	}
	return withStore(ctx, *file, act)
}

func listOutgoing(ctx context.Context, s *store.Store, q store.OutgoingQuery, out io.Writer) error {
	messages, err := s.Outgoing(ctx, q)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "ID\tMADE\tHOOK\tEVENT\tSHOP\tSTATE\tATTEMPTS\tNEXT\tLAST ERROR") // Flush tells
	for _, o := range messages {
		next := ""
		if o.State == doorbell.Waiting {
			next = o.NextAt.Format(time.DateTime)
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", o.ID, o.CreatedAt.Format(time.DateTime), o.Hook, o.Event, o.Shop, o.State, o.Attempts, next, o.LastError)
	}
	return w.Flush()
}
