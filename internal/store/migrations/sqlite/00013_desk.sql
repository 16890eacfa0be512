-- How the help desk has recognised callers (S64), and the codes that linking asks
-- for after an authenticator was removed (S61).

-- +goose Up

alter table users add column linking_closed integer;

create table identity_checks (
    id      text primary key,
    user_id text not null references users (id),
    actor   text not null,
    method  text not null,
    ticket  text not null,
    note    text not null,
    at      integer not null,
    expires integer not null
) strict;
create index identity_checks_at on identity_checks (at);

create table linking_codes (
    user_id text primary key references users (id),
    hash    text not null, -- PHC, Argon2id
    actor   text not null,
    issued  integer not null,
    expires integer not null
) strict;
create index linking_codes_expires on linking_codes (expires);
