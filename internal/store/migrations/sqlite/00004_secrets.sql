-- Random secrets that all replicas share, sealed by the master key.

-- +goose Up

create table secrets (
    name    text primary key,
    sealed  text not null,
    created integer not null
) strict;
