"""Queries on a list of records: the records found, and their order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dnsd.api.records.filter import is_descending, record_filter, sort_key
from dnsd.api.records.read import built_record
from dnsd.api.records.show import record_json
from dnsd.model.columns import Records
from dnsd.model.times import Times
from dnsd.wire.names import parse_name_text

EXAMPLE = parse_name_text("example.com")
TIMES = Times(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
BODIES: dict[str, dict[str, Any]] = {
    "apex": {"type": "A", "name": "@", "content": "192.0.2.1", "proxied": True, "tags": ["env:prod", "team"]},
    "www": {"type": "A", "name": "www", "content": "192.0.2.2", "ttl": 300, "comment": "Web server"},
    "bücher": {"type": "CNAME", "name": "bücher", "content": "Shop.example.org", "tags": ["env:test"]},
    "mail": {"type": "MX", "name": "@", "content": "mail.example.org", "priority": 10},
    "acme": {"type": "TXT", "name": "_acme-challenge.www", "content": "Token_1-a"},
    "quotes": {"type": "TXT", "name": "txt", "content": 'say "é"', "comment": "text"},
    "strings": {"type": "TXT", "name": "txt", "content": '"one" "two"', "ttl": 60},
    "empty": {"type": "TXT", "name": "txt", "content": '""'},
    "sip": {"type": "SRV", "name": "_sip._tcp", "content": "5 5060 sip.example.org", "priority": 10},
}
RECORDS = {name: built_record(body, EXAMPLE) for name, body in BODIES.items()}
SHOWN = {
    name: record_json(record, "ab" * 16, zone_id="", zone_name="", times=TIMES) for name, record in RECORDS.items()
}
ALL = [*BODIES]


def found(query: dict[str, str]) -> list[str]:
    """The records found by a query, after checking that its early exclusion kept all of them."""
    is_wanted = record_filter(query)
    wanted = [name for name in ALL if is_wanted(SHOWN[name])]
    early = [ALL[index] for index in is_wanted.candidates(Records.of(RECORDS.values()))]
    assert set(wanted) <= set(early) if is_wanted.needs_json else wanted == early
    return wanted


FOUND: dict[str, tuple[dict[str, str], list[str]]] = {
    "no parameters": ({}, ALL),
    "unknown parameters": ({"include_shadow_metadata": "true", "tag_match": "any", "page": "2", "name.like": "x"}, ALL),
    "empty values": (
        dict.fromkeys(("name", "name.contains", "content.endswith", "type", "search", "tag", "match"), ""),
        ALL,
    ),
    "a type": ({"type": "TXT"}, ["acme", "quotes", "strings", "empty"]),
    "a type in lower case": ({"type": "mx"}, ["mail"]),
    "a type without records": ({"type": "AAAA"}, []),
    "an invalid type": ({"type": "ALIAS"}, []),
    "a name": ({"name": "www.example.com"}, ["www"]),
    "a name in capitals, with its final dot": ({"name.exact": "WWW.example.COM."}, ["www"]),
    "a name with letters outside ASCII": ({"name": "bücher.example.com"}, ["bücher"]),
    "a name in its ASCII form": ({"name": "xn--bcher-kva.example.com"}, ["bücher"]),
    "the apex": ({"name": "example.com"}, ["apex", "mail"]),
    "a name and a type": ({"name": "example.com", "type": "MX"}, ["mail"]),
    "an invalid name": ({"name": "a..b"}, []),
    "a part of a name": ({"name.contains": "WWW"}, ["www", "acme"]),
    "the beginning of a name": ({"name.startswith": "_"}, ["acme", "sip"]),
    "the end of a name": ({"name.endswith": "tcp.example.com."}, ["sip"]),
    "an address": ({"content": "192.0.2.1"}, ["apex"]),
    "a target": ({"content": "shop.example.org"}, ["bücher"]),
    "a target with its final dot": ({"content.exact": "shop.example.org."}, ["bücher"]),
    "a target with its priority": ({"content": "10 mail.example.org"}, ["mail"]),
    "the whole of SRV": ({"content": "10 5 5060 sip.example.org"}, ["sip"]),
    "text without quotes": ({"content": "token_1-a"}, ["acme"]),
    "text in quotes": ({"content.exact": '"Token_1-a"'}, ["acme"]),
    "text with quotes in it": ({"content": 'say "é"'}, ["quotes"]),
    "text as shown": ({"content": r'"say \"\195\169\""'}, ["quotes"]),
    "text in another case": ({"content": 'SAY "É"'}, ["quotes"]),
    "text of strings": ({"content": '"one" "two"'}, ["strings"]),
    "text of strings, joined": ({"content": "onetwo"}, ["strings"]),
    "text without any": ({"content": '""'}, ["empty"]),
    "an open quote": ({"content": '"one'}, []),
    "a part of the content": ({"content.contains": "TOKEN"}, ["acme"]),
    "the beginning of the content": ({"content.startswith": "say"}, ["quotes"]),
    "the beginning of the content, in quotes": ({"content.startswith": '"say'}, ["quotes"]),
    "the end of the content": ({"content.endswith": "example.org"}, ["bücher", "mail", "sip"]),
    "proxied": ({"proxied": "true"}, ["apex"]),
    "not proxied": ({"proxied": "False"}, ALL[1:]),
    "an invalid `proxied`": ({"proxied": "yes"}, ALL),
    "a comment": ({"comment": "web SERVER"}, ["www"]),
    "a part of a comment": ({"comment.contains": "e"}, ["www", "quotes"]),
    "the beginning of a comment": ({"comment.startswith": "web"}, ["www"]),
    "any comment": ({"comment.present": ""}, ["www", "quotes"]),
    "no comment": ({"comment.absent": "true", "type": "A"}, ["apex"]),
    "a tag": ({"tag": "env:PROD"}, ["apex"]),
    "a tag without a value": ({"tag.exact": "team"}, ["apex"]),
    "a part of a tag": ({"tag.contains": "env:t"}, ["bücher"]),
    "the beginning of a tag": ({"tag.startswith": "env:pr"}, ["apex"]),
    "a tag's name": ({"tag.present": "env"}, ["apex", "bücher"]),
    "all but a tag's name": ({"tag.absent": "env", "type": "A"}, ["www"]),
    "two tags": ({"tag.present": "env", "tag": "team"}, ["apex"]),
    "one of two tags": ({"tag.exact": "team", "tag.endswith": "env:test", "tag_match": "any"}, ["apex", "bücher"]),
    "all conditions": ({"type": "TXT", "name": "txt.example.com", "comment.absent": ""}, ["strings", "empty"]),
    "any condition": ({"type": "MX", "name": "www.example.com", "match": "any"}, ["www", "mail"]),
    "any of one condition": ({"type": "MX", "match": "any"}, ["mail"]),
    "any of no conditions": ({"match": "any"}, ALL),
    "a search": ({"search": "EXAMPLE.ORG"}, ["bücher", "mail", "sip"]),
    "a search in comments and tags": ({"search": "TE"}, ["apex", "bücher", "quotes"]),
    "a search and any condition": (
        {"search": "web", "type": "MX", "name": "www.example.com", "match": "any"},
        ["www"],
    ),
    "certbot": (
        {"name.exact": "_acme-challenge.www.example.com", "content.exact": "Token_1-a", "type": "TXT"},
        ["acme"],
    ),
}


@pytest.mark.parametrize(("query", "expected"), FOUND.values(), ids=FOUND.keys())
def test_found(query: dict[str, str], expected: list[str]) -> None:
    assert found(query) == expected


def test_early_exclusion_knows_name_and_type() -> None:
    records = Records.of(RECORDS.values())
    assert [*record_filter({"name": "TXT.example.com", "type": "TXT"}).candidates(records)] == [5, 6, 7]
    assert [*record_filter({"type": "A"}).candidates(records)] == [0, 1]
    assert [*record_filter({"name": "txt.example.com", "type": "A", "match": "any"}).candidates(records)] == [*range(9)]


NEEDING_NO_JSON: list[dict[str, str]] = [
    {},
    {"name": "www.example.com"},
    {"type": "A", "match": "any"},
    {"name.exact": "www.example.com", "type": "A", "page": "2", "content": ""},
]
NEEDING_JSON: list[dict[str, str]] = [
    {"search": "a"},
    {"name": "www.example.com", "type": "A", "content": "192.0.2.1"},
    {"name": "www.example.com", "type": "A", "match": "any"},
    {"name": "www.example.com", "name.exact": "example.com"},
    {"comment.absent": ""},
]


def test_filter_by_name_and_type_builds_no_json() -> None:
    assert not any(record_filter(query).needs_json for query in NEEDING_NO_JSON)
    assert all(record_filter(query).needs_json for query in NEEDING_JSON)


ORDERS = {
    "type": ["apex", "www", "bücher", "mail", "sip", "acme", "empty", "strings", "quotes"],
    "name": ["acme", "sip", "apex", "mail", "empty", "strings", "quotes", "www", "bücher"],
    "ttl": ["acme", "sip", "apex", "mail", "empty", "quotes", "bücher", "strings", "www"],
    "proxied": ["acme", "sip", "mail", "empty", "strings", "quotes", "www", "bücher", "apex"],
}


@pytest.mark.parametrize(("order", "expected"), ORDERS.items(), ids=ORDERS.keys())
def test_order(order: str, expected: list[str]) -> None:
    key = sort_key(order)
    assert key
    assert sorted(ALL, key=lambda name: key(SHOWN[name])) == expected


def test_order_by_content() -> None:
    key = sort_key("content")
    assert key
    contents = [shown["content"] for shown in sorted(SHOWN.values(), key=key)]
    assert contents == sorted(contents)


def test_unknown_order() -> None:
    assert sort_key("") is None
    assert sort_key("id") is None
    assert is_descending("desc")
    assert is_descending("DESC")
    assert not is_descending("")
    assert not is_descending("asc")
