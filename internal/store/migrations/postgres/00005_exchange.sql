-- Tokens that were given for other tokens (RFC 8693) die with them.

-- +goose Up

alter table access_tokens add column client text; -- null: the grant's
alter table access_tokens add column subject text references access_tokens (hash) on delete cascade;
create index access_tokens_subject on access_tokens (subject) where subject is not null;
