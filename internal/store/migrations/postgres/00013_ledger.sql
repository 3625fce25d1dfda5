-- +goose Up
-- Which alerts had left for a console, and when: ranges of a shop's log, rising.
create table deliveries (
	shop_id bigint not null,
	upto_seq bigint not null,
	from_seq bigint not null,
	console text collate "C" not null,
	actor text collate "C" not null,
	created_at bigint not null,
	primary key (shop_id, upto_seq)
);

-- A shop's days that are sealed: the hash is over the day's entries and the hash
-- of the day before.
create table ledger_days (
	shop_id bigint not null,
	day text collate "C" not null,
	begins_at bigint not null,
	ends_at bigint not null,
	as_of bigint not null,
	entries bigint not null,
	before_hash text collate "C" not null,
	hash text collate "C" not null,
	primary key (shop_id, day)
);

create table ledger_entries (
	shop_id bigint not null,
	day text collate "C" not null,
	entry bigint not null,
	body text collate "C" not null,
	hash text collate "C" not null,
	primary key (shop_id, day, entry)
);

-- Where a shop's ledger begins and ends, and what was pruned beneath it.
create table ledger_heads (
	shop_id bigint primary key,
	first_day text collate "C" not null,
	last_day text collate "C" not null,
	hash text collate "C" not null,
	kept_day text collate "C" not null,
	pruned_seq bigint not null
);
