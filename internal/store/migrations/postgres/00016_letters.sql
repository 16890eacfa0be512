-- Letters that leave as text messages, that are of no use after a time, and what
-- operators may see of those that wait or were given up.

-- +goose Up

alter table letters add column channel text not null default 'mail';
alter table letters add column template text not null default '';
alter table letters add column organisation text not null default '';
alter table letters add column recipient text not null default ''; -- masked
alter table letters add column expires timestamptz;
alter table letters add column leased timestamptz; -- until when a replica has it; null when it has reported
create index letters_dead on letters (dead, id) where dead is not null;
create index letters_waiting on letters (created, id) where dead is null;
