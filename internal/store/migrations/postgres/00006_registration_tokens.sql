-- Initial access tokens of dynamic client registration.

-- +goose Up

create table registration_tokens (
    id      text collate "C" primary key,
    hash    text collate "C" not null unique, -- SHA-256 of the token, hex
    note    text not null,
    uses    bigint not null, -- how many clients it may register
    used    bigint not null,
    created timestamptz not null,
    expires timestamptz not null,
    revoked timestamptz
);
