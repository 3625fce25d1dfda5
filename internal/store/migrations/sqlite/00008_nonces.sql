-- +goose Up
-- An alert's own number, drawn at random. A log that lost its tail and grew again
-- gives the same seqs to other alerts; this tells them apart. 0: written before.
alter table alerts add column nonce integer not null default 0;
