-- Results of the public card test: codes, and nothing of a card or a person.

-- +goose Up

create table card_tests (
    code    text collate "C" primary key, -- the support code
    verdict text not null,
    failed  text not null,
    kind    text not null,
    mode    text not null,
    tls     text not null,
    at      timestamptz not null
);

create index card_tests_at on card_tests (at);
