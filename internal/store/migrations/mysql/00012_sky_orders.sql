-- +goose Up
-- Another program's orders, as they were seen last: its table has no index but its
-- primary key.
create table if not exists sky_orders (
	id bigint primary key,
	number varchar(64) not null,
	status int not null,
	pay_status int not null,
	watched tinyint not null,
	ordered_at bigint not null,
	index sky_orders_number (number, id),
	index sky_orders_watched (watched, id)
) engine=InnoDB default character set utf8mb4 collate EXACT;
