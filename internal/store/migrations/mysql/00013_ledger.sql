-- +goose Up
-- Which alerts had left for a console, and when: ranges of a shop's log, rising.
create table if not exists deliveries (
	shop_id bigint not null,
	upto_seq bigint not null,
	from_seq bigint not null,
	console varchar(64) not null,
	actor varchar(255) not null,
	created_at bigint not null,
	primary key (shop_id, upto_seq)
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- A shop's days that are sealed: the hash is over the day's entries and the hash
-- of the day before.
create table if not exists ledger_days (
	shop_id bigint not null,
	day varchar(10) not null,
	begins_at bigint not null,
	ends_at bigint not null,
	as_of bigint not null,
	entries bigint not null,
	before_hash varchar(64) not null,
	hash varchar(64) not null,
	primary key (shop_id, day)
) engine=InnoDB default character set utf8mb4 collate EXACT;

create table if not exists ledger_entries (
	shop_id bigint not null,
	day varchar(10) not null,
	entry bigint not null,
	body mediumtext not null,
	hash varchar(64) not null,
	primary key (shop_id, day, entry)
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- Where a shop's ledger begins and ends, and what was pruned beneath it.
create table if not exists ledger_heads (
	shop_id bigint primary key,
	first_day varchar(10) not null,
	last_day varchar(10) not null,
	hash varchar(64) not null,
	kept_day varchar(10) not null,
	pruned_seq bigint not null
) engine=InnoDB default character set utf8mb4 collate EXACT;
