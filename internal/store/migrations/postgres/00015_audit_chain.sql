-- The trail becomes a chain (docs/adr/0132): every event waits in audit_unsealed
-- until the sealer gives it a number and a link.

-- +goose Up

alter table audit_events add column nonce text not null default ''; -- '': written by a program before this
alter table audit_events add column mac text not null default '';

create index audit_events_type on audit_events (type, id);
-- What somebody did to others; what they did themselves is found by their user_id.
create index audit_events_actor on audit_events (actor, id) where actor <> 'user:' || user_id;

create table audit_unsealed (
    event bigint primary key
);

create table audit_chain (
    sequence bigint primary key,
    event    bigint not null unique,
    mark     smallint not null,
    link     bytea not null
);

-- Signed: where the chain was at a time.
create table audit_checkpoints (
    sequence  bigint primary key,
    link      bytea not null,
    removed   bigint not null,
    at        timestamptz not null,
    key       text not null,
    signature bytea not null
);
create index audit_checkpoints_at on audit_checkpoints (at, sequence);

-- Signed: up to where events were removed when they were old.
create table audit_removals (
    sequence  bigint primary key,
    link      bytea not null,
    removed   bigint not null,
    at        timestamptz not null,
    key       text not null,
    signature bytea not null
);

-- One row: the end of the chain, signed. Its lock is the sealer's.
create table audit_head (
    id        smallint primary key check (id = 1),
    sequence  bigint not null,
    link      bytea not null,
    removed   bigint not null,
    at        timestamptz not null,
    key       text not null,
    signature bytea not null
);

-- How many events a day (UTC), for statistics. organisation '*' is all of them.
create table audit_daily (
    day          date not null,
    organisation text collate "C" not null,
    type         text collate "C" not null,
    method       text collate "C" not null,
    reason       text collate "C" not null,
    events       bigint not null,
    primary key (organisation, day, type, method, reason)
);

-- Kept by a trigger, so that nothing that comes into the table is left out.
-- +goose StatementBegin
create function audit_events_wait() returns trigger language plpgsql as $$
begin
    insert into audit_unsealed (event) values (new.id);
    return null;
end $$;
-- +goose StatementEnd
create trigger audit_events_wait after insert on audit_events
    for each row execute function audit_events_wait();
insert into audit_unsealed (event) select id from audit_events;

-- The trail is append-only; what the retention has signed away may go.
-- +goose StatementBegin
create function audit_events_are_removed_in_order() returns trigger language plpgsql as $$
begin
    if exists (select 1 from audit_chain c where c.event = old.id and c.sequence <= (select max(sequence) from audit_removals)) then
        return old;
    end if;
    raise exception 'the audit trail is append-only';
end $$;
create function audit_chain_is_removed_in_order() returns trigger language plpgsql as $$
begin
    if old.sequence <= (select max(sequence) from audit_removals) then
        return old;
    end if;
    raise exception 'the audit trail is append-only';
end $$;
create function audit_head_goes_on() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.sequence >= old.sequence and new.removed >= old.removed then
        return new;
    end if;
    raise exception 'the audit trail is append-only';
end $$;
-- +goose StatementEnd
drop trigger audit_events_are_kept on audit_events;
create trigger audit_events_are_kept before update or truncate on audit_events
    for each statement execute function audit_events_are_kept();
create trigger audit_events_are_removed_in_order before delete on audit_events
    for each row execute function audit_events_are_removed_in_order();
create trigger audit_chain_is_kept before update or truncate on audit_chain
    for each statement execute function audit_events_are_kept();
create trigger audit_chain_is_removed_in_order before delete on audit_chain
    for each row execute function audit_chain_is_removed_in_order();
create trigger audit_checkpoints_are_kept before update or delete or truncate on audit_checkpoints
    for each statement execute function audit_events_are_kept();
create trigger audit_removals_are_kept before update or delete or truncate on audit_removals
    for each statement execute function audit_events_are_kept();
create trigger audit_head_is_kept before truncate on audit_head
    for each statement execute function audit_events_are_kept();
create trigger audit_head_goes_on before update or delete on audit_head
    for each row execute function audit_head_goes_on();
