package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// webhooks lists or replays the messages to other systems.
func webhooks(ctx context.Context, args []string, out io.Writer) error {
	action, args := word(args, "list")
	fs, file := flags("webhooks "+action, out)
	var act func(*store.Store, *doorbell.Service) error
	switch action {
	case "list":
		state := fs.String("state", "", "only these: waiting, delivered, given_up, withdrawn")
		limit := fs.Int("limit", 50, "at most so many (1 to 1000)")
		act = func(s *store.Store, _ *doorbell.Service) error {
			q := store.OutgoingQuery{Any: *state == "", Limit: min(max(*limit, 1), 1000)}
			for _, known := range []doorbell.OutgoingState{doorbell.Waiting, doorbell.Delivered, doorbell.GivenUp, doorbell.Withdrawn} {
				if known.String() == *state {
					q.State = known
				}
			}
			if !q.Any && q.State.String() != *state {
				return usageError{fmt.Errorf("--state: %q is none of waiting, delivered, given_up, withdrawn", *state)}
			}
			return listOutgoing(ctx, s, q, out)
		}
	case "replay":
		id := fs.Int64("id", 0, "the message")
		all := fs.Bool("given-up", false, "all that were given up")
		act = func(s *store.Store, _ *doorbell.Service) error {
			if (*id == 0) != *all {
				return usageError{errors.New("webhooks replay: name --id N or --given-up")}
			}
			n, err := s.SendAgain(ctx, *id)
			if err == nil {
				_, err = fmt.Fprintf(out, "%d messages will be sent again\n", n)
			}
			return err
		}
	default:
		return usageError{fmt.Errorf("webhooks: %q is neither list nor replay", action)}
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
		_, _ = sayf(w, "%d\t%s\t%s\t%s\t%d\t%s\t%d\t%s\t%s\n", o.ID, o.CreatedAt.Format(time.DateTime), o.Hook, o.Event, o.Shop, o.State, o.Attempts, next, o.LastError)
	}
	return w.Flush()
}
