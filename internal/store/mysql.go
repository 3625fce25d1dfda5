package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"

	"doorbell/internal/doorbell"
)

// lockSlots is the number of rows that stand for the names of one lockClass.
const lockSlots = 4096

// flavour holds the differences between MySQL and MariaDB.
type flavour struct {
	name      string
	oldest    [3]int // the first release that is supported
	exact     string // the collation that compares bytes, including trailing spaces
	isolation string // the variable of the isolation level
	// bounds are the variables that limit the time of a statement and of an idle
	// transaction.
	bounds map[string]string
}

var mySQL8 = flavour{
	name: "MySQL", oldest: [3]int{8, 0, 17}, exact: "utf8mb4_0900_bin", isolation: "transaction_isolation",
	bounds: map[string]string{"max_execution_time": strconv.FormatInt(changeTime.Milliseconds(), 10)},
}

var mariaDB = flavour{
	name: "MariaDB", oldest: [3]int{10, 6, 0}, exact: "utf8mb4_nopad_bin", isolation: "tx_isolation",
	bounds: map[string]string{
		"max_statement_time":       strconv.Itoa(int(changeTime / time.Second)),
		"idle_transaction_timeout": strconv.Itoa(int(idleTime / time.Second)),
	},
}

// dialect returns the dialect of this flavour.
func (f flavour) dialect() *dialect {
	return &dialect{
		name:      "mysql",
		goose:     goose.DialectMySQL,
		versions:  versionsTable,
		rewrite:   func(sql string) string { return strings.ReplaceAll(sql, "collate EXACT", "collate "+f.exact) },
		bind:      fits,
		begin:     `start transaction read write`,
		forUpdate: ` for update`,
		snapshot:  &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		instead: func(key string, columns []string) string {
			if len(columns) == 0 { // `insert ignore` would also ignore every other fault
				first, _, _ := strings.Cut(key, ",")
				return ` on duplicate key update ` + first + ` = ` + first
			}
			sets := make([]string, len(columns))
			for i, c := range columns {
				sets[i] = c + ` = values(` + c + `)`
			}
			return ` on duplicate key update ` + strings.Join(sets, ", ")
		},
		deleteSome: func(table, _, where string) string { return `delete from ` + table + ` where ` + where + ` limit ?` },
		contains:   func(column string) string { return column + ` collate utf8mb4_unicode_ci like ? escape '!'` },
		clock:      `cast(unix_timestamp(now(3)) * 1000 as signed)`,
		tables:     `select table_name from information_schema.tables where table_schema = database()`,
		validJSON:  func(column string) string { return `json_valid(` + column + `)` },
		bumpSeq:    bumpMySQL,
		lockHead:   lockServerHead,
		lockName: func(t *txn, class lockClass, name string) error {
			var slot int
			return t.row(`select slot from locks where class = ? and slot = ? for update`, int(class), hashed(class, name)%lockSlots).Scan(&slot)
		},
		drawOrderID: drawMySQL,
		moveOrderIDs: func(t *txn, id doorbell.OrderID) error {
			return useUp(t, t.exec(`insert into order_ids (id) values (?)`, id), id)
		},
		lease: leaseByClock,
		judge: judgeMySQL,
	}
}

// bumpMySQL takes the next seq. The inserted or updated row locks the head; only
// an update sets the connection's last insert id.
func bumpMySQL(t *txn, shop doorbell.ShopID) (seq doorbell.Seq, epoch string, prev doorbell.Nonce, err error) {
	res, err := t.run(`insert into shop_heads (shop_id, last_seq) values (?, 1) on duplicate key update last_seq = last_insert_id(last_seq + 1)`, shop)
	if err != nil {
		return 0, "", 0, err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, "", 0, err
	}
	seq = 1
	if n != 1 { // 2 means that the row was updated
		id, err := res.LastInsertId()
		if err != nil {
			return 0, "", 0, err
		}
		seq = doorbell.Seq(id)
	}
	epoch, prev, err = link(t, shop, seq)
	return seq, epoch, prev, err
}

