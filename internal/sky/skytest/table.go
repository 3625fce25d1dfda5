// Package skytest plays a sky-take-out installation for tests: its table of orders
// with what its code writes there, its backend's calls, its nginx and its page. It is
// made after a description of them; nothing of it is theirs.
package skytest

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	_ "github.com/go-sql-driver/mysql" // of Open
)

// table is their table of orders: no index but the primary key, times without a
// fraction, a number that may be null or there twice.
const table = `create table orders (
	id bigint not null auto_increment,
	number varchar(50) default null,
	status int not null default 1,
	user_id bigint not null,
	address_book_id bigint not null,
	order_time datetime not null,
	checkout_time datetime default null,
	pay_method int not null default 1,
	pay_status tinyint not null default 0,
	amount decimal(10,2) not null,
	remark varchar(100) default null,
	phone varchar(255) default null,
	address varchar(255) default null,
	user_name varchar(255) default null,
	consignee varchar(255) default null,
	cancel_reason varchar(255) default null,
	rejection_reason varchar(255) default null,
	cancel_time datetime default null,
	estimated_delivery_time datetime default null,
	delivery_status tinyint not null default 1,
	delivery_time datetime default null,
	pack_amount int default null,
	tableware_number int default null,
	tableware_status tinyint not null default 1,
	primary key (id)
) engine=InnoDB default charset=utf8mb3`

// Table writes to their table as their backend does.
type Table struct {
	DB   *sql.DB
	Zone *time.Location // the JVM's
}

// NewTable makes the table in an empty database.
func NewTable(ctx context.Context, db *sql.DB, zone *time.Location) (*Table, error) {
	_, err := db.ExecContext(ctx, table)
	return &Table{DB: db, Zone: zone}, err
}

// now is the JVM's time, with its fraction: the table rounds it.
func (t *Table) now() string { return time.Now().In(t.Zone).Format("2006-01-02 15:04:05.000000") }

// Submit is a customer's order of this many yuan.
func (t *Table) Submit(ctx context.Context, number any, user int64, yuan string) (id int64, err error) {
	res, err := t.DB.ExecContext(ctx, `insert into orders (number, status, user_id, address_book_id, order_time, pay_method, pay_status, amount, phone, address, consignee, pack_amount, tableware_number)
		values (?, 1, ?, 1, ?, 1, 0, ?, '13800000000', '北京市', '张三', 2, 1)`, number, user, t.now(), yuan)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// Shortcut pays as copies of the tutorial do that leave WeChat out: the table alone.
func (t *Table) Shortcut(ctx context.Context, id int64) error {
	return t.set(ctx, id, `status = 2, pay_status = 1, checkout_time = ?`, t.now())
}

// Confirm accepts, whatever the order's status.
func (t *Table) Confirm(ctx context.Context, id int64) error { return t.set(ctx, id, `status = 3`) }

// Reject turns an order away.
func (t *Table) Reject(ctx context.Context, id int64, reason string) error {
	return t.set(ctx, id, `status = 6, rejection_reason = ?, cancel_time = ?`, reason, t.now())
}

// Cancel calls an order off for the shop.
func (t *Table) Cancel(ctx context.Context, id int64, reason string) error {
	return t.set(ctx, id, `status = 6, cancel_reason = ?, cancel_time = ?`, reason, t.now())
}

// CancelByUser is a customer's cancel: what was paid goes back.
func (t *Table) CancelByUser(ctx context.Context, id int64) error {
	return t.set(ctx, id, `pay_status = case when status = 2 then 2 else pay_status end, status = 6, cancel_reason = '用户取消', cancel_time = ?`, t.now())
}

// Deliver sends an order out.
func (t *Table) Deliver(ctx context.Context, id int64) error { return t.set(ctx, id, `status = 4`) }

// Complete ends an order.
func (t *Table) Complete(ctx context.Context, id int64) error {
	return t.set(ctx, id, `status = 5, delivery_time = ?`, t.now())
}

// Timeout is their job, which cancels what was not paid.
func (t *Table) Timeout(ctx context.Context, id int64) error {
	return t.set(ctx, id, `status = 6, cancel_reason = '订单超时，自动取消', cancel_time = ?`, t.now())
}

func (t *Table) set(ctx context.Context, id int64, sets string, args ...any) error {
	_, err := t.DB.ExecContext(ctx, `update orders set `+sets+` where id = ?`, append(args, id)...) //nolint:gosec // the texts above
	if err != nil {
		return fmt.Errorf("their order %d: %w", id, err)
	}
	return nil
}
