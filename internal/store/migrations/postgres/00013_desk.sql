-- How the help desk has recognised callers (S64), and the codes that linking asks
-- for after an authenticator was removed (S61).

-- +goose Up

alter table users add column linking_closed timestamptz;

create table identity_checks (
    id      text collate "C" primary key,
    user_id text collate "C" not null references users (id),
    actor   text not null,
    method  text not null,
    ticket  text not null,
    note    text not null,
    at      timestamptz not null,
    expires timestamptz not null
);
create index identity_checks_at on identity_checks (at);

create table linking_codes (
    user_id text collate "C" primary key references users (id),
    hash    text not null, -- PHC, Argon2id
    actor   text not null,
    issued  timestamptz not null,
    expires timestamptz not null
);
create index linking_codes_expires on linking_codes (expires);
