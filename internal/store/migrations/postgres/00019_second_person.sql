-- A second member of the help desk, who confirms what opens an account (S64,
-- docs/adr/0129).

-- +goose Up

alter table organisations add column second_person boolean not null default false;

-- One of each check and act at most.
create table confirmations (
    id           text collate "C" primary key,
    check_id     text collate "C" not null references identity_checks (id) on delete cascade,
    act          text not null, -- identity.Right
    reason       text not null,
    asked        timestamptz not null,
    confirmed_by text collate "C" references users (id), -- null: it waits
    confirmed    timestamptz,
    constraint confirmations_act unique (check_id, act)
);
create index confirmations_asked on confirmations (asked);
