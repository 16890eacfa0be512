-- A second person refuses what waits, and whoever asks reads why (S64, docs/adr/0145).

-- +goose Up

alter table confirmations add column refused_by text references users (id); -- null: nobody has
alter table confirmations add column refused integer;
alter table confirmations add column refusal text not null default '';
