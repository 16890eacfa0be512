-- CAs that nobody has configured, whose cards were shown at the card host.

-- +goose Up

create table card_strangers (
    id          text primary key, -- SHA-256 of what tells them apart, hex
    issuer      text not null,
    key_id      text not null,
    certificate text not null, -- PEM, '' when no client sent it along
    sha256      text not null,
    root        text not null, -- the configured root that has signed it, '' for none
    seen        integer not null,
    first       integer not null,
    last        integer not null
) strict;

create index card_strangers_last on card_strangers (last);
