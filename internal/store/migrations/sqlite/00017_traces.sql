-- Why sign-ins went as they did: a row for each request that failed, or finished one.

-- +goose Up

create table traces (
    id        integer primary key,
    trace     text not null, -- the sign-in's
    reference text not null, -- the request's, as its page shows it
    at        integer not null,
    expires   integer not null,
    user_id   text not null, -- no foreign key: '' is nobody
    proved    integer not null,
    client    text not null,
    network   text not null,             -- not the address
    entries   text not null              -- JSON, bounded
);
create index traces_trace on traces (trace);
create index traces_reference on traces (reference) where reference <> '';
create index traces_user on traces (user_id, at) where user_id <> '';
create index traces_expires on traces (expires);
