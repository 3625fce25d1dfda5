-- +goose Up
-- A session's id is for lists and links; the cookie is found by its hash alone.
alter table logins add column key_hash text not null default '';
update logins set key_hash = id;
create unique index logins_key on logins (key_hash);

-- What a session was made from: the session whose ticket it came by, the token
-- at the beginning, and the paired device.
alter table logins add column parent text not null default '';
alter table logins add column source text not null default '';
alter table logins add column device text not null default '';
update logins set device = id where paired = 1;
create index logins_parent on logins (parent) where parent <> '';
create index logins_source on logins (source, created_at, id) where source <> '';
create index logins_created on logins (created_at, id);

-- An ended session stays until its time is over, so that its device can be told
-- why.
alter table logins add column ended_at integer not null default 0;
alter table logins add column ended_by text not null default '';

-- What must stay as it is for a session to be good. Those that stand here are
-- taken over by the next start; those of a backup are not, for a restore has
-- drawn the generation by then.
alter table logins add column generation text not null default '';
insert into meta (name, value) select 'adopt_logins', '1' where not exists (select 1 from meta where name = 'generation');

-- Only devices stay signed in for as long as they are used; 90 days are the
-- others' longest.
update logins set limit_at = created_at + 7776000000 where paired = 0 and limit_at = 0;
update logins set expires_at = limit_at where paired = 0 and expires_at > limit_at;

-- Old tickets do not say who made them.
delete from tickets;
alter table tickets add column parent text not null default '';
alter table tickets add column source text not null default '';
alter table tickets add column device text not null default '';
alter table tickets add column generation text not null default '';
create index tickets_parent on tickets (parent) where parent <> '';
