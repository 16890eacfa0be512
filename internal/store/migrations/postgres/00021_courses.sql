-- How a service's requests went, for its makers; calls of apps that were refused.

-- +goose Up

alter table traces add column sign_in boolean not null default true; -- false: of an app's call
create index traces_client on traces (client, at) where client <> '';
