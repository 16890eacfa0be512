-- Cards that wait until somebody has looked at whose they are (S29), when a card
-- was used last, and which notice of its end has gone out.

-- +goose Up

alter table organisations add column holder_rule text not null default ''; -- '': approve
alter table organisations add column card_names text not null default '';

alter table card_links add column used timestamptz;
alter table card_links add column noticed smallint not null default 0; -- days before the end: 60, 30 or 7
create index card_links_not_after on card_links (not_after) where removed is null;

-- What card_links will hold. A row goes when it is decided: the audit trail tells
-- what became of it.
create table card_approvals (
    id             text collate "C" primary key,
    user_id        text collate "C" not null unique references users (id),
    fingerprint    text collate "C" not null unique,
    spki           text not null,
    issuer         text not null,
    issuer_dn      text not null,
    serial         text not null,
    subject_serial text not null,
    holder_name    text not null,
    holder_org     text not null,
    not_after      timestamptz,
    proved         smallint not null, -- the second proof that the person had given: 0 for a password alone
    asked          timestamptz not null,
    expires        timestamptz not null
);
create index card_approvals_expires on card_approvals (expires);
