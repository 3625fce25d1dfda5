package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	goosedb "github.com/pressly/goose/v3/database"

	"doorbell/internal/doorbell"
	"doorbell/internal/testservers/databases"
)

// onServers runs a test on every database server.
func onServers(t *testing.T, test func(t *testing.T, db database)) {
	t.Helper()
	for _, db := range servers() {
		t.Run(db.name, func(t *testing.T) { test(t, db) })
	}
}

// changed returns a changed copy of a URL.
func changed(t *testing.T, databaseURL string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

// tryOpen opens a store and closes it again.
func tryOpen(t *testing.T, databaseURL string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := Open(ctx, Options{URL: databaseURL})
	if err == nil {
		err = s.Close()
	}
	return err
}

// TestWrongServers: the error at the start says what is wrong, and never the
// password.
func TestWrongServers(t *testing.T) { onServers(t, testWrongServers) }

func testWrongServers(t *testing.T, db database) {
	good := db.url(t)
	port := closedPort(t)
	for _, c := range []struct {
		name   string
		change func(u *url.URL)
		want   string
	}{
		{"nobody listens", func(u *url.URL) { u.Host = port }, "no server answers there"},
		{"no such host", func(u *url.URL) { u.Host = "nowhere.invalid" }, "no server answers there"},
		{"wrong password", func(u *url.URL) { u.User = url.UserPassword(databases.User, "s3cret-and-wrong") }, "wrong password"},
		{"no such user", func(u *url.URL) { u.User = url.UserPassword("nobody", "s3cret-and-wrong") }, "wrong password, or no such user"},
		{"no such database", func(u *url.URL) { u.Path = "/nothing" }, "there is no such database"},
	} {
		bad := changed(t, good, c.change)
		err := tryOpen(t, bad)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && (strings.Contains(err.Error(), databases.Password) || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: the error tells the password: %v", c.name, err)
		}
		if safe := SafeURL(bad); strings.Contains(safe, databases.User) || strings.Contains(safe, "s3cret") {
			t.Errorf("%s: %s", c.name, safe)
		}
	}
	err := tryOpen(t, good)
	for began := time.Now(); timedOut(err) && time.Since(began) < time.Minute; { // the server has no time for it
		err = tryOpen(t, good)
	}
	if err != nil {
		t.Errorf("the right one: %v", err)
	}
}

func timedOut(err error) bool {
	failed, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && failed.Timeout()
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody listens there any more
	return l.Addr().String()
}

// TestTakenNames: another program's tables are not touched.
func TestTakenNames(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		other := rawDB(t, at)
		for _, query := range []string{`create table orders (shop varchar(10))`, `create table goose_db_version (x int)`} {
			if _, err := other.ExecContext(t.Context(), query); err != nil {
				t.Fatal(err)
			}
		}
		err := tryOpen(t, at)
		if err == nil || !strings.Contains(err.Error(), "another program's tables have names that doorbell needs: orders") {
			t.Errorf("got %v", err)
		}
		if _, err := Verify(t.Context(), at); err == nil || !strings.Contains(err.Error(), "another program's") {
			t.Errorf("verify: %v", err)
		}
		if _, err := other.ExecContext(t.Context(), `drop table orders`); err != nil {
			t.Fatal(err)
		}
		if err := tryOpen(t, at); err != nil { // a table with goose's default name is ignored
			t.Errorf("beside other tables: %v", err)
		}
	})
}

