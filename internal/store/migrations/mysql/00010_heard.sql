-- +goose Up
-- Until when a shop has a console on a node that could ring.
create table if not exists attention (
	shop_id bigint not null,
	node varchar(64) not null,
	until_at bigint not null,
	primary key (shop_id, node)
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- Whether somebody was told that a shop has none.
create table if not exists attendance (
	shop_id bigint primary key,
	alarm tinyint not null,
	alarm_at bigint not null,
	alarms bigint not null,
	alarms_since bigint not null
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- What was told of alerts that nobody took care of, and what became of it.
create table if not exists escalations (
	shop_id bigint not null,
	seq bigint not null,
	rung bigint not null,
	round bigint not null,
	addressee varchar(64) not null,
	message varchar(64) not null,
	state tinyint not null,
	created_at bigint not null,
	done_at bigint not null,
	last_error text not null,
	primary key (shop_id, seq, rung, round)
) engine=InnoDB default character set utf8mb4 collate EXACT;

-- What rings, by its age.
alter table alerts add index alerts_ringing_since (ringing, created_at);

-- The alert that must still ring when a message is sent; 0: none.
alter table outbox add column about_seq bigint not null default 0;
