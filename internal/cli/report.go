package cli

import (
	"context"
	"encoding/csv"
	"io"

	"doorbell/internal/doorbell"
	"doorbell/internal/ledger"
	"doorbell/internal/server"
	"doorbell/internal/store"
)

// report prints what was paid, heard and accepted on a day, and what was not.
func report(ctx context.Context, args []string, out io.Writer) error {
	fs, file := flags("report", out)
	shop := fs.Int64("shop", 0, "the shop (default all)")
	day := fs.String("day", "", "YYYY-MM-DD by the shop's clock (default today)")
	asCSV := fs.Bool("csv", false, "all lines, as CSV")
	if err := parse(fs, args); err != nil {
		return err
	}
	cfg, err := settings(*file)
	if err != nil {
		return err
	}
	zones, err := server.Zones(cfg.Config)
	if err != nil {
		return err
	}
	return withStore(ctx, *file, func(s *store.Store, _ *doorbell.Service) error {
		shops := []doorbell.ShopID{doorbell.ShopID(*shop)}
		if *shop == 0 {
			if shops, err = s.Shops(ctx, 0, 10_000); err != nil {
				return err
			}
		}
		return writeReport(ctx, out, ledger.Book{Store: s, Zones: zones}, shops, *day, *asCSV)
	})
}

func writeReport(ctx context.Context, out io.Writer, book ledger.Book, shops []doorbell.ShopID, day string, asCSV bool) error {
	w := csv.NewWriter(out)
	if asCSV {
		if err := w.Write(doorbell.LedgerColumns); err != nil {
			return err
		}
	}
	for i, shop := range shops {
		d, err := book.Day(ctx, shop, day)
		switch {
		case err != nil:
			return err
		case asCSV:
			err = d.WriteCSV(w)
		case i > 0:
			_, err = io.WriteString(out, "\n")
		}
		if err != nil {
			return err
		}
		if asCSV {
			continue
		}
		if err := d.WriteText(out, book.Zones.Of(shop)); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
