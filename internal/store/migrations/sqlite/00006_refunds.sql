-- +goose Up
-- An order's number is unique within a merchant account (a scope: see
-- doorbell.Accounts), and not in the world. What stands keeps the scope of a
-- single account. refunded_amount is what was given back of the payment that an
-- order rests on.
create table orders_anew (
	id integer primary key autoincrement,
	account text not null default '',
	number text not null,
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
	reminded_at integer not null default 0,
	detail text not null default '',
	refunded_amount integer not null default 0,
	unique (account, number)
);
insert into orders_anew (id, number, shop_id, user_id, status, pay_status, amount, currency, provider, transaction_id,
	created_at, paid_at, reminded_at, detail, refunded_amount)
	select id, number, shop_id, user_id, status, pay_status, amount, currency, provider, transaction_id,
	created_at, paid_at, reminded_at, detail, case when pay_status = 2 then amount else 0 end from orders;
drop table orders;
alter table orders_anew rename to orders;
create index orders_created on orders (created_at);
create index orders_unpaid on orders (created_at, id) where pay_status = 0;
create index orders_number on orders (number, id);

-- Which payment a refund gives back, and what its amount tells. Refunds of
-- before name none: those that were not settled can't be settled any more.
-- account is whose callback it was.
alter table inbox add column payment_id text not null default '';
alter table inbox add column basis text not null default '';
alter table inbox add column account text not null default '';
update inbox set verdict = 'unknown_payment' where kind = 'refund' and verdict = 'unknown_order';
create index inbox_payment on inbox (provider, payment_id) where payment_id <> '';
drop index inbox_number;
create index inbox_number on inbox (number, verdict);

delete from sqlite_stat1 where idx in ('inbox_number', 'sqlite_autoindex_orders_1', 'orders_created', 'orders_unpaid');
insert into sqlite_stat1 (tbl, idx, stat) values
	('orders', 'sqlite_autoindex_orders_1', '1000000 1000 1'),
	('orders', 'orders_created', '1000000 2'),
	('orders', 'orders_unpaid', '10000 2 1'),
	('orders', 'orders_number', '1000000 2 1'),
	('inbox', 'inbox_number', '1000000 2 2'),
	('inbox', 'inbox_payment', '100000 25000 1');
analyze sqlite_master;
