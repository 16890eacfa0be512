-- CAs that nobody has configured, whose cards were shown at the card host.

-- +goose Up

create table card_strangers (
    id          text collate "C" primary key, -- SHA-256 of what tells them apart, hex
    issuer      text not null,
    key_id      text not null,
    certificate text not null, -- PEM, '' when no client sent it along
    sha256      text not null,
    root        text not null, -- the configured root that has signed it, '' for none
    seen        bigint not null,
    first       timestamptz not null,
    last        timestamptz not null
);

create index card_strangers_last on card_strangers (last);