// rawDB opens a database with its driver alone.
func rawDB(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	v, err := serverOf(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	db := v.pool(false, 2)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// TestReadOnlyServer: a server that refuses writes is refused at the start. If it
// becomes read-only under a running store, changes are refused, and none is lost
// once it accepts writes again.
func TestReadOnlyServer(t *testing.T) {
	for _, e := range engines {
		t.Run(e.kind.Name, func(t *testing.T) {
			if why := databases.Missing(e.kind); why != "" {
				t.Skip(why)
			}
			server := e.start(t)
			at := e.url(t)
			s := openURL(t, at, nil)
			appendOne(t, s, alertOf(1, 1, doorbell.NewOrder))
			set := func(on int) {
				t.Helper()
				query := fmt.Sprintf(`set global read_only = %d`, on)
				if e.kind.Name == "postgres" {
					u, _ := url.Parse(at)
					query = fmt.Sprintf(`alter database %s set default_transaction_read_only = %d`, strings.TrimPrefix(u.Path, "/"), on)
				}
				if err := server.Exec(context.WithoutCancel(t.Context()), query); err != nil {
					t.Fatal(err)
				}
			}
			set(1)
			err := tryOpen(t, at)
			if err == nil || !strings.Contains(err.Error(), "takes no writes: it is a replica") {
				t.Errorf("got %v", err)
			}
			set(0)
			if a := appendOne(t, s, alertOf(1, 2, doorbell.NewOrder)); a.Seq != 2 {
				t.Errorf("seq %d, want 2", a.Seq)
			}
		})
	}
}

// TestOldReleases: releases that are too old are refused by name.
func TestOldReleases(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{checkPostgres("120022", "12.22", "UTF8"), "this is PostgreSQL 12.22; doorbell needs 13 or later"},
		{checkPostgres("130000", "13.0", "UTF8"), ""},
		{checkPostgres("150018", "15.18", "SQL_ASCII"), "encoding is SQL_ASCII"},
		{mySQL8.check("5.7.44-log"), "this is MySQL 5.7.44-log; doorbell needs 8.0.17 or later"},
		{mySQL8.check("8.0.16"), "needs 8.0.17"},
		{mySQL8.check("8.0.17"), ""},
		{mySQL8.check("8.4.0"), ""},
		{mySQL8.check("9.1.0"), ""},
		{mariaDB.check("10.5.29-MariaDB"), "this is MariaDB 10.5.29-MariaDB; doorbell needs 10.6.0"},
		{mariaDB.check("10.6.0-MariaDB"), ""},
		{mariaDB.check("11.8.2-MariaDB-ubu2404"), ""},
		{mariaDB.check("what"), "version \"what\" can't be parsed"},
	} {
		if c.want == "" && c.err != nil || c.want != "" && (c.err == nil || !strings.Contains(c.err.Error(), c.want)) {
			t.Errorf("got %v, want %q", c.err, c.want)
		}
	}
}

// TestMySQLURLs: URLs are read with their options; an unknown one is named in the
// error.
func TestMySQLURLs(t *testing.T) {
	cfg, err := parseMySQL("mysql://u%40x:p%2Fw@db.example.com/shop?tls=skip-verify")
	if err != nil || cfg.User != "u@x" || cfg.Passwd != "p/w" || cfg.Addr != "db.example.com:3306" || cfg.DBName != "shop" || cfg.TLSConfig != "skip-verify" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg, err := parseMySQL("mysql://u@x/shop?socket=/run/s"); err != nil || cfg.Net != "unix" || cfg.Addr != "/run/s" {
		t.Errorf("%+v, %v", cfg, err)
	}
	for bad, want := range map[string]string{
		"mysql://u:s3cret/x@h/d":    "not a URL",
		"mysql://u:s3cret@h":        "names no database",
		"mysql://u:s3cret@h/d?tsl=": `unknown option "tsl"`,
		"mysql://u@h/d?ca=/none":    "no such file",
	} {
		if _, err := parseMySQL(bad); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
}

// TestStartsAtOnce: of nodes that start together on an empty database one migrates
// it.
func TestStartsAtOnce(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		var starting sync.WaitGroup
		epochs := make([]string, 4)
		for i := range epochs {
			starting.Go(func() {
				s, err := Open(t.Context(), Options{URL: at})
				if err != nil {
					t.Error(err)
					return
				}
				if epochs[i], _, err = s.Positions(t.Context(), nil); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		starting.Wait()
		for _, e := range epochs {
			if e == "" || e != epochs[0] {
				t.Errorf("epochs %q, want one", epochs)
			}
		}
	})
}

// TestStartsAfterOneThatDied: MySQL commits the table of the schema's version before
// its first row, and a node may die between them.
func TestStartsAfterOneThatDied(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		v, err := serverOf(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		versions, err := goosedb.NewStore(v.dialect.goose, v.dialect.versions)
		if err != nil {
			t.Fatal(err)
		}
		if err := versions.CreateVersionTable(t.Context(), rawDB(t, at)); err != nil {
			t.Fatal(err)
		}
		if err := tryOpen(t, at); err != nil {
			t.Error(err)
		}
	})
}

// grownBy returns a dialect's migrations and one more, as the next release will
// have.
func grownBy(t *testing.T, d *dialect, next string) fs.FS {
	t.Helper()
	files, err := d.migrationFiles()
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{"09999_next.sql": {Data: []byte("-- +goose Up\n" + next)}}
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = &fstest.MapFile{Data: text}
	}
	return out
}

// TestOldAndNewTogether: a newer program extends the schema while an older one
// serves. Both write to one log, and the older one can start again, until a
// release removes what it needs.
func TestOldAndNewTogether(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		older := openURL(t, at, nil)
		appendOne(t, older, alertOf(1, 1, doorbell.NewOrder))
		open := func(next string) error {
			s, err := Open(t.Context(), Options{URL: at, migrations: grownBy(t, older.dialect, next)})
			if err == nil {
				stop := startOnce(s)
				appendOne(t, s, alertOf(1, 2, doorbell.NewOrder))
				err = stop()
			}
			return err
		}
		if err := open("alter table alerts add column colour smallint not null default 0;\ncreate table colours (n int);"); err != nil {
			t.Fatal(err)
		}
		if a := appendOne(t, older, alertOf(1, 3, doorbell.TakenCare)); a.Seq != 3 {
			t.Errorf("seq %d from the older one, want 3", a.Seq)
		}
		if err := tryOpen(t, at); err != nil {
			t.Errorf("the older one starts again: %v", err)
		}
		if _, err := older.writes.ExecContext(t.Context(), `insert into meta (name, value) values ('`+oldestProgram+`', '9999')`); err != nil {
			t.Fatal(err)
		}
		if err := tryOpen(t, at); err == nil || !strings.Contains(err.Error(), "for programs that know 9999 or later") {
			t.Errorf("after a release that takes away: %v", err)
		}
	})
}

