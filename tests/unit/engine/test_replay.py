"""A question answered from two snapshots: the kind of change, and the answers in words."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.replay import MAX_DATA, MAX_RECORDS, AnswerChange, answer_words, replayed
from dnsd.engine.respond import find, parse
from dnsd.engine.snapshot import Snapshot
from dnsd.model.dataset import Dataset
from tests.models import dataset, proxied, record, zone, zone_map
from tests.packets import query, wire_name

OPTIONS = Options(tuple(map(ip_address, ("198.51.100.10", "2001:db8:f::10"))))
V4, V4B, V6 = "203.0.113.10", "203.0.113.11", "2001:db8:100::10"
WWW, MAIL, TEXT = proxied("www A 192.0.2.1"), record("mail A 192.0.2.2"), record("mail TXT x")
ALIAS, FLAT = (
    record("to CNAME www.example.com"),
    record("flat CNAME away.example.com", settings={"flatten_cname": True}),
)
AWAY = record("away A 192.0.2.3")


def world(*records: object, ips: tuple[str, ...] = (V4, V6), serial: int = 1, **fields: object) -> Dataset:
    """One zone with a map."""
    soa = record(f"@ SOA ns1.example.net. host.example.net. {serial} 2 3 4 5")
    enabled = fields.pop("enabled", True)
    made = zone("example.com", [soa, *records], **fields)  # type: ignore[list-item, arg-type]
    return dataset([made], {"a1/shop": zone_map("example.com", *ips, enabled=enabled)})


def snapshot(data: Dataset, previous: Snapshot | None = None) -> Snapshot:
    return build_snapshot(data, OPTIONS, previous)


WHOLE = world(WWW, MAIL, TEXT, ALIAS, FLAT, AWAY)
NOTHING = dataset([], {})
CASES = {
    "nothing": (WHOLE, WHOLE, "www A", None),
    "a serial, in a denial": (WHOLE, world(WWW, MAIL, TEXT, ALIAS, FLAT, AWAY, serial=9), "no A", None),
    "a serial, in its own record": (WHOLE, world(WWW, MAIL, TEXT, ALIAS, FLAT, AWAY, serial=9), "@ SOA", None),
    "the order of addresses": (world(WWW, ips=(V4, V4B)), world(WWW, ips=(V4B, V4)), "www A", None),
    "another record": (WHOLE, world(WWW, record("mail A 192.0.2.9")), "mail A", AnswerChange.OTHER),
    "another TTL": (world(MAIL), world(record("mail A 192.0.2.2", ttl=60)), "mail A", AnswerChange.OTHER),
    "other edge addresses": (WHOLE, world(WWW, ips=(V4B, V6)), "www A", AnswerChange.OTHER),
    "a new name": (world(WWW), WHOLE, "mail A", AnswerChange.OTHER),
    "a name less": (WHOLE, world(WWW), "mail A", AnswerChange.NXDOMAIN),
    "a type less": (WHOLE, world(WWW, TEXT), "mail A", AnswerChange.NO_DATA),
    "a denial for another": (world(WWW, TEXT), world(WWW), "mail A", AnswerChange.OTHER),
    "a family less": (WHOLE, world(WWW, ips=(V4,)), "www AAAA", AnswerChange.NO_DATA),
    "an alias to a name less": (WHOLE, world(MAIL, ALIAS), "to A", AnswerChange.NXDOMAIN),
    "a map less": (WHOLE, world(WWW, enabled=False), "www A", AnswerChange.ONTO_POOL),
    "an alias to a map less": (WHOLE, world(WWW, ALIAS, enabled=False), "to A", AnswerChange.ONTO_POOL),
    "a paused zone": (WHOLE, world(WWW, paused=True), "www A", AnswerChange.INTO_OPEN),
    "a name less to flatten to": (
        WHOLE,
        world(WWW, record("flat CNAME away.example.org", settings={"flatten_cname": True})),
        "flat A",
        AnswerChange.SERVFAIL,
    ),
    "a zone less": (WHOLE, NOTHING, "www A", AnswerChange.REFUSED),
    "a new zone": (NOTHING, WHOLE, "www A", AnswerChange.OTHER),
    "no zone": (NOTHING, NOTHING, "www A", None),
}


def asked(text: str) -> tuple[bytes, str]:
    name, rtype = text.split()
    return wire_name("example.com" if name == "@" else f"{name}.example.com"), rtype


@pytest.mark.parametrize(("before", "after", "question", "change"), CASES.values(), ids=CASES.keys())
def test_change_of_an_answer(before: Dataset, after: Dataset, question: str, change: AnswerChange | None) -> None:
    old = snapshot(before)
    qname, rtype = asked(question)
    qtype = int.from_bytes(query(qname, rtype)[-4:-2])
    found = replayed(old, snapshot(after, old), qname, qtype)
    assert found
    assert found.change is change


def test_what_is_no_name_is_no_question() -> None:
    old = snapshot(WHOLE)
    for octets in (b"", b"\3www", b"\xc0\x0c", b"\x40" + b"x" * 64 + b"\0"):
        assert replayed(old, old, octets, 1) is None


def test_map_is_the_one_that_answered_before() -> None:
    old = snapshot(WHOLE)
    new = snapshot(world(WWW, MAIL, enabled=False), old)
    for name, key in (("www", "a1/maps/shop"), ("mail", "")):
        found = replayed(old, new, wire_name(f"{name}.example.com"), 1)
        assert found
        assert found.map == key


def words(data: Dataset, question: str) -> str:
    made = snapshot(data)
    parsed = parse(made, query(*asked(question)))
    assert parsed
    return answer_words(find(made, parsed))


def test_answers_in_words() -> None:
    assert words(WHOLE, "www A") == f"A {V4}"
    assert words(WHOLE, "to A") == f"CNAME www.example.com., A {V4}"
    assert words(WHOLE, "mail AAAA") == "no data"
    assert words(WHOLE, "no A") == "NXDOMAIN"
    assert words(NOTHING, "www A") == "REFUSED"
    assert words(world(record("sub NS ns.example.net.")), "x.sub A") == "NS ns.example.net."


def test_long_answers_in_words_are_cut() -> None:
    many = [record(f"many A 192.0.2.{number}") for number in range(MAX_RECORDS + 3)]
    long = record('long TXT "' + "x" * 200 + '"')
    data = world(*many, long)
    assert words(data, "many A").count("A 192.0.2.") == MAX_RECORDS
    assert words(data, "many A").endswith(", …")
    assert len(words(data, "long TXT")) == len("TXT ") + MAX_DATA + 1
