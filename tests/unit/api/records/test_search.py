"""Queries on a list of records: the records found, and their order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dnsd.api.records.order import ORDERS as KNOWN_ORDERS
from dnsd.api.records.order import in_order, is_descending
from dnsd.api.records.read import built_record
from dnsd.api.records.search import record_search
from dnsd.api.records.show import record_json
from dnsd.model.record_parts import finished
from dnsd.model.times import Times
from dnsd.wire.names import parse_name_text
from tests.models import zone
from tests.record_filter import record_filter

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
ZONE = zone("example.com", RECORDS.values())
SHOWN = {
    name: record_json(record, "ab" * 16, zone_id="", zone_name="", times=TIMES) for name, record in RECORDS.items()
}
ALL = [*BODIES]


def found(query: dict[str, str]) -> list[str]:
    """The records found by a query, after checking that the slow model finds the same."""
    names = [ALL[index] for index in finished(record_search(query).found_in(ZONE))]
    assert names == [name for name in ALL if record_filter(query)(SHOWN[name])]
    return names


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


def test_only_a_query_without_conditions_finds_all_unseen() -> None:
    assert record_search({"page": "2", "match": "any", "name": ""}).finds_all
    assert not record_search({"search": "a"}).finds_all
    assert not record_search({"type": "A"}).finds_all


def sorted_names(order: str) -> list[str]:
    indexes = finished(in_order(ZONE, range(len(ALL)), order, 0, len(ALL)))
    return [ALL[index] for index in indexes]


ORDERS = {
    "type": ["apex", "www", "bücher", "mail", "sip", "acme", "empty", "strings", "quotes"],
    "name": ["acme", "sip", "apex", "mail", "empty", "strings", "quotes", "www", "bücher"],
    "ttl": ["acme", "sip", "apex", "mail", "empty", "quotes", "bücher", "strings", "www"],
    "proxied": ["acme", "sip", "mail", "empty", "strings", "quotes", "www", "bücher", "apex"],
}


@pytest.mark.parametrize(("order", "expected"), ORDERS.items(), ids=ORDERS.keys())
def test_order(order: str, expected: list[str]) -> None:
    assert sorted_names(order) == expected


def test_order_by_content() -> None:
    contents = [SHOWN[name]["content"] for name in sorted_names("content")]
    assert contents == sorted(contents)


def test_unknown_order() -> None:
    assert "" not in KNOWN_ORDERS
    assert "id" not in KNOWN_ORDERS
    assert is_descending("desc")
    assert is_descending("DESC")
    assert not is_descending("")
    assert not is_descending("asc")