// drawMySQL takes an id from the counter of order_ids and leaves no row there.
func drawMySQL(t *txn) (doorbell.OrderID, error) {
	res, err := t.run(`insert into order_ids () values ()`)
	if err != nil {
		return 0, err
	}
	last, err := res.LastInsertId()
	if err != nil {
		return 0, err
	}
	id := doorbell.OrderID(last)
	if id > doorbell.MaxID {
		return 0, noOrderID()
	}
	return id, useUp(t, nil, id)
}

func useUp(t *txn, err error, id doorbell.OrderID) error {
	if err != nil {
		return err
	}
	return t.exec(`delete from order_ids where id = ?`, id)
}

// judgeMySQL classifies the error codes that MySQL and MariaDB share, and each
// one's own.
func judgeMySQL(err error) fault {
	if errors.Is(err, errReadOnly) {
		return readOnly
	}
	if errors.Is(err, mysql.ErrInvalidConn) {
		return disconnected
	}
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return judgeOther(err)
	}
	switch e.Number {
	case 1213:
		return deadlocked
	case 1205, 1020:
		return collision
	case 1062, 1048, 1451, 1452, 3819, 4025:
		return constraint
	case 1040, 1053, 1077, 1927, 1243:
		return disconnected
	case 1290, 1792, 1836:
		return readOnly
	case 1366, 1406, 1264, 1300, 3988:
		return unfit
	default:
		return broken
	}
}

// errReadOnly is returned by a server that refuses writes.
var errReadOnly = errors.New("read_only is set")

func explainMySQL(err error) string {
	if errors.Is(err, errReadOnly) {
		return "this server takes no writes: it is a replica, or set to read only; name the primary"
	}
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return ""
	}
	switch e.Number {
	case 1045, 1698:
		return "wrong password, or no such user"
	case 1044:
		return "the user may not use this database: grant all on it"
	case 1049:
		return "there is no such database: create it first"
	case 1130:
		return "the server lets this machine not in"
	case 1142, 1227:
		return "the user may not do that here: grant all on the database"
	case 1040:
		return "the server has no connection left"
	default:
		return ""
	}
}

