-- +goose Up
-- Another program's orders, as they were seen last: its table has no index but its
-- primary key. On MySQL and MariaDB alone they are read.
create table sky_orders (
	id bigint primary key,
	number text collate "C" not null,
	status bigint not null,
	pay_status bigint not null,
	watched smallint not null,
	ordered_at bigint not null
);
create index sky_orders_number on sky_orders (number, id);
create index sky_orders_watched on sky_orders (watched, id);
