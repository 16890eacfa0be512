-- The CAs' lists of revoked certificates, and what is known of linked cards.

-- +goose Up

-- What is on the shelf: one list of a CA and scope.
create table crl_lists (
    ca            text collate "C" not null, -- SHA-256 of its name and key, hex
    scope         text collate "C" not null,
    number        text collate "C" not null, -- 40 digits of hex: texts are in the order of numbers
    digest        text collate "C" not null, -- SHA-256 of the list, hex
    name          text not null,
    parts         text collate "C" not null,
    count         bigint not null,
    size          bigint not null,
    this_update   timestamptz not null,
    next_update   timestamptz not null,
    entries       bigint not null,
    source        text not null,
    fetched       timestamptz not null,
    checked       timestamptz not null,
    etag          text not null,
    last_modified text not null,
    primary key (ca, scope)
);

-- The lists themselves, as published.
create table crl_parts (
    parts text collate "C" not null,
    n     bigint not null,
    data  bytea not null,
    added timestamptz not null,
    primary key (parts, n)
);
alter table crl_parts alter column data set storage external; -- serial numbers do not compress

-- revoked, on_hold, or empty while nothing of the kind is known.
alter table card_links add column status text not null default '';
alter table card_links add column status_at timestamptz; -- when we learnt it
create index card_links_active on card_links (id) where removed is null;
