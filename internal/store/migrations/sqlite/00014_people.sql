-- What people are found by, and what lists show of them, so that 100,000 of them
-- are as quick to look through as ten (docs/adr/0130).

-- +goose Up

-- The words of names, username and e-mail, folded (identity.Words).
create table user_words (
    word         text not null,
    user_id      text not null references users (id),
    organisation text not null, -- the user's, which never changes
    primary key (word, user_id)
) strict, without rowid;
create index user_words_user on user_words (user_id, word);

-- The version of the user whose words those are. The program before leaves it
-- as it is, and so shows what has to be done anew.
alter table users add column worded integer;
create index users_unworded on users (id) where worded is null or worded <> version;

-- What the active links come to, kept by the triggers below whoever writes.
alter table users add column totp integer not null default 0; -- kind of the active authenticator: 2 app, 4 token; 0 none
alter table users add column codes_blocked integer;           -- until when its codes are refused
alter table users add column card_ends integer;               -- when the active card ends; null: none, or its CA has stopped it

update users set
    totp = coalesce((select kind from authenticators a where a.user_id = users.id and a.removed is null), 0),
    codes_blocked = (select blocked_until from authenticators a where a.user_id = users.id and a.removed is null),
    card_ends = (select not_after from card_links c where c.user_id = users.id and c.removed is null and c.status = '');

-- A list walks one of these in the order of names and looks at nothing else.
create index users_listed on users (username_folded, organisation, disabled, frozen, password_temporary, totp, codes_blocked, card_ends, id);
create index users_listed_organisation on users (organisation, username_folded, disabled, frozen, password_temporary, totp, codes_blocked, card_ends, id);
drop index users_organisation;

-- +goose StatementBegin
create trigger card_links_are_listed after insert on card_links
begin
    update users set card_ends = (select not_after from card_links c where c.user_id = new.user_id and c.removed is null and c.status = '') where id = new.user_id;
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger card_links_stay_listed after update of removed, status, not_after on card_links
begin
    update users set card_ends = (select not_after from card_links c where c.user_id = new.user_id and c.removed is null and c.status = '') where id = new.user_id;
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger authenticators_are_listed after insert on authenticators
begin
    update users set totp = coalesce((select kind from authenticators a where a.user_id = new.user_id and a.removed is null), 0),
        codes_blocked = (select blocked_until from authenticators a where a.user_id = new.user_id and a.removed is null) where id = new.user_id;
end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger authenticators_stay_listed after update of removed, kind, blocked_until on authenticators
begin
    update users set totp = coalesce((select kind from authenticators a where a.user_id = new.user_id and a.removed is null), 0),
        codes_blocked = (select blocked_until from authenticators a where a.user_id = new.user_id and a.removed is null) where id = new.user_id;
end;
-- +goose StatementEnd
