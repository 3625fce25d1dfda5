-- +goose Up
-- The signed tokens that were made or used here, by a digest that opens nothing,
-- and whether one was revoked.
create table if not exists tokens (
	id varchar(64) primary key,
	subject varchar(255) not null,
	role varchar(16) not null,
	shops text not null,
	issued_at bigint not null,
	expires_at bigint not null,
	first_at bigint not null,
	used_at bigint not null,
	parent varchar(64) not null,
	mark varchar(64) not null,
	revoked_at bigint not null,
	revoked_by varchar(255) not null,
	index tokens_first (first_at, id),
	index tokens_expires (expires_at),
	index tokens_parent (parent),
	index tokens_revoked (revoked_at)
) engine=InnoDB default character set utf8mb4 collate EXACT;
