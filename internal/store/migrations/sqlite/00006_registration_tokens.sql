-- Initial access tokens of dynamic client registration.

-- +goose Up

create table registration_tokens (
    id      text primary key,
    hash    text not null unique, -- SHA-256 of the token, hex
    note    text not null,
    uses    integer not null, -- how many clients it may register
    used    integer not null,
    created integer not null,
    expires integer not null,
    revoked integer
) strict;