// parseMySQL parses mysql://USER:PASSWORD@HOST:PORT/DATABASE. Its options are tls
// (true, skip-verify, preferred, false), ca (a PEM file) and socket (a path that
// replaces the host).
func parseMySQL(databaseURL string) (*mysql.Config, error) {
	u, err := url.Parse(databaseURL)
	if err != nil { // the error of url.Parse would show the password
		return nil, errors.New("not a URL; characters like @ : / in a user or password are written as %40 %3A %2F")
	}
	cfg := mysql.NewConfig()
	cfg.User = u.User.Username()
	cfg.Passwd, _ = u.User.Password()
	cfg.DBName = strings.TrimPrefix(u.Path, "/")
	cfg.Net, cfg.Addr = "tcp", u.Host
	if u.Port() == "" {
		cfg.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	if cfg.DBName == "" || strings.Contains(cfg.DBName, "/") {
		return nil, errors.New("the URL names no database; want mysql://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	ca := ""
	for name, values := range u.Query() {
		switch value := values[0]; name {
		case "tls":
			cfg.TLSConfig = value
		case "ca":
			ca = value
		case "socket":
			cfg.Net, cfg.Addr = "unix", value
		default:
			return nil, fmt.Errorf("the URL has an unknown option %q; known are tls, ca and socket", name)
		}
	}
	if ca != "" {
		if cfg.TLS, err = trusting(ca, u.Hostname()); err != nil {
			return nil, err
		}
	}
	// ClientFoundRows is off: rows that a statement found and left unchanged are not
	// counted.
	cfg.Timeout, cfg.ClientFoundRows, cfg.Logger = dialTime, false, &mysql.NopLogger{}
	cfg.ConnectionAttributes = "program_name:doorbell"
	return cfg, nil
}

func trusting(file, name string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate", file)
	}
	return &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}, nil
}

// mysqlServer finds out which flavour answers, because the connection's settings
// depend on it.
func mysqlServer(ctx context.Context, databaseURL string) (*server, error) {
	cfg, err := parseMySQL(databaseURL)
	if err != nil {
		return nil, err
	}
	v := &server{locker: getLock{}, explain: explainMySQL, inspect: func(context.Context, *sql.DB) error { return nil }}
	v.connector = func(bool) driver.Connector { return &mysqlConnector{cfg: cfg} }
	f, err := v.flavour(ctx)
	if err != nil {
		return nil, err
	}
	v.dialect = f.dialect()
	v.connector = func(bounded bool) driver.Connector { return &mysqlConnector{cfg: cfg, settings: f.settings(bounded)} }
	return v, nil
}

func (v *server) flavour(ctx context.Context) (f flavour, err error) {
	db := v.pool(false, 1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := v.greet(ctx, db); err != nil {
		return f, err
	}
	var version string
	if err := db.QueryRowContext(ctx, `select version()`).Scan(&version); err != nil {
		return f, fmt.Errorf("ask for the server's version: %w", err)
	}
	f = mySQL8
	if strings.Contains(version, "MariaDB") {
		f = mariaDB
	}
	return f, f.check(version)
}

// check returns an error for a release that is too old.
func (f flavour) check(version string) error {
	var have [3]int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &have[0], &have[1], &have[2]); err != nil {
		return fmt.Errorf("the server's version %q can't be parsed", version)
	}
	for i, n := range f.oldest {
		if have[i] != n {
			if have[i] > n {
				break
			}
			return fmt.Errorf("this is %s %s; doorbell needs %d.%d.%d or later", f.name, version, f.oldest[0], f.oldest[1], f.oldest[2])
		}
	}
	return nil
}

// settings returns the variables that each connection sets, whatever the server's
// defaults are.
func (f flavour) settings(bounded bool) map[string]string {
	set := map[string]string{
		f.isolation: "'READ-COMMITTED'",
		"time_zone": "'+00:00'",
		"sql_mode":  "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
	}
	if bounded {
		set["innodb_lock_wait_timeout"] = strconv.Itoa(int(lockTime / time.Second))
		for name, value := range f.bounds {
			set[name] = value
		}
	}
	return set
}

// mysqlConnector opens connections with doorbell's settings, to servers that
// accept writes.
type mysqlConnector struct {
	cfg      *mysql.Config
	settings map[string]string
}

// Driver implements driver.Connector.
func (c *mysqlConnector) Driver() driver.Driver { return mysql.MySQLDriver{} }

// Connect implements driver.Connector.
func (c *mysqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	cfg := c.cfg.Clone()
	cfg.Params = c.settings
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := mustWrite(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// mustWrite returns an error if the server refuses writes: a replica that lags
// looks like a log that went back.
func mustWrite(ctx context.Context, conn driver.Conn) error {
	rows, err := conn.(driver.QueryerContext).QueryContext(ctx, `select @@global.read_only`, nil) //nolint:forcetypeassert // this driver implements it
	if err != nil {
		return fmt.Errorf("ask whether the server takes writes: %w", err)
	}
	set := []driver.Value{nil}
	if err := errors.Join(rows.Next(set), rows.Close()); err != nil {
		return fmt.Errorf("ask whether the server takes writes: %w", err)
	}
	if on, ok := set[0].(int64); !ok || on != 0 {
		return errReadOnly
	}
	return nil
}

// getLock implements goose's locker on MySQL with get_lock, which ends with its
// connection; goose has none for MySQL.
type getLock struct{}

const schemaLock = `concat('doorbell ', md5(database()))`

// SessionLock implements lock.SessionLocker.
func (getLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		var got sql.NullInt64
		if err := conn.QueryRowContext(ctx, `select get_lock(`+schemaLock+`, 5)`).Scan(&got); err != nil {
			return fmt.Errorf("wait for another process that upgrades the database: %w", err)
		}
		if got.Int64 == 1 {
			return nil
		}
	}
}

// SessionUnlock implements lock.SessionLocker.
func (getLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `do release_lock(`+schemaLock+`)`)
	return err
}
