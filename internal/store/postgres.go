package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"doorbell/internal/doorbell"
)

// oldestPostgres is the first supported release, in the server's own numbering.
const oldestPostgres = 13_00_00

var postgresDialect = &dialect{
	name:     "postgres",
	goose:    goose.DialectPostgres,
	versions: versionsTable,
	numbered: true,
	bind: func(args []any) error {
		for i, a := range args {
			if truth, ok := a.(bool); ok {
				args[i] = 0
				if truth {
					args[i] = 1
				}
			}
		}
		return fits(args)
	},
	begin:      `begin isolation level read committed read write`,
	forUpdate:  ` for update`,
	snapshot:   &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
	instead:    onConflict,
	deleteSome: deleteByKey,
	contains:   func(column string) string { return column + ` ilike ? escape '!'` },
	clock:      `cast(floor(extract(epoch from clock_timestamp()) * 1000) as bigint)`,
	tables:     `select table_name from information_schema.tables where table_schema = current_schema()`,
	validJSON:  func(column string) string { return `doorbell_is_json(` + column + `)` },
	bumpSeq: func(t *txn, shop doorbell.ShopID) (seq doorbell.Seq, epoch string, prev doorbell.Nonce, err error) {
		err = t.row(`insert into shop_heads (shop_id, last_seq) values (?, 1)
			on conflict (shop_id) do update set last_seq = shop_heads.last_seq + 1 returning last_seq`, shop).Scan(&seq)
		if err == nil {
			epoch, prev, err = link(t, shop, seq)
		}
		return seq, epoch, prev, err
	},
	lockHead: lockServerHead,
	lockName: func(t *txn, class lockClass, name string) error {
		return t.exec(`select pg_advisory_xact_lock(?)`, int64(hashed(class, name)))
	},
	drawOrderID: func(t *txn) (id doorbell.OrderID, err error) {
		err = t.row(`select nextval('order_id')`).Scan(&id)
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "2200H" { // the sequence has reached its end
			err = noOrderID()
		}
		return id, err
	},
	moveOrderIDs: func(t *txn, id doorbell.OrderID) error { return t.exec(`select setval('order_id', ?)`, id) },
	moveOutboxIDs: func(t *txn) error {
		return t.exec(`select setval(pg_get_serial_sequence('outbox', 'id'), (select max(id) from outbox)) from outbox limit 1`)
	},
	lease: leaseByClock,
	judge: judgePostgres,
}

// judgePostgres classifies the codes of PostgreSQL's appendix A.
func judgePostgres(err error) fault {
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return readOnly
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return judgeOther(err)
	}
	switch e.Code {
	case "40P01":
		return deadlocked
	case "40001", "55P03":
		return collision
	case "57P01", "57P02", "57P03", "57P05", "53300", "25P03":
		return disconnected
	case "25006":
		return readOnly
	case "22021", "22P05", "22001", "22003":
		return unfit
	}
	switch e.Code[:2] {
	case "08":
		return disconnected
	case "23":
		return constraint
	default:
		return broken
	}
}

func explainPostgres(err error) string {
	if errors.Is(err, pgconn.ErrReadOnlyConnection) {
		return "this server takes no writes: it is a replica, or set to read only; name the primary"
	}
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return ""
	}
	switch e.Code {
	case "28P01":
		return "wrong password, or no such user"
	case "28000":
		return "pg_hba.conf lets this user not in from here"
	case "3D000":
		return "there is no such database: create it first"
	case "3F000":
		return "there is no schema to put the tables in: see search_path"
	case "42501":
		return "the user may not make tables here: grant create on the schema, or make the user the database's owner"
	case "57P03":
		return "the server is starting or stopping"
	case "53300":
		return "the server has no connection left"
	default:
		return ""
	}
}

func postgresServer(databaseURL string) (*server, error) {
	cfg, err := pgx.ParseConfig(databaseURL) // its error hides the password
	if err != nil {
		return nil, err
	}
	if u, err := url.Parse(databaseURL); err == nil && u.Query().Get("target_session_attrs") == "" {
		cfg.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = dialTime
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "doorbell"
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockedSchema), lock.WithLockTimeout(1, 300), lock.WithUnlockTimeout(1, 30))
	if err != nil {
		return nil, err
	}
	seen := &timelines{}
	return &server{
		dialect: postgresDialect, locker: locker, inspect: inspectPostgres, explain: explainPostgres,
		connector: func(bounded bool) driver.Connector {
			return stdlib.GetConnector(*cfg, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
				if _, err := c.Exec(ctx, settingsPostgres(bounded)); err != nil || !bounded {
					return err
				}
				return seen.check(ctx, c) // the tables are there by now
			}))
		},
	}, nil
}

// lockedSchema is the advisory lock of the process that migrates.
const lockedSchema = 0x646f6f7262656c6c

// settingsPostgres returns the settings of each connection, whatever the server's
// defaults are.
func settingsPostgres(bounded bool) string {
	set := func(name string, ms int64) string { return "set " + name + " = " + strconv.FormatInt(ms, 10) + "; " }
	if !bounded {
		return set("statement_timeout", 0) + set("lock_timeout", 0) + set("idle_in_transaction_session_timeout", 0)
	}
	return set("statement_timeout", changeTime.Milliseconds()) + set("lock_timeout", lockTime.Milliseconds()) +
		set("idle_in_transaction_session_timeout", idleTime.Milliseconds())
}

func inspectPostgres(ctx context.Context, db *sql.DB) error {
	var number, name, encoding string
	err := db.QueryRowContext(ctx, `select current_setting('server_version_num'), current_setting('server_version'), current_setting('server_encoding')`).
		Scan(&number, &name, &encoding)
	if err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	return checkPostgres(number, name, encoding)
}

// checkPostgres returns an error for a release that is too old, and for an
// encoding other than UTF-8.
func checkPostgres(number, name, encoding string) error {
	if n, err := strconv.Atoi(number); err != nil || n < oldestPostgres {
		return fmt.Errorf("this is PostgreSQL %s; doorbell needs %d or later", name, oldestPostgres/10000)
	}
	if !strings.EqualFold(encoding, "UTF8") {
		return fmt.Errorf("the database's encoding is %s; doorbell needs UTF8 (create database … encoding 'UTF8' template template0)", encoding)
	}
	return nil
}
