package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pressly/goose/v3"
	goosedb "github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"doorbell/internal/doorbell"
)

const (
	// dialTime bounds the time to connect.
	dialTime = 5 * time.Second
	// serverReaders is the number of reading connections.
	serverReaders = 8
	// readerAge is how long a reading connection is used: after that long it leaves
	// a primary that has become a replica.
	readerAge = time.Minute
	// lockTime bounds the wait for a row that another transaction has locked;
	// idleTime bounds how long the transaction of a node that hangs keeps its locks.
	lockTime = 2 * time.Second
	idleTime = 10 * time.Second
	// versionsTable differs from goose's default, which another program's table may
	// have.
	versionsTable = "doorbell_schema"
)

// oldestProgram names the row of meta with the lowest schema version that a
// program must know to use this database.
const oldestProgram = "oldest_program"

// ownTables lists the tables in a server's database, without versionsTable.
var ownTables = []string{
	"alert_details", "alerts", "attendance", "attention", "deliveries", "escalations", "idempotency_keys", "inbox", "leases", "ledger_days", "ledger_entries", "ledger_heads", "logins", "meta", "orders", "outbox", "probes", "pushes",
	"receipts", "shop_heads", "sky_orders", "tickets", "tokens",
}

// server is a database that is reached over the network or a socket.
type server struct {
	dialect *dialect
	// connector returns a connector; bounded limits the time of each statement.
	connector func(bounded bool) driver.Connector
	// inspect returns an error if doorbell can't run on this server.
	inspect func(ctx context.Context, db *sql.DB) error
	// locker keeps two programs from migrating at the same time.
	locker lock.SessionLocker
	// explain returns advice for a failed first connection; empty if the cause is
	// unknown.
	explain func(error) string
}

func (v *server) pool(bounded bool, conns int) *sql.DB {
	db := sql.OpenDB(v.connector(bounded))
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db
}

// onServer reports whether a URL names a server.
func onServer(databaseURL string) bool {
	scheme, _, _ := strings.Cut(databaseURL, "://")
	return scheme == "postgres" || scheme == "postgresql" || scheme == "mysql"
}

// serverOf returns the server that a URL names.
func serverOf(ctx context.Context, databaseURL string) (*server, error) {
	switch scheme, _, _ := strings.Cut(databaseURL, "://"); scheme {
	case "postgres", "postgresql":
		return postgresServer(databaseURL)
	case "mysql":
		return mysqlServer(ctx, databaseURL)
	default:
		return nil, fmt.Errorf("%q names no server: want postgres://… or mysql://…", scheme)
	}
}

// serverBeside is serverOf for tables that stand in another program's database.
func serverBeside(ctx context.Context, databaseURL string) (*server, error) {
	v, err := serverOf(ctx, databaseURL)
	if err != nil {
		return nil, err
	}
	return v, v.beside()
}

// openServer checks the server, upgrades the schema and opens the store.
func openServer(ctx context.Context, o Options) (*Store, error) {
	of := serverOf
	if o.Beside {
		of = serverBeside
	}
	v, err := of(ctx, o.URL)
	if err != nil {
		return nil, err
	}
	if err := v.prepare(ctx, o); err != nil {
		return nil, err
	}
	writes, reads := v.pool(true, len(crew)+2), v.pool(true, serverReaders)
	reads.SetConnMaxLifetime(readerAge)
	c := &clock{machine: now}
	if o.clock != nil {
		c.machine = o.clock
	}
	w := newPoolWriter(writes, v.dialect, c, o.Publish, o.Log)
	s := &Store{
		dialect: v.dialect, writes: writes, reads: newReader(reads, v.dialect), searches: newSearches(), log: o.Log,
		writer: w, queue: w.queue, holder: newHolder(), clock: c, serverClock: true,
	}
	if err := s.readClock(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("read the server's clock: %w", err), s.Close())
	}
	return s, nil
}

func (v *server) prepare(ctx context.Context, o Options) (err error) {
	db := v.pool(false, 2)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := v.greet(ctx, db); err != nil {
		return err
	}
	files := o.migrations
	if files == nil {
		if files, err = v.dialect.migrationFiles(); err != nil {
			return err
		}
	}
	options := []goose.ProviderOption{goose.WithTableName(v.dialect.versions), goose.WithSessionLocker(v.locker)}
	p, err := goose.NewProvider(v.dialect.goose, db, files, options...)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	sources := p.ListSources()
	want := sources[len(sources)-1].Version
	have, err := v.version(ctx, db)
	switch {
	case err != nil:
		return err
	case have > want:
		return v.runsOnNewer(ctx, db, have, want, o)
	case have == want:
		return nil
	}
	if err = v.startVersions(ctx, db); err == nil {
		_, err = p.Up(ctx)
	}
	if err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w%s", have, want, err, v.hint(err))
	}
	o.Log.InfoContext(ctx, "database migrated", "from", have, "to", want)
	return nil
}

// startVersions creates the table of schema versions with its first row. goose
// does that too, but outside the lock, and MySQL commits the table before the row:
// a start between the two, or after one that died there, failed.
func (v *server) startVersions(ctx context.Context, db *sql.DB) (err error) {
	versions, err := goosedb.NewStore(v.dialect.goose, v.dialect.versions)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := v.locker.SessionLock(ctx, conn); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.locker.SessionUnlock(context.WithoutCancel(ctx), conn)) }()
	var rows int
	if err := conn.QueryRowContext(ctx, `select count(*) from `+v.dialect.versions).Scan(&rows); err != nil {
		if failed := versions.CreateVersionTable(ctx, conn); failed != nil {
			return errors.Join(err, failed)
		}
	}
	if rows > 0 {
		return nil
	}
	return versions.Insert(ctx, conn, goosedb.InsertRequest{Version: 0})
}

