-- A second member of the help desk, who confirms what opens an account (S64,
-- docs/adr/0129).

-- +goose Up

alter table organisations add column second_person integer not null default 0;

-- One of each check and act at most.
create table confirmations (
    id           text primary key,
    check_id     text not null references identity_checks (id) on delete cascade,
    act          text not null, -- identity.Right
    reason       text not null,
    asked        integer not null,
    confirmed_by text references users (id), -- null: it waits
    confirmed    integer,
    constraint confirmations_act unique (check_id, act)
) strict;
create index confirmations_asked on confirmations (asked);
