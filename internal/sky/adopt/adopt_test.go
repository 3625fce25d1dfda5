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
	"doorbell/internal/testservers/databases"
)

var mariaDB struct {
	once   sync.Once
	server *databases.Server
	err    error
}

func TestMain(m *testing.M) {
	if missing := databases.Missing(databases.MariaDB); missing != "" {
		fmt.Fprintln(os.Stderr, "adopt: NOT RUN on MariaDB:", missing)
		os.Exit(0)
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

// TestPaymentOfTheirOrder: nobody has told doorbell of the order; a callback finds it
// in their table, rings, and writes there what their own callback would.
func TestPaymentOfTheirOrder(t *testing.T) {
	for _, zone := range []string{"Asia/Shanghai", "UTC"} {
		t.Run(zone, func(t *testing.T) {
			s := newSite(t, zone).open()
			s.step()
			id := s.submit("1700000000001", "58.07")
			other := s.submit("1700000000002", "12.00")
			before := time.Now().Add(-time.Second)
			if v := s.pay("1700000000001", "t1", 5807); v != doorbell.Settled {
				t.Fatalf("the verdict is %s", v)
			}
			status, pay, checkout := s.theirs(id)
			at, err := time.ParseInLocation("2006-01-02 15:04:05", checkout, s.zone)
			if status != 2 || pay != 1 || err != nil || at.Before(before.Truncate(time.Second)) || at.After(time.Now()) {
				t.Errorf("their row has status %d, pay_status %d and checkout_time %q", status, pay, checkout)
			}
			if status, pay, _ := s.theirs(other); status != 1 || pay != 0 {
				t.Errorf("another order has status %d and pay_status %d", status, pay)
			}
			for range 3 { // again, and looked at
				if v := s.pay("1700000000001", "t1", 5807); v != doorbell.Repeated {
					t.Fatalf("the verdict of a repeat is %s", v)
				}
				s.step()
			}
			s.want(fmt.Sprintf("1/%d", id))
			o, err := s.service.Order(t.Context(), doorbell.OrderID(id))
			if err != nil || o.User != 4 || o.Minor != 5807 || o.Status != 2 || o.Transaction != "t1" || time.Since(o.CreatedAt).Abs() > time.Minute {
				t.Errorf("the order is %+v, %v", o, err)
			}
			o, err = s.service.Order(t.Context(), doorbell.OrderID(other))
			if err != nil || o.Number != "1700000000002" || o.Status != 1 || o.PayStatus != 0 {
				t.Errorf("an order that nobody paid is %+v, %v", o, err)
			}
			if v := s.pay("1700000000002", "t2", 1); v != doorbell.AmountDiffers {
				t.Errorf("the verdict of 0.01 yuan for 12.00 is %s", v)
			}
			if v := s.pay("nowhere", "t3", 1); v != doorbell.UnknownOrder {
				t.Errorf("the verdict for a number that is not there is %s", v)
			}
		})
	}
}

// TestTwoOrdersOfOneNumber: neither is guessed, even by its amount, and both are told.
func TestTwoOrdersOfOneNumber(t *testing.T) {
	s := newSite(t, "Asia/Shanghai").open()
	first := s.submit("1700000000001", "10.00")
	s.step()
	second := s.submit("1700000000001", "20.00") // not in the index yet
	for range 2 {
		if v := s.pay("1700000000001", "t1", 1000); v != doorbell.SeveralOrders {
			t.Fatalf("the verdict is %s", v)
		}
		s.step()
	}
	s.want()
	for _, id := range []int64{first, second} {
		if status, pay, _ := s.theirs(id); status != 1 || pay != 0 {
			t.Errorf("order %d has status %d and pay_status %d", id, status, pay)
		}
	}
	line, err := s.store.Received(t.Context(), doorbell.Notice{Provider: wechat, Kind: doorbell.PaymentNotice, Transaction: "t1"})
	if both := fmt.Sprintf("orders %d and %d", first, second); err != nil || !strings.Contains(line.Reason, both) {
		t.Errorf("the inbox says %q, %v; want %q", line.Reason, err, both)
	}
	var told int
	err = s.table.DB.QueryRowContext(t.Context(), `select count(*) from doorbell_outbox where event = 'payment.anomaly' and body like '%several_orders%' and body like ?`,
		fmt.Sprintf("%%orders %d and %d%%", first, second)).Scan(&told)
	if err != nil || told != 1 {
		t.Errorf("payment.anomaly was told %d times, %v", told, err)
	}
	// Paid without a callback, each is known by its id.
	s.do(s.table.Shortcut, first)
	s.do(s.table.Shortcut, second)
	s.step()
	s.want(fmt.Sprintf("1/%d", first), fmt.Sprintf("1/%d", second))
}

// TestCallbackForCancelled: it is called off and never revived.
func TestCallbackForCancelled(t *testing.T) {
	s := newSite(t, "UTC").open()
	id := s.submit("1700000000001", "10.00")
	s.step()
	s.do(s.table.Timeout, id)
	if v := s.pay("1700000000001", "t1", 1000); v != doorbell.PaidAfterCancel {
		t.Fatalf("the verdict is %s", v)
	}
	s.step()
	s.want(fmt.Sprintf("4/%d", id))
	if status, pay, _ := s.theirs(id); status != 6 || pay != 0 {
		t.Errorf("their row has status %d and pay_status %d", status, pay)
	}
}

// TestNoScanForACallback counts the rows that the database reads for callbacks while
// their table has many.
func TestNoScanForACallback(t *testing.T) {
	s := newSite(t, "UTC").open()
	const many = 50_000
	_, err := s.table.DB.ExecContext(t.Context(), fmt.Sprintf(`insert into orders (number, status, user_id, address_book_id, order_time, amount)
		select concat('16', seq), 5, 1, 1, utc_timestamp() - interval 3 day, 1.00 from seq_1_to_%d`, many))
	if err != nil {
		t.Fatal(err)
	}
	s.step()
	var numbers []string
	for i := range 40 {
		number := fmt.Sprintf("17000000001%02d", i)
		s.submit(number, "1.00")
		numbers = append(numbers, number)
	}
	s.step()
	before := s.rowsRead()
	for i, number := range numbers {
		if v := s.pay(number, fmt.Sprint("t", i), 100); v != doorbell.Settled {
			t.Fatalf("the verdict is %s", v)
		}
	}
	if each := (s.rowsRead() - before) / int64(len(numbers)); each > 2*700 {
		t.Errorf("a callback reads %d rows of %d", each, many)
	} else {
		t.Logf("a callback reads %d rows of %d", each, many)
	}
	before = s.rowsRead()
	for range 20 {
		s.step()
	}
	if each := (s.rowsRead() - before) / 20; each > 3*700 {
		t.Errorf("a look reads %d rows of %d", each, many)
	} else {
		t.Logf("a look reads %d rows of %d", each, many)
	}
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

// TestTheirTableStaysAsItIs: neither its columns nor another row changes.
func TestTheirTableStaysAsItIs(t *testing.T) {
	s := newSite(t, "UTC")
	shape := func() (name, ddl string) {
		if err := s.table.DB.QueryRowContext(t.Context(), `show create table orders`).Scan(&name, &ddl); err != nil {
			t.Fatal(err)
		}
		return name, ddl[:strings.LastIndexByte(ddl, ')')]
	}
	_, before := shape()
	s.open()
	id := s.submit("1700000000001", "10.00")
	s.pay("1700000000001", "t1", 1000)
	if _, err := s.service.AcceptOrder(t.Context(), doorbell.OrderID(id), "somebody"); err != nil {
		t.Fatal(err)
	}
	if _, after := shape(); after != before {
		t.Errorf("their table was %s, is %s", before, after)
	}
	if status, _, _ := s.theirs(id); status != 2 {
		t.Errorf("a press on a console has set their status to %d", status)
	}
	s.step()
	s.want(fmt.Sprintf("1/%d", id), fmt.Sprintf("3/%d", id))
	if _, _, err := s.service.CreateOrder(t.Context(), doorbell.Order{Number: "x", Shop: 1, Money: doorbell.Money{Minor: 1}}); doorbell.CodeOf(err) != doorbell.Conflict {
		t.Errorf("an order made here: %v", err)
	}
	s.stop()
	_, err := store.Open(t.Context(), store.Options{URL: s.url})
	if err == nil || !strings.Contains(err.Error(), "sky.adopt: true") {
		t.Errorf("a start without sky.adopt says %v", err)
	}
}

// sweepNext has the next step look at all orders.
func (s *site) sweepNext() { s.watch.SweepNext() }
