-- Random secrets that all replicas share, sealed by the master key.

-- +goose Up

create table secrets (
    name    text collate "C" primary key,
    sealed  text not null,
    created timestamptz not null
);
