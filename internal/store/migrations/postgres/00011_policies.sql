-- What an organisation decides of its sessions and contacts, the change of policy
-- that it has planned, and whom letters still have to tell of a change.

-- +goose Up

alter table organisations add column session_idle integer not null default 0; -- seconds; 0: the usual limit
alter table organisations add column session_absolute integer not null default 0;
alter table organisations add column responsible_contact text not null default '';
alter table organisations add column support_phone text not null default '';
alter table organisations add column support_hours text not null default '';

-- At most one planned change an organisation. What it permits stands beside the
-- whole, because it counts from its day on whether or not it was carried over.
alter table organisations add column planned jsonb; -- null: none
alter table organisations add column planned_from timestamptz;
alter table organisations add column planned_methods smallint constraint organisations_planned_methods check (planned_methods between 1 and 7);
create index organisations_planned_from on organisations (planned_from) where planned_from is not null;

-- People who have no way in after a change and are told by letter, a batch at a time.
create table policy_notices (
    id             text collate "C" primary key,
    organisation   text collate "C" not null references organisations (id),
    methods_before smallint not null,
    methods        smallint not null,
    effective      timestamptz not null,
    told           text collate "C" not null, -- the folded username of the last one who was
    made           timestamptz not null
);
