"""Entries of the audit log as sentences, grouped by request."""

from __future__ import annotations

from typing import Any

import pytest

from dnsd.dashboard.audit_words import PHRASES, AuditWords
from dnsd.manage.audit_entries import AREAS
from tests.models import account_map, dataset, zone

ZONE = zone("example.com")
DATA = dataset([ZONE], {"a1/all": account_map("203.0.113.7", description="Everything")})
WORDS = AuditWords(DATA)
(MAP,) = DATA.maps.values()


def entry(action: str, key: str, **more: Any) -> dict[str, Any]:
    return {"at": "2026-01-02T03:04:05Z", "action": action, "object": key, "outcome": "ok", "revision": 7, **more}


def lists(name: str, before: list[Any], after: list[Any]) -> dict[str, Any]:
    return {"before": {name: before}, "after": {name: after}}


WWW, MX = {"name": "www", "type": "A", "content": "192.0.2.1"}, {"name": "@", "type": "MX", "content": "10 mail"}
IPS, MEMBER = ["203.0.113.7"], {"kind": "zone", "identifier": "example.com"}
MANY = [WWW | {"name": f"n{number}"} for number in range(9)]
FIVE = [f"n{number} A" for number in range(5)]
SENTENCES = [  # action, object, state, sentence
    ("map.edit", MAP.key, {}, "edited Everything"),
    ("map.remove_ip", MAP.key, lists("ips", [*IPS, "203.0.113.8"], IPS), "removed 203.0.113.8 from Everything"),
    ("map.add_ip", MAP.key, lists("ips", [], ["203.0.113.7"]), "added 203.0.113.7 to Everything"),
    ("map.add_ip", MAP.key, {}, "added parts to Everything"),
    ("map.add_zone", MAP.key, lists("memberships", [], [MEMBER]), "added example.com to Everything"),
    ("map.delete", "a1/maps/gone", {}, "deleted gone"),
    ("record.create", ZONE.key, lists("records", [], [WWW]), "created www A in example.com"),
    ("record.edit", ZONE.key, lists("records", [WWW], [WWW | {"ttl": 60}]), "changed www A in example.com"),
    ("record.batch", ZONE.key, lists("records", [WWW, MX], []), "changed www A, @ MX in example.com"),
    ("record.batch", ZONE.key, {"after": "{\"records\": [… cut"}, "changed records in example.com"),
    ("record.import", ZONE.key, lists("records", [], MANY), f"imported {', '.join(FIVE)} and 4 more into example.com"),
    ("prefix.create", "a1", lists("prefixes", [], [{"cidr": "198.51.100.0/24"}]), "added 198.51.100.0/24 to a1"),
    ("lease.delete", "a1", lists("static_ips", ["192.0.2.9"], []), "took back 192.0.2.9 from a1"),
    ("something.new", "", {}, "something.new "),
]  # fmt: skip


@pytest.mark.parametrize(("action", "key", "state", "expected"), SENTENCES)
def test_sentence_names_parts_and_object(action: str, key: str, state: dict[str, Any], expected: str) -> None:
    ((sentence,),) = (one.sentences for one in WORDS.changes([entry(action, key, **state)]))
    assert f"{sentence.before}{sentence.title}{sentence.after}" == expected


def test_refused_request_has_no_past_tense() -> None:
    (change,) = WORDS.changes([entry("map.delete", MAP.key, outcome="refused", message="disable it first")])
    assert change.sentences[0].before == "tried to delete "
    assert (change.outcome, change.message) == ("refused", "disable it first")


def test_objects_that_exist_have_links() -> None:
    actions = (
        ("map.edit", MAP.key),
        ("zone.edit", ZONE.key),
        ("record.edit", ZONE.key),
        ("prefix.edit", "a1"),
        ("map.edit", "a1/maps/x"),
    )
    urls = [WORDS.changes([entry(*one)])[0].sentences[0].url for one in actions]
    account = f"/accounts/{MAP.account_id}"
    zone_url = f"/zones/{ZONE.id}"
    assert urls == [f"{account}/maps/{MAP.id}", zone_url, f"{zone_url}/records", f"{account}/addresses", ""]


def test_entries_of_one_request_are_one_change() -> None:
    entries = [
        entry("zone.delete", ZONE.key),
        entry("zone.delete", MAP.key),
        entry("zone.delete", ZONE.key, revision=6),
        entry("zone.delete", ZONE.key, revision=6, actor={"id": "x", "name": "jane"}),
    ]
    found = WORDS.changes(entries)
    assert [(one.actor, len(one.sentences)) for one in found] == [("", 2), ("", 1), ("jane", 1)]


def test_every_action_of_the_log_s_areas_has_words() -> None:
    assert {action.partition(".")[0] for action in PHRASES} == AREAS.keys() | {"brake", "edge"}
