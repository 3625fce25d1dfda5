package adopt_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"doorbell/internal/doorbell"
	"doorbell/internal/sky/adopt"
	"doorbell/internal/sky/skytest"
	"doorbell/internal/store"
	"doorbell/internal/testrun"
	"doorbell/internal/testservers/databases"
)

var mariaDB struct {
	once   sync.Once
	server *databases.Server
	err    error
}

func TestMain(m *testing.M) {
	if missing := databases.Missing(databases.MariaDB); missing != "" {
		code := 0
		if os.Getenv("CI") == "true" {
			code = 1
		}
		if err := testrun.Report("adopt: NOT RUN: " + missing); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}
	code := m.Run()
	if mariaDB.server != nil {
		if err := mariaDB.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// site is their installation, with doorbell in its database.
type site struct {
	t       *testing.T
	table   *skytest.Table
	url     string
	zone    *time.Location
	store   *store.Store
	orders  *adopt.Orders
	service *doorbell.Service
	watch   *adopt.Watch
	logged  *strings.Builder
	stop    func()
}

const wechat = "wechat"

type ctx = context.Context

// newSite makes an installation in a JVM's zone and opens doorbell on it.
func newSite(t *testing.T, zone string) *site {
	t.Helper()
	mariaDB.once.Do(func() { mariaDB.server, mariaDB.err = databases.Start(databases.MariaDB, databases.Options{}) })
	if mariaDB.err != nil {
		t.Fatal(mariaDB.err)
	}
	url, drop, err := mariaDB.server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, url: url}
	if s.zone, err = time.LoadLocation(zone); err != nil {
		t.Fatal(err)
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr = databases.User, databases.Password, "tcp", fmt.Sprintf("127.0.0.1:%d", mariaDB.server.Port)
	cfg.DBName = url[strings.LastIndexByte(url, '/')+1:]
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	if s.table, err = skytest.NewTable(t.Context(), db, s.zone); err != nil {
		t.Fatal(err)
	}
	return s
}

// open starts doorbell; the watch is run by hand, with step.
func (s *site) open() *site {
	t := s.t
	t.Helper()
	var err error
	s.logged = &strings.Builder{}
	log := slog.New(slog.NewTextHandler(s.logged, nil))
	if s.store, err = store.Open(t.Context(), store.Options{URL: s.url, Log: log, Beside: true}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.store.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	s.orders = adopt.New(adopt.Options{Store: s.store, Zone: s.zone, Rings: true, Log: log})
	if err := s.orders.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "订单号: {{.Number}}", 2: "订单号: {{.Number}}", 3: "订单号: {{.Number}}", 4: "订单号: {{.Number}}"})
	if err != nil {
		t.Fatal(err)
	}
	s.service = doorbell.NewService(s.orders, doorbell.Rules{
		Texts: texts, Hooks: []doorbell.Hook{{Name: "desk"}},
		Reminders: doorbell.ReminderRules{Interval: time.Minute, Statuses: []doorbell.Status{2, 3, 4}},
	}, log)
	s.watch = adopt.NewWatch(adopt.WatchOptions{Orders: s.orders, Look: s.service.LookElsewhere, Every: time.Second, Leases: s.store, Node: s.store.Holder(), Log: log})
	return s
}

// step is one look of the watch.
func (s *site) step() {
	s.t.Helper()
	if err := s.watch.Step(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) do(what func(context.Context, int64) error, id int64) {
	s.t.Helper()
	if err := what(s.t.Context(), id); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) submit(number any, yuan string) int64 {
	s.t.Helper()
	id, err := s.table.Submit(s.t.Context(), number, 4, yuan)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// pay is WeChat's callback, which comes again where it was not taken.
func (s *site) pay(number, transaction string, fen int64) (v doorbell.Verdict) {
	s.t.Helper()
	var err error
	for range 10 {
		if v, err = s.payOnce(number, transaction, fen); doorbell.CodeOf(err) != doorbell.Unavailable {
			break
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func (s *site) payOnce(number, transaction string, fen int64) (doorbell.Verdict, error) {
	return s.service.TakeNotice(s.t.Context(), doorbell.Notice{
		Provider: wechat, Kind: doorbell.PaymentNotice, Transaction: transaction, Number: number,
		Money: doorbell.Money{Minor: fen, Currency: "CNY"}, CheckAmount: true, BodyHash: transaction,
	})
}

// told are the alerts of the shop so far: type and order of each.
func (s *site) told() (out []string) {
	s.t.Helper()
	page, err := s.store.Alerts(s.t.Context(), doorbell.AlertQuery{Shop: adopt.Shop, Limit: 500})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range slices.Backward(page.Alerts) {
		out = append(out, fmt.Sprintf("%d/%d", a.Type, a.OrderID))
	}
	return out
}

func (s *site) want(want ...string) {
	s.t.Helper()
	if got := s.told(); !slices.Equal(got, want) {
		s.t.Fatalf("the consoles were told %v, want %v\n%s", got, want, s.logged)
	}
}

// theirs is a row as their program sees it.
func (s *site) theirs(id int64) (status, pay int, checkout string) {
	s.t.Helper()
	var at sql.NullString
	if err := s.table.DB.QueryRowContext(s.t.Context(), `select status, pay_status, checkout_time from orders where id = ?`, id).Scan(&status, &pay, &at); err != nil {
		s.t.Fatal(err)
	}
	return status, pay, at.String
}

// rowsRead is how many rows the server has read so far, by whatever way.
func (s *site) rowsRead() (sum int64) {
	s.t.Helper()
	err := s.table.DB.QueryRowContext(s.t.Context(), `select sum(variable_value) from information_schema.global_status
		where variable_name in ('HANDLER_READ_FIRST', 'HANDLER_READ_KEY', 'HANDLER_READ_LAST', 'HANDLER_READ_NEXT', 'HANDLER_READ_PREV', 'HANDLER_READ_RND', 'HANDLER_READ_RND_NEXT')`).Scan(&sum)
	if err != nil {
		s.t.Fatal(err)
	}
	return sum
}

// sweepNext has the next step look at all orders.
func (s *site) sweepNext() { s.watch.SweepNext() }
