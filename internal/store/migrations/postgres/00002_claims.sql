-- What relying parties may learn of a person beyond the account, and what the
-- person may do for others. The program before leaves these columns out.

-- +goose Up

alter table users
    add column claims  jsonb,       -- null: none
    add column updated timestamptz, -- null: not since it was created
    add column roles   integer not null default 0; -- bits: 1 operator
