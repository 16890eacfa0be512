-- The CAs' lists of revoked certificates, and what is known of linked cards.

-- +goose Up

-- What is on the shelf: one list of a CA and scope.
create table crl_lists (
    ca            text not null, -- SHA-256 of its name and key, hex
    scope         text not null,
    number        text not null, -- 40 digits of hex: texts are in the order of numbers
    digest        text not null, -- SHA-256 of the list, hex
    name          text not null,
    parts         text not null,
    count         integer not null,
    size          integer not null,
    this_update   integer not null,
    next_update   integer not null,
    entries       integer not null,
    source        text not null,
    fetched       integer not null,
    checked       integer not null,
    etag          text not null,
    last_modified text not null,
    primary key (ca, scope)
) strict;

-- The lists themselves, as published.
create table crl_parts (
    parts text not null,
    n     integer not null,
    data  blob not null,
    added integer not null,
    primary key (parts, n)
) strict;

-- revoked, on_hold, or empty while nothing of the kind is known.
alter table card_links add column status text not null default '';
alter table card_links add column status_at integer; -- when we learnt it
create index card_links_active on card_links (id) where removed is null;
