-- +goose Up
-- Until when a shop has a console on a node that could ring.
create table attention (
	shop_id integer not null,
	node text not null,
	until_at integer not null,
	primary key (shop_id, node)
) without rowid;

-- Whether somebody was told that a shop has none.
create table attendance (
	shop_id integer primary key,
	alarm integer not null,
	alarm_at integer not null,
	alarms integer not null,
	alarms_since integer not null
);

-- The alert that must still ring when a message is sent; 0: none.
alter table outbox add column about_seq integer not null default 0;

-- What was told of alerts that nobody took care of, and what became of it.
create table escalations (
	shop_id integer not null,
	seq integer not null,
	rung integer not null,
	round integer not null,
	addressee text not null,
	message text not null,
	state integer not null,
	created_at integer not null,
	done_at integer not null,
	last_error text not null,
	primary key (shop_id, seq, rung, round)
) without rowid;

-- What rings, by its age.
create index alerts_ringing_since on alerts (created_at) where ringing = 1;

insert into sqlite_stat1 (tbl, idx, stat) values
	('alerts', 'alerts_ringing_since', '1000 1'),
	('escalations', 'escalations', '100000 1000 5 2 1');
analyze sqlite_master;
