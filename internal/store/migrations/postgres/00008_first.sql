-- +goose Up
-- The same tables, columns and units as SQLite's at this version. Texts compare
-- byte by byte, whatever the database's own collation is.
create table meta (
	name text collate "C" primary key,
	value text collate "C" not null
);

-- A shop's last seq. Its own table: it is the last row that a transaction locks.
-- Every alert changes its shop's row: room is left so that the new version of it
-- stays on the page.
create table shop_heads (
	shop_id bigint primary key,
	last_seq bigint not null
) with (fillfactor = 50);

create table orders (
	id bigint primary key,
	account text collate "C" not null default '',
	number text collate "C" not null,
	shop_id bigint not null,
	user_id bigint not null,
	status smallint not null,
	pay_status smallint not null,
	amount bigint not null,
	currency text collate "C" not null,
	provider text collate "C" not null default '',
	transaction_id text collate "C" not null default '',
	created_at bigint not null,
	paid_at bigint not null default 0,
	reminded_at bigint not null default 0,
	detail text collate "C" not null default '',
	refunded_amount bigint not null default 0,
	unique (account, number)
);
create index orders_created on orders (created_at);
create index orders_unpaid on orders (created_at, id) where pay_status = 0;
create index orders_number on orders (number, id);
-- Ids that are given out by themselves. Those that shops give do not move it.
create sequence order_id as bigint minvalue 1 maxvalue 9007199254740991;

create table alerts (
	shop_id bigint not null,
	seq bigint not null,
	type smallint not null,
	source text collate "C" not null,
	order_id bigint not null,
	number text collate "C" not null,
	content text collate "C" not null,
	test smallint not null,
	actor text collate "C" not null,
	created_at bigint not null,
	ringing smallint not null,
	heard smallint not null default 0,
	nonce bigint not null default 0,
	primary key (shop_id, seq)
);
create index alerts_order on alerts (shop_id, source, order_id, seq);
create index alerts_ringing on alerts (shop_id, seq) where ringing = 1;
create index alerts_unheard on alerts (created_at) where ringing = 1 and heard = 0;

create table alert_details (
	shop_id bigint not null,
	seq bigint not null,
	detail text collate "C" not null,
	primary key (shop_id, seq)
);

create table idempotency_keys (
	subject text collate "C" not null,
	shop_id bigint not null,
	value text collate "C" not null,
	body_hash text collate "C" not null,
	seq bigint not null,
	created_at bigint not null,
	primary key (subject, shop_id, value)
);
create index idempotency_keys_seq on idempotency_keys (shop_id, seq);

create table receipts (
	shop_id bigint not null,
	seq bigint not null,
	console text collate "C" not null,
	stage text collate "C" not null,
	reason text collate "C" not null,
	actor text collate "C" not null,
	created_at bigint not null,
	primary key (shop_id, seq, console, stage)
);

-- Every callback that passed verification, one line per notice.
create table inbox (
	provider text collate "C" not null,
	kind text collate "C" not null,
	transaction_id text collate "C" not null,
	number text collate "C" not null,
	amount bigint not null,
	currency text collate "C" not null,
	check_amount smallint not null,
	body_hash text collate "C" not null,
	verdict text collate "C" not null,
	reason text collate "C" not null,
	times bigint not null,
	first_at bigint not null,
	last_at bigint not null,
	payment_id text collate "C" not null default '',
	basis text collate "C" not null default '',
	account text collate "C" not null default '',
	primary key (provider, kind, transaction_id)
);
create index inbox_number on inbox (number, verdict);
create index inbox_last on inbox (last_at);
create index inbox_payment on inbox (provider, payment_id) where payment_id <> '';

create table logins (
	id text collate "C" primary key,
	subject text collate "C" not null,
	role text collate "C" not null,
	shops text collate "C" not null,
	created_at bigint not null,
	expires_at bigint not null,
	limit_at bigint not null,
	paired smallint not null default 0,
	label text collate "C" not null default '',
	key_hash text collate "C" not null default '',
	parent text collate "C" not null default '',
	source text collate "C" not null default '',
	device text collate "C" not null default '',
	ended_at bigint not null default 0,
	ended_by text collate "C" not null default '',
	generation text collate "C" not null default ''
);
create index logins_expires on logins (expires_at);
create index logins_paired on logins (created_at) where paired = 1;
create unique index logins_key on logins (key_hash);
create index logins_parent on logins (parent) where parent <> '';
create index logins_source on logins (source, created_at, id) where source <> '';
create index logins_created on logins (created_at, id);

create table tickets (
	id text collate "C" primary key,
	subject text collate "C" not null,
	role text collate "C" not null,
	shops text collate "C" not null,
	session_until bigint not null,
	expires_at bigint not null,
	pairs smallint not null default 0,
	parent text collate "C" not null default '',
	source text collate "C" not null default '',
	device text collate "C" not null default '',
	generation text collate "C" not null default ''
);
create index tickets_expires on tickets (expires_at);
create index tickets_parent on tickets (parent) where parent <> '';

-- Messages to other systems, kept until they are taken.
create table outbox (
	id bigint generated by default as identity primary key,
	hook text collate "C" not null,
	message text collate "C" not null,
	event text collate "C" not null,
	shop_id bigint not null,
	header text collate "C" not null,
	body bytea not null,
	state smallint not null,
	attempts bigint not null,
	next_at bigint not null,
	created_at bigint not null,
	last_error text collate "C" not null
);
create index outbox_due on outbox (hook, next_at, id) where state = 0;
create index outbox_given_up on outbox (id) where state = 2;
create index outbox_old on outbox (created_at);

create table pushes (
	endpoint text collate "C" primary key,
	login_id text collate "C" not null,
	shop_id bigint not null,
	p256dh text collate "C" not null,
	auth text collate "C" not null,
	language text collate "C" not null,
	created_at bigint not null
);
create index pushes_shop on pushes (shop_id);
create index pushes_login on pushes (login_id);

-- Who does what only one node may do at a time.
create table leases (
	name text collate "C" primary key,
	holder text collate "C" not null,
	until_at bigint not null
);

-- What a check of readiness writes, to see whether that can be done.
create table probes (
	one smallint primary key check (one = 1),
	body bytea not null
);
insert into probes (one, body) values (1, '');

-- PostgreSQL before 16 can't say whether a text is JSON.
-- +goose StatementBegin
create function doorbell_is_json(t text) returns boolean language plpgsql immutable as $$
begin
	perform t::json;
	return true;
exception when others then
	return false;
end
$$;
-- +goose StatementEnd
