-- +goose Up
-- The last order id that was given out by itself. Ids that shops give do not
-- move it: one of 2^53-1 left none for anybody.
create table order_ids (
	one integer primary key check (one = 1),
	last integer not null
);
-- It goes on where the old counter stood, which is past every id there was.
-- Where too little is left above that, a given id has moved it: it goes back to
-- the highest id below the middle, of orders that are kept or that are told of.
insert into order_ids (one, last) select 1, case
	when coalesce((select seq from sqlite_sequence where name = 'orders'), 0) <= 4503599627370496
		then coalesce((select seq from sqlite_sequence where name = 'orders'), 0)
	else max(
		coalesce((select max(id) from orders where id <= 4503599627370496), 0),
		coalesce((select max(order_id) from alerts where source = 'order' and order_id <= 4503599627370496), 0))
	end;

-- What a check of readiness writes, to see whether that can be done.
create table probes (
	one integer primary key check (one = 1),
	body blob not null
);
insert into probes (one, body) values (1, x'');
