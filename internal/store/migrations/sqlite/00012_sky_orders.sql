-- +goose Up
-- Another program's orders, as they were seen last: its table has no index but its
-- primary key. On MySQL and MariaDB alone they are read.
create table sky_orders (
	id integer primary key,
	number text not null,
	status integer not null,
	pay_status integer not null,
	watched integer not null,
	ordered_at integer not null
);
create index sky_orders_number on sky_orders (number, id);
create index sky_orders_watched on sky_orders (watched, id);
