-- The trail becomes a chain (docs/adr/0132): every event waits in audit_unsealed
-- until the sealer gives it a number and a link.

-- +goose Up

alter table audit_events add column nonce text not null default ''; -- '': written by a program before this
alter table audit_events add column mac text not null default '';

create index audit_events_type on audit_events (type, id);
-- What somebody did to others; what they did themselves is found by their user_id.
create index audit_events_actor on audit_events (actor, id) where actor <> 'user:' || user_id;

create table audit_unsealed (
    event integer primary key
) strict;

create table audit_chain (
    sequence integer primary key,
    event    integer not null unique,
    mark     integer not null,
    link     blob not null
) strict;

-- Signed: where the chain was at a time.
create table audit_checkpoints (
    sequence  integer primary key,
    link      blob not null,
    removed   integer not null,
    at        integer not null,
    key       text not null,
    signature blob not null
) strict;
create index audit_checkpoints_at on audit_checkpoints (at, sequence);

-- Signed: up to where events were removed when they were old.
create table audit_removals (
    sequence  integer primary key,
    link      blob not null,
    removed   integer not null,
    at        integer not null,
    key       text not null,
    signature blob not null
) strict;

-- One row: the end of the chain, signed.
create table audit_head (
    id        integer primary key check (id = 1),
    sequence  integer not null,
    link      blob not null,
    removed   integer not null,
    at        integer not null,
    key       text not null,
    signature blob not null
) strict;

-- How many events a day (UTC), for statistics. organisation '*' is all of them.
create table audit_daily (
    day          text not null,
    organisation text not null,
    type         text not null,
    method       text not null,
    reason       text not null,
    events       integer not null,
    primary key (organisation, day, type, method, reason)
) strict, without rowid;

-- Kept by a trigger, so that nothing that comes into the table is left out.
-- +goose StatementBegin
create trigger audit_events_wait after insert on audit_events
begin
    insert into audit_unsealed (event) values (new.id);
end;
-- +goose StatementEnd
insert into audit_unsealed (event) select id from audit_events;

-- The trail is append-only; what the retention has signed away may go.
drop trigger audit_events_are_not_deleted;
-- +goose StatementBegin
create trigger audit_events_are_not_deleted before delete on audit_events
when not exists (select 1 from audit_chain c where c.event = old.id and c.sequence <= (select max(sequence) from audit_removals))
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_chain_is_not_changed before update on audit_chain
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_chain_is_not_deleted before delete on audit_chain
when old.sequence > coalesce((select max(sequence) from audit_removals), 0)
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_checkpoints_are_not_changed before update on audit_checkpoints
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_checkpoints_are_not_deleted before delete on audit_checkpoints
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_removals_are_not_changed before update on audit_removals
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_removals_are_not_deleted before delete on audit_removals
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_head_goes_on before update on audit_head
when new.sequence < old.sequence or new.removed < old.removed
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_head_is_not_deleted before delete on audit_head
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
