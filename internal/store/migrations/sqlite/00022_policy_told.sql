-- Who was told by letter of a change of policy that is to come: should it be
-- withdrawn, they are owed another letter.

-- +goose Up

create table policy_told (
    id           text primary key,
    organisation text not null references organisations (id),
    effective    integer not null, -- of the change
    user_id      text not null references users (id),
    withdrawn    integer -- null: it is still to come
) strict;
create index policy_told_change on policy_told (organisation, effective);
create index policy_told_withdrawn on policy_told (withdrawn, id) where withdrawn is not null;