// greet opens the first connection.
func (v *server) greet(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTime)
	defer cancel()
	err := db.PingContext(ctx)
	if err == nil {
		err = v.inspect(ctx, db)
	}
	if err != nil {
		return fmt.Errorf("%w%s", err, v.hint(err))
	}
	return nil
}

// hint returns advice for an error, in brackets.
func (v *server) hint(err error) string {
	text := v.explain(err)
	if _, ok := errors.AsType[net.Error](err); ok && text == "" {
		text = "no server answers there: is it running, and is its address right?"
	}
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// version returns the schema's version, 0 for a database without doorbell's
// tables.
func (v *server) version(ctx context.Context, db *sql.DB) (version int64, err error) {
	found, err := db.QueryContext(ctx, v.dialect.tables)
	if err != nil {
		return 0, fmt.Errorf("list the tables: %w", err)
	}
	ours, taken := false, []string(nil)
	err = scanRows(found, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		ours = ours || name == v.dialect.versions
		if v.dialect.takes(name) {
			taken = append(taken, name)
		}
		return err
	})
	switch {
	case err != nil:
		return 0, fmt.Errorf("list the tables: %w", err)
	case !ours && len(taken) > 0:
		slices.Sort(taken)
		return 0, fmt.Errorf("another program's tables have names that doorbell needs: %s; give doorbell a database of its own, or, for sky-take-out's, set sky.adopt: true", strings.Join(taken, ", "))
	case !ours:
		return 0, nil
	}
	if err := db.QueryRowContext(ctx, `select coalesce(max(version_id), 0) from `+v.dialect.versions+` where is_applied`).Scan(&version); err != nil {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	return version, nil
}

// runsOnNewer allows a program to use a database that a newer one has migrated, as
// long as the newer schema still has everything that this program reads and
// writes: nodes are replaced one by one.
func (v *server) runsOnNewer(ctx context.Context, db *sql.DB, have, want int64, o Options) error {
	var oldest int64
	err := db.QueryRowContext(ctx, v.dialect.rebind(`select value from meta where name = '`+oldestProgram+`'`)).Scan(&oldest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read the oldest program that the schema supports: %w", err)
	}
	if want < oldest {
		return fmt.Errorf("the database has schema version %d, for programs that know %d or later; this doorbell knows %d: start the newer doorbell", have, oldest, want)
	}
	o.Log.WarnContext(ctx, "the database has a newer schema that this doorbell can still use; update it soon", "schema", have, "known", want)
	return nil
}

// SafeURL returns a database's URL without user, password and options, for logs
// and errors.
func SafeURL(databaseURL string) string {
	scheme, rest, _ := strings.Cut(databaseURL, "://")
	if scheme == "sqlite" {
		return databaseURL
	}
	u, err := url.Parse(databaseURL)
	if err != nil || rest == "" {
		return scheme + "://…"
	}
	return scheme + "://" + u.Host + u.Path
}

// fits refuses texts that one of the servers can't store before the statement
// runs: its failure would lose the transaction.
func fits(args []any) error {
	for _, a := range args {
		if s, ok := a.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			return doorbell.Refuse(doorbell.Invalid, "A text has characters that can't be kept.", "文本包含无法保存的字符。")
		}
	}
	return nil
}

// judgeOther classifies errors that did not come from the server.
func judgeOther(err error) fault {
	if _, ok := errors.AsType[*doorbell.Error](err); ok {
		return unfit
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return broken
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return disconnected
	}
	for _, lost := range []error{driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, lost) {
			return disconnected
		}
	}
	return broken
}

// hashed returns a number for a name.
func hashed(class lockClass, name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(append([]byte{byte(class)}, name...))
	return h.Sum64()
}

// link returns the epoch and the nonce of the alert before. It reads them after
// the head was locked: the locking statement itself may have seen older values.
func link(t *txn, shop doorbell.ShopID, seq doorbell.Seq) (epoch string, prev doorbell.Nonce, err error) {
	err = t.row(`select m.value, coalesce((select a.nonce from alerts a where a.shop_id = ? and a.seq = ?), 0) from meta m where m.name = 'epoch'`,
		shop, seq-1).Scan(&epoch, &prev)
	return epoch, prev, err
}

// lockServerHead implements dialect.lockHead for servers. A shop without a head
// has no alerts.
func lockServerHead(t *txn, shop doorbell.ShopID) error {
	var seq doorbell.Seq
	err := t.row(`select last_seq from shop_heads where shop_id = ?`+t.dialect.forUpdate, shop).Scan(&seq)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// leaseByClock implements dialect.lease with the database's clock, because the
// clocks of the nodes may differ.
func leaseByClock(t *txn, name, holder string, lasts time.Duration, _ string) (bool, error) {
	var has string
	var until, at int64
	err := t.row(`select holder, until_at from leases where name = ?`+t.dialect.forUpdate, name).Scan(&has, &until)
	known := !errors.Is(err, sql.ErrNoRows)
	if err != nil && known {
		return false, err
	}
	if err := t.row(`select ` + t.dialect.clock).Scan(&at); err != nil {
		return false, err
	}
	mine := at + lasts.Milliseconds()
	switch {
	case !known:
		return true, t.exec(`insert into leases (name, holder, until_at) values (?, ?, ?)`, name, holder, mine)
	case has != holder && until >= at && until <= at+maxLease.Milliseconds():
		return false, nil
	default: // the caller's own lease, an ended one, or one from before the clock was set back
		return true, t.exec(`update leases set holder = ?, until_at = ? where name = ?`, holder, mine, name)
	}
}
