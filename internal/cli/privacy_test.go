package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"doorbell/internal/doorbell"
	"doorbell/internal/store"
)

// TestForgetAndExportCommands: beside a server's database, by its settings.
func TestForgetAndExportCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	makeData(t)
	err := withStore(t.Context(), "", func(s *store.Store, _ *doorbell.Service) error {
		return s.Write(t.Context(), func(tx doorbell.Tx) error {
			_, err := tx.InsertOrder(doorbell.Order{Number: "A-1", Shop: 1, User: 7, Status: doorbell.ToBePaid, Money: doorbell.Money{Minor: 1, Currency: "CNY"}})
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := runs(t, "export", "--shop", "1"); !strings.Contains(got, `"user_id":7`) || strings.Count(got, "\n") != 1 {
		t.Errorf("export: %s", got)
	}
	if got := runs(t, "forget", "--user", "7"); !strings.Contains(got, "no longer say whose they are: 1") {
		t.Errorf("forget: %s", got)
	}
	if got := runs(t, "export", "--shop", "1"); !strings.Contains(got, `"user_id":0`) {
		t.Errorf("export afterwards: %s", got)
	}
	for _, args := range [][]string{{"forget"}, {"forget", "--user", "0"}, {"export"}, {"export", "--shop", "-1"}} {
		var out bytes.Buffer
		err := run(t.Context(), args, &out)
		if _, usage := errors.AsType[usageError](err); !usage {
			t.Errorf("%v: %v, want a fault of the command line", args, err)
		}
	}
}