// TestSameSchema: all databases have the same tables and columns.
func TestSameSchema(t *testing.T) {
	columns := map[string][]string{}
	for _, db := range everywhere() {
		s := db.open(t, nil)
		query := `select m.name, p.name from sqlite_master m join pragma_table_info(m.name) p where m.type = 'table'`
		if db.name != "sqlite" {
			query = `select table_name, column_name from information_schema.columns where table_schema = ` +
				map[string]string{"postgres": `current_schema()`, "mysql": `database()`}[db.name]
		}
		rows, err := s.writes.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		tables := map[string]bool{}
		err = scanRows(rows, func(r *sql.Rows) error {
			var table, column string
			err := r.Scan(&table, &column)
			switch table {
			case "order_ids", "locks", "order_id", versionsTable, "goose_db_version", "sqlite_sequence", "sqlite_stat1", "sqlite_stat4":
				return err // each has a table of its own
			}
			tables[table] = true
			columns[table+"."+column] = append(columns[table+"."+column], db.name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range ownTables {
			if !tables[name] {
				t.Errorf("%s has no table %s", db.name, name)
			}
			delete(tables, name)
		}
		for name := range tables {
			t.Errorf("%s has a table %s: name it in ownTables", db.name, name)
		}
	}
	for column, where := range columns {
		if len(where) != len(everywhere()) {
			t.Errorf("%s is on %v only", column, where)
		}
	}
}

// TestAwkwardTexts: keys compare byte by byte, searches ignore case, and texts
// that can't be stored are refused, the same on every database.
func TestAwkwardTexts(t *testing.T) { onAll(t, testAwkwardTexts) }

func testAwkwardTexts(t *testing.T, db database) {
	s := db.open(t, nil)
	for _, number := range []string{"a1", "A1", "Á1", "a1 ", "ａ1"} {
		if _, err := newOrder(t, s, 0, number); err != nil {
			t.Errorf("%q: %v", number, err)
		}
	}
	err := s.Write(t.Context(), func(tx doorbell.Tx) error {
		for i, subject := range []string{"till", "Till", "till "} {
			k := doorbell.Key{Subject: subject, Shop: 1, Value: "k"}
			if _, _, found, err := tx.Key(k); err != nil || found {
				t.Errorf("the key of %q is known: %v, %v", subject, found, err)
			}
			if err := tx.SaveKey(k, "h", doorbell.Seq(i+1), now()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, content := range []string{"Kung Pao 100% 🍜", "kung_pao", "KUNGXPAO", `back\slash !`} {
		a := alertOf(1, 1, doorbell.NewOrder)
		a.Content, a.Number = content, "N"
		appendOne(t, s, a)
	}
	for search, want := range map[string]int{"kung": 3, "g_p": 1, "%": 1, `\`: 1, "!": 1, "🍜": 1, "none": 0} {
		page, err := s.Alerts(t.Context(), doorbell.AlertQuery{Shop: 1, Search: search, Limit: 10})
		if err != nil || len(page.Alerts) != want {
			t.Errorf("searching %q finds %d, %v; want %d", search, len(page.Alerts), err, want)
		}
	}
	if db.name == "sqlite" {
		return // SQLite stores any bytes
	}
	a := alertOf(1, 9, doorbell.NewOrder)
	for _, text := range []string{"a\x00b", "a\xffb"} {
		a.Actor = text
		err := s.Write(t.Context(), func(tx doorbell.Tx) error {
			_, err := tx.Append(a)
			return err
		})
		if doorbell.CodeOf(err) != doorbell.Invalid {
			t.Errorf("%q: %v, want invalid", text, err)
		}
		if _, err := s.Alerts(t.Context(), doorbell.AlertQuery{Shop: 1, Search: text, Limit: 10}); doorbell.CodeOf(err) != doorbell.Invalid {
			t.Errorf("searching %q: %v, want invalid", text, err)
		}
	}
}

// TestSameNoticeAtOnce: several nodes receive the same payment many times at once
// while its order is created: one order, one alert, and one row of the inbox that
// counts all calls.
func TestSameNoticeAtOnce(t *testing.T) { onAll(t, testSameNoticeAtOnce) }

func testSameNoticeAtOnce(t *testing.T, db database) {
	at := db.url(t)
	nodes := []*doorbell.Service{service(t, at)}
	if db.name != "sqlite" {
		nodes = append(nodes, service(t, at))
	}
	money := doorbell.Money{Minor: 100, Currency: "CNY"}
	const rounds, calls = 5, 8
	for round := range rounds {
		number := fmt.Sprint("N-", round)
		var calling sync.WaitGroup
		var settled atomic.Int64
		for i := range calls {
			node := nodes[i%len(nodes)]
			calling.Go(func() {
				n := doorbell.Notice{Provider: "wechat", Kind: doorbell.PaymentNotice, Transaction: "T" + number, Number: number, Money: money, CheckAmount: true}
				if verdict, err := node.TakeNotice(context.WithoutCancel(t.Context()), n); err != nil {
					t.Error(err)
				} else if verdict == doorbell.Settled {
					settled.Add(1)
				}
			})
			calling.Go(func() {
				if i > 2 {
					return
				}
				o := doorbell.Order{Number: number, Shop: 1, User: 1, Money: money}
				if _, _, err := node.CreateOrder(context.WithoutCancel(t.Context()), o); err != nil {
					t.Error(err)
				}
			})
		}
		calling.Wait()
		if settled.Load() > 1 {
			t.Errorf("%s was settled %d times", number, settled.Load())
		}
	}
	if findings, err := Verify(t.Context(), at); err != nil || len(findings) > 0 {
		t.Errorf("findings %q, %v", findings, err)
	}
	s := openURL(t, at, nil)
	alerts, err := s.AlertsAfter(t.Context(), 1, 0, 100)
	if err != nil || len(alerts) != rounds {
		t.Errorf("%d alerts, %v; want one for each order", len(alerts), err)
	}
	lines, err := s.Inbox(t.Context(), InboxQuery{Limit: 100})
	if err != nil || len(lines) != rounds {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	for _, l := range lines {
		if l.Times != calls || l.Verdict != doorbell.Settled {
			t.Errorf("%s was counted %d times as %s, want %d as settled", l.Number, l.Times, l.Verdict, calls)
		}
	}
}

// service returns a node that uses the database.
func service(t *testing.T, at string) *doorbell.Service {
	t.Helper()
	texts, err := doorbell.ParseTexts(map[doorbell.Type]string{1: "{{.Number}}", 2: "{{.Number}}", 3: "{{.Number}}", 4: "{{.Number}}"})
	if err != nil {
		t.Fatal(err)
	}
	return doorbell.NewService(openURL(t, at, nil), doorbell.Rules{Texts: texts}, slog.New(slog.DiscardHandler))
}

// TestNodesAtOnce: two nodes write to the same shops; the log has no gap, and the
// server reports no deadlock.
func TestNodesAtOnce(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		var mu sync.Mutex
		published := map[string]int{}
		publish := func(alerts []doorbell.Alert) {
			mu.Lock()
			defer mu.Unlock()
			for _, a := range alerts {
				published[fmt.Sprint(a.Shop, "/", a.Seq)]++
			}
		}
		nodes := []*Store{openURL(t, at, publish), openURL(t, at, publish)}
		var writing sync.WaitGroup
		for i := range 64 { // the first alerts of new shops, concurrently
			writing.Go(func() {
				for k := range 4 {
					appendOne(t, nodes[i%2], alertOf(doorbell.ShopID(k%2+1), doorbell.OrderID(i), doorbell.NewOrder))
				}
			})
		}
		writing.Wait()
		for shop := doorbell.ShopID(1); shop <= 2; shop++ {
			alerts, err := nodes[0].AlertsAfter(t.Context(), shop, 0, 200)
			if err != nil || len(alerts) != 128 || alerts[127].Seq != 128 {
				t.Errorf("shop %d has %d alerts, %v; want 128 without a gap", shop, len(alerts), err)
			}
		}
		if len(published) != 256 {
			t.Errorf("%d alerts were published, want 256", len(published))
		}
		for _, n := range nodes {
			w := n.writer.(*poolWriter)
			if d := w.deadlocks.Load(); d != 0 {
				t.Errorf("%d deadlocks", d)
			}
			t.Logf("%d repeated runs", w.again.Load())
		}
	})
}

// TestMoneyOnABusyServer: payments, presses and calls are written while every
// other lane is full of changes that wait for a lock, and so are receipts.
func TestMoneyOnABusyServer(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		s := db.open(t, nil)
		hold, held := make(chan struct{}), make(chan struct{}, 1000)
		var busy sync.WaitGroup
		blocked := func(how func(context.Context, func(doorbell.Tx) error) error) {
			busy.Go(func() {
				_ = how(context.Background(), func(doorbell.Tx) error {
					held <- struct{}{}
					<-hold
					return nil
				})
			})
		}
		for range 40 {
			blocked(s.Write)
			blocked(s.WritePress)
		}
		for range 10 { // the ten connections that serve calls and presses
			<-held
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		err := s.WriteUrgent(ctx, func(tx doorbell.Tx) error {
			_, err := tx.Append(alertOf(1, 1, doorbell.NewOrder))
			return err
		})
		if err != nil {
			t.Errorf("a payment while calls and presses use all their connections: %v", err)
		}
		if err := s.SaveReceipt(ctx, doorbell.Receipt{Shop: 1, Seq: 1, Console: "c", Stage: doorbell.Shown}); err != nil {
			t.Errorf("a receipt meanwhile: %v", err)
		}
		close(hold)
		busy.Wait()
	})
}

// TestCommitWithoutAnAnswer: the connection is cut during a commit. The caller is
// told that the outcome is unknown, and nothing is published that the log may not
// contain.
func TestCommitWithoutAnAnswer(t *testing.T) {
	onServers(t, func(t *testing.T, db database) {
		at := db.url(t)
		u, _ := url.Parse(at)
		wire := wireTo(t, u.Host)
		published := atomic.Int64{}
		s := openURL(t, changed(t, at, func(u *url.URL) { u.Host = wire.addr }), func(a []doorbell.Alert) { published.Add(int64(len(a))) })
		appendOne(t, s, alertOf(1, 1, doorbell.NewOrder))
		err := s.Write(t.Context(), func(tx doorbell.Tx) error {
			_, err := tx.Append(alertOf(1, 2, doorbell.NewOrder))
			wire.cut.Store(true) // the next packet is the commit
			return err
		})
		if doorbell.CodeOf(err) != doorbell.Unavailable || !errors.Is(err, errOutcome) {
			t.Errorf("got %v, want that the outcome is unknown", err)
		}
		if published.Load() != 1 {
			t.Errorf("%d published, want 1", published.Load())
		}
		if a := appendOne(t, s, alertOf(1, 3, doorbell.NewOrder)); a.Seq != 3 { // it had been written after all
			t.Errorf("seq %d, want 3", a.Seq)
		}
	})
}

// wire forwards between a client and a server.
type wire struct {
	addr string
	cut  atomic.Bool // the next packet is forwarded, and its answer is dropped
}

func wireTo(t *testing.T, server string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String()}
	var running sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			var mute atomic.Bool
			running.Go(func() {
				buf := make([]byte, 64<<10)
				for {
					n, err := in.Read(buf)
					if err != nil {
						_ = out.Close()
						return
					}
					if w.cut.CompareAndSwap(true, false) {
						mute.Store(true)
					}
					if _, err := out.Write(buf[:n]); err != nil {
						return
					}
				}
			})
			running.Go(func() {
				defer in.Close() //nolint:errcheck // a test's
				buf := make([]byte, 64<<10)
				for {
					n, err := out.Read(buf)
					if err != nil || mute.Load() {
						return
					}
					if _, err := in.Write(buf[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return w
}
