-- +goose Up
-- The signed tokens that were made or used here, by a digest that opens nothing,
-- and whether one was revoked.
create table tokens (
	id text collate "C" primary key,
	subject text collate "C" not null,
	role text collate "C" not null,
	shops text collate "C" not null,
	issued_at bigint not null,
	expires_at bigint not null,
	first_at bigint not null,
	used_at bigint not null,
	parent text collate "C" not null,
	mark text collate "C" not null,
	revoked_at bigint not null,
	revoked_by text collate "C" not null
);
create index tokens_first on tokens (first_at, id);
create index tokens_expires on tokens (expires_at);
create index tokens_parent on tokens (parent) where parent <> '';
create index tokens_revoked on tokens (revoked_at) where revoked_at > 0;
