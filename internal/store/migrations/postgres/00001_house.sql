-- The house as it was first built. Applied by goose, once; never edited after a
-- release: what changes later gets a file of its own (docs/adr/0011).
--
-- Identifiers and hashes compare by bytes (collate "C"): quicker, and no index
-- breaks when the operating system changes its collations.

-- +goose Up

create table organisations (
    id                  text collate "C" primary key,
    name                text not null,
    methods             smallint not null constraint organisations_methods check (methods between 1 and 7), -- bits: 1 card, 2 app, 4 token; never empty (S5)
    personal_phones     boolean not null,
    shared_workstations boolean not null,
    delivery            text not null,
    it_contact          text not null,
    disabled            timestamptz,
    created             timestamptz not null,
    version             bigint not null
);

create table users (
    id                 text collate "C" primary key,
    username           text not null,
    username_folded    text collate "C" not null constraint users_username unique,
    organisation       text collate "C" not null references organisations (id),
    given_name         text not null,
    family_name        text not null,
    email              text not null,
    language           text not null,
    disabled           timestamptz,
    created            timestamptz not null,
    signed_in          timestamptz,
    epoch              bigint not null,
    kept_session       text collate "C", -- null: none, so that it equals no session
    version            bigint not null,
    password_hash      text not null,
    password_temporary boolean not null,
    password_expires   timestamptz,
    password_changed   timestamptz
);
create index users_organisation on users (organisation);

create table card_links (
    id             text collate "C" primary key,
    user_id        text collate "C" not null references users (id),
    fingerprint    text collate "C" not null,
    spki           text not null,
    issuer         text not null,
    issuer_dn      text not null,
    serial         text not null,
    subject_serial text not null,
    holder_name    text not null,
    holder_org     text not null,
    not_after      timestamptz,
    linked         timestamptz not null,
    removed        timestamptz,
    removed_reason text not null
);
-- S27: one active card per username, one username per card.
create unique index card_links_one_per_user on card_links (user_id) where removed is null;
create unique index card_links_one_per_card on card_links (fingerprint) where removed is null;
create index card_links_fingerprint on card_links (fingerprint);

create table authenticators (
    id             text collate "C" primary key,
    user_id        text collate "C" not null references users (id),
    kind           smallint not null,
    sealed_key     text not null,
    model          text not null,
    serial         text not null,
    own_device     boolean not null,
    personal_phone boolean not null,
    last_step      bigint not null,
    drift          bigint not null,
    failures       integer not null,
    blocked_until  timestamptz,
    linked         timestamptz not null,
    removed        timestamptz,
    removed_reason text not null
);
-- S41: one active authenticator per username.
create unique index authenticators_one_per_user on authenticators (user_id) where removed is null;

create table audit_events (
    id           bigint generated always as identity primary key,
    at           timestamptz not null,
    type         text not null,
    actor        text not null,
    user_id      text collate "C" not null,
    organisation text collate "C" not null,
    client       text not null,
    session_id   text not null,
    method       text not null,
    reason       text not null,
    address      text not null,
    details      jsonb not null
);
create index audit_events_at on audit_events (at);
create index audit_events_user on audit_events (user_id, id) where user_id <> '';
create index audit_events_organisation on audit_events (organisation, id) where organisation <> '';

-- The trail is append-only, whoever holds the provider's password.
-- +goose StatementBegin
create function audit_events_are_kept() returns trigger language plpgsql as $$
begin
    raise exception 'the audit trail is append-only';
end $$;
-- +goose StatementEnd
create trigger audit_events_are_kept before update or delete or truncate on audit_events
    for each statement execute function audit_events_are_kept();

create table letters (
    id       text collate "C" primary key,
    sealed   text not null,
    created  timestamptz not null,
    due      timestamptz not null, -- a lease moves it to the lease's end
    attempts integer not null,
    reason   text not null,
    dead     timestamptz
);
create index letters_due on letters (due) where dead is null;

create table clients (
    id                        text collate "C" primary key,
    name                      jsonb not null,
    secret_hash               text not null,
    auth_method               text not null,
    native                    boolean not null,
    redirect_uris             jsonb not null,
    post_logout_redirect_uris jsonb not null,
    back_channel_logout_uri   text not null,
    grant_types               jsonb not null,
    scopes                    jsonb not null,
    minimum_acr               text not null,
    methods                   smallint not null,
    algorithm                 text not null,
    require_pkce              boolean not null,
    access_token_ttl          bigint not null, -- nanoseconds
    home_uri                  text not null,
    disabled                  timestamptz,
    created                   timestamptz not null,
    version                   bigint not null
);

-- A row without a user is the mark of a grant that was revoked before it was
-- issued (a replayed code). No foreign key to clients: every issue would lock
-- the one row of a busy client.
create table grants (
    id           text collate "C" primary key,
    client       text collate "C" not null default '',
    user_id      text collate "C" references users (id),
    session_id   text collate "C",
    epoch        bigint not null default 0,
    level        text not null default '',
    method       text not null default '',
    scopes       text not null default '', -- space-separated
    acr          text not null default '',
    amr          text not null default '', -- space-separated
    nonce        text not null default '',
    auth_time    timestamptz,
    created      timestamptz not null,
    expires      timestamptz,
    refresh_hash text,
    revoked      timestamptz,
    ended        timestamptz, -- the session is over and its client has been queued a notice
    keep_until   timestamptz not null
);
create index grants_user on grants (user_id);
create index grants_session on grants (session_id);
create index grants_keep_until on grants (keep_until);

create table access_tokens (
    hash     text collate "C" primary key,
    grant_id text collate "C" not null references grants (id) on delete cascade,
    expires  timestamptz not null
);
create index access_tokens_grant on access_tokens (grant_id);
create index access_tokens_expires on access_tokens (expires);

-- Sessions that were signed out: a code of theirs that is still on its way
-- brings nothing any more.
create table ended_sessions (
    id text collate "C" primary key,
    at timestamptz not null
);
create index ended_sessions_at on ended_sessions (at);

create table logout_notices (
    id         text collate "C" primary key, -- session and client: one notice each
    client     text not null,
    user_id    text not null,
    session_id text not null,
    created    timestamptz not null,
    due        timestamptz not null,
    attempts   integer not null,
    reason     text not null,
    dead       timestamptz
);
create index logout_notices_due on logout_notices (due) where dead is null;

create table signing_keys (
    id      text collate "C" primary key,
    kind    text not null,
    state   text not null constraint signing_keys_state check (state in ('next', 'current', 'retired')),
    sealed  text not null,
    created timestamptz not null,
    moved   timestamptz not null
);
create unique index signing_keys_one_current on signing_keys (kind) where state = 'current';
create unique index signing_keys_one_next on signing_keys (kind) where state = 'next';
