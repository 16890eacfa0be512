-- Why sign-ins went as they did: a row for each request that failed, or finished one.

-- +goose Up

create table traces (
    id        bigint generated always as identity primary key,
    trace     text collate "C" not null, -- the sign-in's
    reference text collate "C" not null, -- the request's, as its page shows it
    at        timestamptz not null,
    expires   timestamptz not null,
    user_id   text collate "C" not null, -- no foreign key: '' is nobody
    proved    boolean not null,
    client    text collate "C" not null,
    network   text not null,             -- not the address
    entries   text not null              -- JSON, bounded
);
create index traces_trace on traces (trace);
create index traces_reference on traces (reference) where reference <> '';
create index traces_user on traces (user_id, at) where user_id <> '';
create index traces_expires on traces (expires);
