-- +goose Up
-- Which alerts had left for a console, and when: ranges of a shop's log, rising.
create table deliveries (
	shop_id integer not null,
	upto_seq integer not null,
	from_seq integer not null,
	console text not null,
	actor text not null,
	created_at integer not null,
	primary key (shop_id, upto_seq)
) without rowid;

-- A shop's days that are sealed: the hash is over the day's entries and the hash
-- of the day before.
create table ledger_days (
	shop_id integer not null,
	day text not null,
	begins_at integer not null,
	ends_at integer not null,
	as_of integer not null,
	entries integer not null,
	before_hash text not null,
	hash text not null,
	primary key (shop_id, day)
) without rowid;

create table ledger_entries (
	shop_id integer not null,
	day text not null,
	entry integer not null,
	body text not null,
	hash text not null,
	primary key (shop_id, day, entry)
) without rowid;

-- Where a shop's ledger begins and ends, and what was pruned beneath it.
create table ledger_heads (
	shop_id integer primary key,
	first_day text not null,
	last_day text not null,
	hash text not null,
	kept_day text not null,
	pruned_seq integer not null
);

insert into sqlite_stat1 (tbl, idx, stat) values
	('deliveries', 'deliveries', '1000000 10000 1'),
	('ledger_days', 'ledger_days', '100000 1000 1'),
	('ledger_entries', 'ledger_entries', '1000000 10000 100 1');
analyze sqlite_master;
