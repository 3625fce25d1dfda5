package store

import (
	"database/sql"
	"embed"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"doorbell/internal/doorbell"
)

//go:embed migrations
var migrations embed.FS

// dialect holds every difference between the databases. Statements are written
// with ? as placeholder; where the databases need different SQL, dialect has a
// function. A bool is stored as 1 or 0, a time as milliseconds since 1970 in UTC.
type dialect struct {
	name  string // the folder of its migrations
	goose goose.Dialect
	// versions is the table in which goose keeps the schema's version.
	versions string
	// rewrite changes the SQL of a migration before it runs; nil for no change.
	rewrite func(sql string) string
	// beside says that our tables' names begin with doorbell_: another program's
	// tables are in the same database.
	beside bool
	// numbered says that placeholders are $1, $2 …
	numbered bool
	// bind checks a statement's arguments and converts those that the driver expects
	// in another form; nil for no change.
	bind func(args []any) error
	// begin starts a transaction for a change, in which each statement sees what was
	// committed before that statement.
	begin string
	// forUpdate ends a select that locks its rows until the transaction ends.
	forUpdate string
	// snapshot are the options of a transaction whose reads all see the same moment.
	snapshot *sql.TxOptions
	// instead returns the end of an insert whose key may exist: it sets the columns
	// to the new values, or leaves the row unchanged if no columns are named.
	instead func(key string, columns []string) string
	// deleteSome returns a statement that deletes at most ? (the last argument) of
	// the matching rows.
	deleteSome func(table, key, where string) string
	// contains returns a condition that finds ? in a column: % and _ match any text,
	// ! escapes them, and the case of A to Z is ignored.
	contains func(column string) string
	// clock is an expression for the database's time in milliseconds.
	clock string
	// tables is a query for the names of the existing tables.
	tables string
	// validJSON returns an expression that tells whether a text is JSON.
	validJSON func(column string) string

	// bumpSeq adds one to the shop's head, or creates the head. It returns the new
	// seq, the log's epoch as the transaction sees it, and the nonce of the alert
	// before (0 for none). It locks the head until the transaction ends.
	bumpSeq func(t *txn, shop doorbell.ShopID) (seq doorbell.Seq, epoch string, prev doorbell.Nonce, err error)
	// lockHead locks the shop's head until the transaction ends.
	lockHead func(t *txn, shop doorbell.ShopID) error
	// lockName locks a name until the transaction ends, whether rows with it exist
	// or not.
	lockName func(t *txn, class lockClass, name string) error
	// drawOrderID returns the next order id; moveOrderIDs continues the ids after a
	// given one.
	drawOrderID  func(t *txn) (doorbell.OrderID, error)
	moveOrderIDs func(t *txn, id doorbell.OrderID) error
	// moveOutboxIDs continues the outbox's ids after the highest row that a copy
	// inserted with its id; nil where the database does so itself.
	moveOutboxIDs func(t *txn) error
	// lease runs Store.Lease in a transaction; left names a holder that is known to
	// have ended.
	lease func(t *txn, name, holder string, lasts time.Duration, left string) (held bool, err error)
	// judge returns what a failed statement means.
	judge func(error) fault
	// goesOn says that a violated constraint undoes only its own statement, and the
	// transaction can go on.
	goesOn bool

	texts sync.Map // statements built at run time, by name
}

// lockClass is the kind of a named lock. Lower classes are locked first, and named
// locks before the order's row and the shop's head, so that transactions can't
// deadlock.
type lockClass int

const (
	// numberLock locks an order number in all scopes: its order and its payments may
	// not exist yet.
	numberLock lockClass = iota
	// noticeLock locks one row of the inbox.
	noticeLock
)

// fault is what a failed statement means for its change.
type fault int

const (
	// broken: the state of the transaction is unknown, and it can't go on.
	broken fault = iota
	// constraint: the row contradicts existing rows.
	constraint
	// collision: another transaction came first; run this one again.
	collision
	// deadlocked: two transactions waited for each other.
	deadlocked
	// disconnected: the server is not there, or ends connections.
	disconnected
	// readOnly: the server refuses writes, as a replica does.
	readOnly
	// unfit: the database can't store the value.
	unfit
)

// passes reports whether a change may be run again.
func (f fault) passes() bool {
	return f == constraint || f == collision || f == deadlocked || f == disconnected
}

// migrationFiles returns the dialect's migrations in the form in which they run.
func (d *dialect) migrationFiles() (fs.FS, error) {
	files, err := fs.Sub(migrations, "migrations/"+d.name)
	if err != nil || d.rewrite == nil {
		return files, err
	}
	return rewriting{files, d.rewrite}, nil
}

// rebind replaces ? by the dialect's placeholders, and the names of our tables if
// they differ.
func (d *dialect) rebind(query string) string {
	if d.beside {
		return besides(query)
	}
	if !d.numbered || strings.IndexByte(query, '?') < 0 {
		return query
	}
	b := make([]byte, 0, len(query)+16)
	n := 0
	for i := range len(query) {
		if query[i] != '?' {
			b = append(b, query[i])
			continue
		}
		n++
		b = strconv.AppendInt(append(b, '$'), int64(n), 10)
	}
	return string(b)
}

// bound returns the arguments in the form that the driver expects.
func (d *dialect) bound(args []any) ([]any, error) {
	if d.bind == nil {
		return args, nil
	}
	return args, d.bind(args)
}

// text returns the statement with this name and builds it at the first call.
func (d *dialect) text(name string, build func() string) string {
	if known, ok := d.texts.Load(name); ok {
		return known.(string) //nolint:forcetypeassert // only strings are stored
	}
	made, _ := d.texts.LoadOrStore(name, build())
	return made.(string) //nolint:forcetypeassert // only strings are stored
}

// insertOr returns an insert of all columns. If a row with this key exists, the
// statement sets the replaced columns to the new values, or does nothing where
// none are named.
func (d *dialect) insertOr(table, key, columns string, replaced ...string) string {
	return d.text("insert "+table, func() string {
		places := strings.Repeat(", ?", strings.Count(columns, ",")+1)[2:]
		return `insert into ` + table + ` (` + columns + `) values (` + places + `)` + d.instead(key, replaced)
	})
}

// replacing returns an insertOr that replaces all columns but the key's.
func (d *dialect) replacing(table, key, columns string) string {
	var replaced []string
	keys := ", " + key + ", "
	for column := range strings.SplitSeq(columns, ", ") {
		if !strings.Contains(keys, ", "+column+", ") {
			replaced = append(replaced, column)
		}
	}
	return d.insertOr(table, key, columns, replaced...)
}

// onConflict implements dialect.instead for SQLite and PostgreSQL.
func onConflict(key string, columns []string) string {
	if len(columns) == 0 {
		return ` on conflict (` + key + `) do nothing`
	}
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = c + ` = excluded.` + c
	}
	return ` on conflict (` + key + `) do update set ` + strings.Join(sets, ", ")
}

// deleteByKey implements dialect.deleteSome for databases whose delete has no
// limit.
func deleteByKey(table, key, where string) string {
	return `delete from ` + table + ` where (` + key + `) in (select ` + key + ` from ` + table + ` where ` + where + ` limit ?)`
}
