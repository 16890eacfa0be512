-- The house as it was first built. Applied by goose, once; never edited after a
-- release: what changes later gets a file of its own (docs/adr/0011).
--
-- Times are integers: microseconds since 1970, UTC. Booleans are 0 and 1.

-- +goose Up

create table organisations (
    id                  text primary key,
    name                text not null,
    methods             integer not null constraint organisations_methods check (methods between 1 and 7), -- bits: 1 card, 2 app, 4 token; never empty (S5)
    personal_phones     integer not null,
    shared_workstations integer not null,
    delivery            text not null,
    it_contact          text not null,
    disabled            integer,
    created             integer not null,
    version             integer not null
) strict;

create table users (
    id                 text primary key,
    username           text not null,
    username_folded    text not null constraint users_username unique,
    organisation       text not null references organisations (id),
    given_name         text not null,
    family_name        text not null,
    email              text not null,
    language           text not null,
    disabled           integer,
    created            integer not null,
    signed_in          integer,
    epoch              integer not null,
    kept_session       text, -- null: none, so that it equals no session
    version            integer not null,
    password_hash      text not null,
    password_temporary integer not null,
    password_expires   integer,
    password_changed   integer
) strict;
create index users_organisation on users (organisation);

create table card_links (
    id             text primary key,
    user_id        text not null references users (id),
    fingerprint    text not null,
    spki           text not null,
    issuer         text not null,
    issuer_dn      text not null,
    serial         text not null,
    subject_serial text not null,
    holder_name    text not null,
    holder_org     text not null,
    not_after      integer,
    linked         integer not null,
    removed        integer,
    removed_reason text not null
) strict;
-- S27: one active card per username, one username per card.
create unique index card_links_one_per_user on card_links (user_id) where removed is null;
create unique index card_links_one_per_card on card_links (fingerprint) where removed is null;
create index card_links_fingerprint on card_links (fingerprint);

create table authenticators (
    id             text primary key,
    user_id        text not null references users (id),
    kind           integer not null,
    sealed_key     text not null,
    model          text not null,
    serial         text not null,
    own_device     integer not null,
    personal_phone integer not null,
    last_step      integer not null,
    drift          integer not null,
    failures       integer not null,
    blocked_until  integer,
    linked         integer not null,
    removed        integer,
    removed_reason text not null
) strict;
-- S41: one active authenticator per username.
create unique index authenticators_one_per_user on authenticators (user_id) where removed is null;

create table audit_events (
    id           integer primary key autoincrement,
    at           integer not null,
    type         text not null,
    actor        text not null,
    user_id      text not null,
    organisation text not null,
    client       text not null,
    session_id   text not null,
    method       text not null,
    reason       text not null,
    address      text not null,
    details      text not null
) strict;
create index audit_events_at on audit_events (at);
create index audit_events_user on audit_events (user_id, id) where user_id <> '';
create index audit_events_organisation on audit_events (organisation, id) where organisation <> '';

-- The trail is append-only.
-- +goose StatementBegin
create trigger audit_events_are_not_changed before update on audit_events
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger audit_events_are_not_deleted before delete on audit_events
begin
    select raise(abort, 'the audit trail is append-only');
end;
-- +goose StatementEnd

create table letters (
    id       text primary key,
    sealed   text not null,
    created  integer not null,
    due      integer not null, -- a lease moves it to the lease's end
    attempts integer not null,
    reason   text not null,
    dead     integer
) strict;
create index letters_due on letters (due) where dead is null;

create table clients (
    id                        text primary key,
    name                      text not null,
    secret_hash               text not null,
    auth_method               text not null,
    native                    integer not null,
    redirect_uris             text not null,
    post_logout_redirect_uris text not null,
    back_channel_logout_uri   text not null,
    grant_types               text not null,
    scopes                    text not null,
    minimum_acr               text not null,
    methods                   integer not null,
    algorithm                 text not null,
    require_pkce              integer not null,
    access_token_ttl          integer not null, -- nanoseconds
    home_uri                  text not null,
    disabled                  integer,
    created                   integer not null,
    version                   integer not null
) strict;

-- A row without a user is the mark of a grant that was revoked before it was
-- issued (a replayed code).
create table grants (
    id           text primary key,
    client       text not null default '',
    user_id      text references users (id),
    session_id   text,
    epoch        integer not null default 0,
    level        text not null default '',
    method       text not null default '',
    scopes       text not null default '', -- space-separated
    acr          text not null default '',
    amr          text not null default '', -- space-separated
    nonce        text not null default '',
    auth_time    integer,
    created      integer not null,
    expires      integer,
    refresh_hash text,
    revoked      integer,
    ended        integer, -- the session is over and its client has been queued a notice
    keep_until   integer not null
) strict;
create index grants_user on grants (user_id);
create index grants_session on grants (session_id);
create index grants_keep_until on grants (keep_until);

create table access_tokens (
    hash     text primary key,
    grant_id text not null references grants (id) on delete cascade,
    expires  integer not null
) strict;
create index access_tokens_grant on access_tokens (grant_id);
create index access_tokens_expires on access_tokens (expires);

-- Sessions that were signed out: a code of theirs that is still on its way
-- brings nothing any more.
create table ended_sessions (
    id text primary key,
    at integer not null
) strict;
create index ended_sessions_at on ended_sessions (at);

create table logout_notices (
    id         text primary key, -- session and client: one notice each
    client     text not null,
    user_id    text not null,
    session_id text not null,
    created    integer not null,
    due        integer not null,
    attempts   integer not null,
    reason     text not null,
    dead       integer
) strict;
create index logout_notices_due on logout_notices (due) where dead is null;

create table signing_keys (
    id      text primary key,
    kind    text not null,
    state   text not null constraint signing_keys_state check (state in ('next', 'current', 'retired')),
    sealed  text not null,
    created integer not null,
    moved   integer not null
) strict;
create unique index signing_keys_one_current on signing_keys (kind) where state = 'current';
create unique index signing_keys_one_next on signing_keys (kind) where state = 'next';
