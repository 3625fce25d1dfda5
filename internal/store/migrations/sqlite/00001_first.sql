-- +goose Up
create table meta (
	name text primary key,
	value text not null
) without rowid;

-- A shop's last seq. Its own table: it is the last row that a transaction locks.
create table shop_heads (
	shop_id integer primary key,
	last_seq integer not null
);

create table orders (
	id integer primary key autoincrement,
	number text not null unique,
	shop_id integer not null,
	user_id integer not null,
	status integer not null,
	pay_status integer not null,
	amount integer not null,
	currency text not null,
	provider text not null default '',
	transaction_id text not null default '',
	created_at integer not null,
	paid_at integer not null default 0,
	reminded_at integer not null default 0
);
create index orders_created on orders (created_at);

create table alerts (
	shop_id integer not null,
	seq integer not null,
	type integer not null,
	source text not null,
	order_id integer not null,
	number text not null,
	content text not null,
	test integer not null,
	actor text not null,
	created_at integer not null,
	ringing integer not null,
	primary key (shop_id, seq)
) without rowid;
create index alerts_order on alerts (shop_id, source, order_id, seq);
create index alerts_ringing on alerts (shop_id, seq) where ringing = 1;

create table idempotency_keys (
	subject text not null,
	shop_id integer not null,
	value text not null,
	body_hash text not null,
	seq integer not null,
	created_at integer not null,
	primary key (subject, shop_id, value)
) without rowid;
create index idempotency_keys_seq on idempotency_keys (shop_id, seq);

create table receipts (
	shop_id integer not null,
	seq integer not null,
	console text not null,
	stage text not null,
	reason text not null,
	actor text not null,
	created_at integer not null,
	primary key (shop_id, seq, console, stage)
) without rowid;

-- Every callback that passed verification, one line per notice.
create table inbox (
	provider text not null,
	kind text not null,
	transaction_id text not null,
	number text not null,
	amount integer not null,
	currency text not null,
	check_amount integer not null,
	body_hash text not null,
	verdict text not null,
	reason text not null,
	times integer not null,
	first_at integer not null,
	last_at integer not null,
	primary key (provider, kind, transaction_id)
) without rowid;
create index inbox_number on inbox (number);
create index inbox_last on inbox (last_at);

create table logins (
	id text primary key,
	subject text not null,
	role text not null,
	shops text not null,
	created_at integer not null,
	expires_at integer not null,
	limit_at integer not null
) without rowid;
create index logins_expires on logins (expires_at);

create table tickets (
	id text primary key,
	subject text not null,
	role text not null,
	shops text not null,
	session_until integer not null,
	expires_at integer not null
) without rowid;
create index tickets_expires on tickets (expires_at);

-- What a grown log looks like. Without these figures SQLite takes ten rows a
-- shop for granted and walks the whole log of a shop to find one order's.
analyze;
delete from sqlite_stat1;
insert into sqlite_stat1 (tbl, idx, stat) values
	('alerts', 'alerts', '1000000 10000 1'),
	('alerts', 'alerts_order', '1000000 10000 10000 2 1'),
	('alerts', 'alerts_ringing', '1000 100 1'),
	('orders', 'sqlite_autoindex_orders_1', '1000000 1'),
	('orders', 'orders_created', '1000000 2'),
	('receipts', 'receipts', '1000000 10000 3 2 1'),
	('inbox', 'inbox', '1000000 250000 250000 1'),
	('inbox', 'inbox_number', '1000000 1'),
	('inbox', 'inbox_last', '1000000 2'),
	('idempotency_keys', 'idempotency_keys', '1000000 100000 10000 1'),
	('idempotency_keys', 'idempotency_keys_seq', '1000000 10000 1');
analyze sqlite_master;
