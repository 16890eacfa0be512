-- People from a file (docs/adr/0131): what is to become of each row, and what has.

-- +goose Up

-- One of each user at most.
create table imports (
    id           text collate "C" primary key,
    user_id      text collate "C" not null references users (id),
    organisation text collate "C" not null references organisations (id),
    state        text not null,
    reason       text not null,
    address      text not null,
    epoch        bigint not null,
    created      timestamptz not null,
    expires      timestamptz not null,
    finished     timestamptz,
    due          timestamptz not null, -- a lease moves it to the lease's end
    constraint imports_user unique (user_id)
);
create index imports_due on imports (state, due);
create index imports_expires on imports (expires);

create table import_rows (
    import_id text collate "C" not null references imports (id) on delete cascade,
    line      bigint not null,
    cells     text not null, -- JSON: by column
    verdict   text not null,
    fields    text not null, -- apart by spaces
    code      text not null,
    done      boolean not null,
    primary key (import_id, line)
);
create index import_rows_done on import_rows (import_id, done, line);
create index import_rows_verdict on import_rows (import_id, verdict, done, line);
