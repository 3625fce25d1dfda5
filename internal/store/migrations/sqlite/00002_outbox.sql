-- +goose Up
-- What rings: 0 nobody has said to have heard it, 1 somebody has, 2 nobody had
-- in time, and that was told.
alter table alerts add column heard integer not null default 0;
update alerts set heard = 1 where ringing = 1 and exists (
	select 1 from receipts r where r.shop_id = alerts.shop_id and r.seq = alerts.seq and r.stage = 'sounded');
create index alerts_unheard on alerts (created_at) where ringing = 1 and heard = 0;

-- What providers are asked for.
create index orders_unpaid on orders (created_at, id) where pay_status = 0;

-- Messages to other systems, kept until they are taken.
create table outbox (
	id integer primary key autoincrement,
	hook text not null,
	message text not null,
	event text not null,
	shop_id integer not null,
	header text not null,
	body blob not null,
	state integer not null,
	attempts integer not null,
	next_at integer not null,
	created_at integer not null,
	last_error text not null
);
create index outbox_due on outbox (hook, next_at, id) where state = 0;
create index outbox_given_up on outbox (id) where state = 2;
create index outbox_old on outbox (created_at);

-- Devices that stay signed in.
alter table logins add column paired integer not null default 0;
alter table logins add column label text not null default '';
alter table tickets add column pairs integer not null default 0;
create index logins_paired on logins (created_at) where paired = 1;

-- Where browsers want alerts pushed to; gone with the session that asked.
create table pushes (
	endpoint text primary key,
	login_id text not null,
	shop_id integer not null,
	p256dh text not null,
	auth text not null,
	language text not null,
	created_at integer not null
) without rowid;
create index pushes_shop on pushes (shop_id);
create index pushes_login on pushes (login_id);

-- Who does what only one node may do at a time.
create table leases (
	name text primary key,
	holder text not null,
	until_at integer not null
) without rowid;

insert into sqlite_stat1 (tbl, idx, stat) values
	('alerts', 'alerts_unheard', '100 1'),
	('orders', 'orders_unpaid', '10000 2 1'),
	('outbox', 'outbox_due', '1000 500 2 1'),
	('outbox', 'outbox_given_up', '100 1'),
	('outbox', 'outbox_old', '1000000 2');
analyze sqlite_master;
