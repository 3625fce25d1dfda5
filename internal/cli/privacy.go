package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// forget runs the command, also under a running server: it removes what tells who a
// customer is.
func forget(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("forget", out)
	user := fs.Int64("user", 0, "the customer's userId")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *user < 1 || *user > doorbell.MaxID {
		return usageError{errors.New("forget: --user names the customer's userId, a positive whole number")}
	}
	return withStore(ctx, *file, func(s *store.Store, _ *doorbell.Service) error {
		done, err := s.Forget(ctx, *user)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "orders of user %d that no longer say whose they are: %d\n", *user, done.Orders); err != nil {
			return err
		}
		if done.Ringing > 0 {
			return fmt.Errorf("%d of the user's orders still ring: run this again when they are taken care of", done.Ringing)
		}
		return nil
	})
}

// export runs the command, also under a running server: it prints what is stored of
// a shop.
func export(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("export", out)
	shop := fs.Int64("shop", 0, "the shop")
	if err := parse(fs, args); err != nil {
		return err
	}
	if *shop < 1 || *shop > doorbell.MaxID {
		return usageError{errors.New("export: --shop names the shop, a positive whole number")}
	}
	return withStore(ctx, *file, func(s *store.Store, _ *doorbell.Service) error {
		lines := bufio.NewWriter(out)
		return errors.Join(s.Export(ctx, doorbell.ShopID(*shop), lines), lines.Flush())
	})
}
