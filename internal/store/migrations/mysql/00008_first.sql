-- +goose Up
-- The same tables, columns and units as SQLite's at this version. Texts compare
-- byte by byte, trailing spaces included: EXACT stands for the collation that does,
-- which MySQL and MariaDB call by different names. Each statement can run again,
-- for neither takes back a migration that stopped halfway.

create table if not exists meta (
	name varchar(255) primary key,
	value mediumtext not null
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- A shop's last seq. Its own table: it is the last row that a transaction locks.
-- As a parent of foreign keys it deadlocked 581 of 640 transactions.
create table if not exists shop_heads (
	shop_id bigint primary key,
	last_seq bigint not null
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists orders (
	id bigint primary key,
	account varchar(255) not null default '',
	number varchar(64) not null,
	shop_id bigint not null,
	user_id bigint not null,
	status tinyint not null,
	pay_status tinyint not null,
	amount bigint not null,
	currency varchar(8) not null,
	provider varchar(64) not null default '',
	transaction_id varchar(255) not null default '',
	created_at bigint not null,
	paid_at bigint not null default 0,
	reminded_at bigint not null default 0,
	detail mediumtext not null,
	refunded_amount bigint not null default 0,
	unique (account, number),
	index orders_created (created_at),
	index orders_unpaid (pay_status, created_at, id),
	index orders_number (number, id)
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists alerts (
	shop_id bigint not null,
	seq bigint not null,
	type tinyint not null,
	source varchar(16) not null,
	order_id bigint not null,
	number varchar(64) not null,
	content text not null,
	test tinyint not null,
	actor text not null,
	created_at bigint not null,
	ringing tinyint not null,
	heard tinyint not null default 0,
	nonce bigint not null default 0,
	primary key (shop_id, seq),
	index alerts_order (shop_id, source, order_id, seq),
	index alerts_ringing (shop_id, ringing, seq),
	index alerts_unheard (ringing, heard, created_at)
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists alert_details (
	shop_id bigint not null,
	seq bigint not null,
	detail mediumtext not null,
	primary key (shop_id, seq)
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists idempotency_keys (
	subject varchar(160) not null,
	shop_id bigint not null,
	value varchar(255) not null,
	body_hash varchar(64) not null,
	seq bigint not null,
	created_at bigint not null,
	primary key (subject, shop_id, value),
	index idempotency_keys_seq (shop_id, seq)
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists receipts (
	shop_id bigint not null,
	seq bigint not null,
	console varchar(64) not null,
	stage varchar(16) not null,
	reason text not null,
	actor text not null,
	created_at bigint not null,
	primary key (shop_id, seq, console, stage)
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- Every callback that passed verification, one line per notice.
create table if not exists inbox (
	provider varchar(64) not null,
	kind varchar(16) not null,
	transaction_id varchar(255) not null,
	number varchar(255) not null,
	amount bigint not null,
	currency varchar(8) not null,
	check_amount tinyint not null,
	body_hash varchar(64) not null,
	verdict varchar(32) not null,
	reason text not null,
	times bigint not null,
	first_at bigint not null,
	last_at bigint not null,
	payment_id varchar(255) not null default '',
	basis varchar(16) not null default '',
	account varchar(255) not null default '',
	primary key (provider, kind, transaction_id),
	index inbox_number (number, verdict),
	index inbox_last (last_at),
	index inbox_payment (provider, payment_id)
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists logins (
	id varchar(64) primary key,
	subject varchar(160) not null,
	role varchar(16) not null,
	shops mediumtext not null,
	created_at bigint not null,
	expires_at bigint not null,
	limit_at bigint not null,
	paired tinyint not null default 0,
	label text not null,
	key_hash varchar(64) not null default '',
	parent varchar(255) not null default '',
	source varchar(255) not null default '',
	device varchar(255) not null default '',
	ended_at bigint not null default 0,
	ended_by text not null,
	generation varchar(255) not null default '',
	index logins_expires (expires_at),
	index logins_paired (paired, created_at),
	unique index logins_key (key_hash),
	index logins_parent (parent),
	index logins_source (source, created_at, id),
	index logins_created (created_at, id)
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists tickets (
	id varchar(64) primary key,
	subject varchar(160) not null,
	role varchar(16) not null,
	shops mediumtext not null,
	session_until bigint not null,
	expires_at bigint not null,
	pairs tinyint not null default 0,
	parent varchar(255) not null default '',
	source varchar(255) not null default '',
	device varchar(255) not null default '',
	generation varchar(255) not null default '',
	index tickets_expires (expires_at),
	index tickets_parent (parent)
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- Messages to other systems, kept until they are taken.
create table if not exists outbox (
	id bigint auto_increment primary key,
	hook varchar(255) not null,
	message varchar(255) not null,
	event varchar(255) not null,
	shop_id bigint not null,
	header mediumtext not null,
	body mediumblob not null,
	state tinyint not null,
	attempts bigint not null,
	next_at bigint not null,
	created_at bigint not null,
	last_error text not null,
	index outbox_due (hook, state, next_at, id),
	index outbox_given_up (state, id),
	index outbox_old (created_at)
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists pushes (
	endpoint varbinary(1000) primary key,
	login_id varchar(64) not null,
	shop_id bigint not null,
	p256dh text not null,
	auth text not null,
	language varchar(32) not null,
	created_at bigint not null,
	index pushes_shop (shop_id),
	index pushes_login (login_id)
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- Who does what only one node may do at a time.
create table if not exists leases (
	name varchar(255) primary key,
	holder varchar(64) not null,
	until_at bigint not null
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- What a check of readiness writes, to see whether that can be done.
create table if not exists probes (
	one tinyint primary key check (one = 1),
	body mediumblob not null
) engine=InnoDB default character set utf8mb4 collate EXACT;

insert ignore into probes (one, body) values (1, '');

-- Ids that are given out by themselves: a row is inserted for its id, and removed.
-- Those that shops give do not move it.
create table if not exists order_ids (
	id bigint auto_increment primary key
) engine=InnoDB;

-- Locks by name, for what has no row yet: a name is one of 4,096 rows of its class.
create table if not exists locks (
	class tinyint not null,
	slot smallint not null,
	primary key (class, slot)
) engine=InnoDB;
insert ignore into locks (class, slot)
	select c.n, a.n + 16 * b.n + 256 * d.n from (select 0 as n union all select 1) c,
	(select 0 as n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 union all select 6 union all select 7 union all select 8 union all select 9 union all select 10 union all select 11 union all select 12 union all select 13 union all select 14 union all select 15) a, (select 0 as n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 union all select 6 union all select 7 union all select 8 union all select 9 union all select 10 union all select 11 union all select 12 union all select 13 union all select 14 union all select 15) b, (select 0 as n union all select 1 union all select 2 union all select 3 union all select 4 union all select 5 union all select 6 union all select 7 union all select 8 union all select 9 union all select 10 union all select 11 union all select 12 union all select 13 union all select 14 union all select 15) d;
