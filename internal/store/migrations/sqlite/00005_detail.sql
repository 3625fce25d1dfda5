-- +goose Up
-- What was ordered, as JSON; empty where the shop's system does not tell.
alter table orders add column detail text not null default '';

-- The same of alerts that came from outside. Its own table: SQLite keeps the
-- rows of alerts in the tree that is searched, which long ones would make deep.
create table alert_details (
	shop_id integer not null,
	seq integer not null,
	detail text not null,
	primary key (shop_id, seq)
);

insert into sqlite_stat1 (tbl, idx, stat) values
	('alert_details', 'sqlite_autoindex_alert_details_1', '1000000 10000 1');
analyze sqlite_master;
