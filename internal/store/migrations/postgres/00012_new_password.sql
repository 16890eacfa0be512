-- Asking for a new password, the links that letters carry, and accounts that were
-- frozen by "this was not me" (S51–S59).

-- +goose Up

alter table users add column frozen timestamptz; -- null: not
alter table users add column contact_changed timestamptz; -- when e-mail or phone changed last; null: never
-- What has changed lately may have been the contact.
update users set contact_changed = updated;

-- What anybody has asked, until it is decided: the name is as it was typed, folded.
create table password_asks (
    id        text primary key,
    username  text not null,
    address   text not null,
    throttled boolean not null, -- the name's limit was reached
    created   timestamptz not null,
    due       timestamptz not null, -- a lease moves it to the lease's end
    attempts  integer not null,
    reason    text not null,
    dead      timestamptz
);
create index password_asks_due on password_asks (due) where dead is null;

-- Links in letters: one of each purpose per person, so that the newest takes the
-- place of the one before.
create table mailed_links (
    hash    text primary key, -- SHA-256 of the secret
    user_id text not null references users (id),
    purpose text not null,
    created timestamptz not null,
    expires timestamptz not null,
    constraint mailed_links_purpose unique (user_id, purpose)
);
create index mailed_links_expires on mailed_links (expires);
