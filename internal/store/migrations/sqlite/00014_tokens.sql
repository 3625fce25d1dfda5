-- +goose Up
-- The signed tokens that were made or used here, by a digest that opens nothing,
-- and whether one was revoked.
create table tokens (
	id text primary key,
	subject text not null,
	role text not null,
	shops text not null,
	issued_at integer not null,
	expires_at integer not null,
	first_at integer not null,
	used_at integer not null,
	parent text not null,
	mark text not null,
	revoked_at integer not null,
	revoked_by text not null
) without rowid;
create index tokens_first on tokens (first_at, id);
create index tokens_expires on tokens (expires_at);
create index tokens_parent on tokens (parent) where parent <> '';
create index tokens_revoked on tokens (revoked_at) where revoked_at > 0;
