-- +goose Up
-- Until when a shop has a console on a node that could ring.
create table attention (
	shop_id bigint not null,
	node text collate "C" not null,
	until_at bigint not null,
	primary key (shop_id, node)
);

-- Whether somebody was told that a shop has none.
create table attendance (
	shop_id bigint primary key,
	alarm smallint not null,
	alarm_at bigint not null,
	alarms bigint not null,
	alarms_since bigint not null
);

-- The alert that must still ring when a message is sent; 0: none.
alter table outbox add column about_seq bigint not null default 0;

-- What was told of alerts that nobody took care of, and what became of it.
create table escalations (
	shop_id bigint not null,
	seq bigint not null,
	rung bigint not null,
	round bigint not null,
	addressee text collate "C" not null,
	message text collate "C" not null,
	state smallint not null,
	created_at bigint not null,
	done_at bigint not null,
	last_error text collate "C" not null,
	primary key (shop_id, seq, rung, round)
);

-- What rings, by its age.
create index alerts_ringing_since on alerts (created_at) where ringing = 1;
