-- The whole protocol: client options, tokens with a key, a resource or a
-- narrower scope of their own, grants without a user, consent.

-- +goose Up

alter table clients add column old_secret_hash text not null default '';
alter table clients add column old_secret_until integer;
alter table clients add column options text not null default '{}'; -- JSON as it was written: openid.Options

-- A row without a user is the mark of a grant that was revoked before it was
-- issued, unless its kind is client_credentials.
alter table grants add column kind text not null default 'authorization_code';
alter table grants add column resources text not null default ''; -- space-separated
alter table grants add column claims text not null default ''; -- JSON, '' for none
alter table grants add column refresh_binding text not null default '';

alter table access_tokens add column issued integer;
alter table access_tokens add column scopes text; -- space-separated; null: the grant's
alter table access_tokens add column resources text; -- the same
alter table access_tokens add column binding text not null default '';

create table consents (
    user_id text not null references users (id),
    client  text not null,
    scopes  text not null, -- space-separated
    claims  text not null, -- space-separated
    created integer not null,
    updated integer not null,
    primary key (user_id, client)
) strict;
