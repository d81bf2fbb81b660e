"""Chains that met flattening, and DS at a child zone's apex: reduced cases from generated worlds."""

from __future__ import annotations

import pathlib

import dns.message
import pytest

from dnsd.app import load
from dnsd.engine.respond import respond
from tests.reference import Expected, expect
from tests.worlds import AccountFiles, Fields, World, write_world

APEX = "example.com"


def alias(name: str, target: str, *, flatten: bool = False) -> Fields:
    settings: Fields = {"settings": {"flatten_cname": True}} if flatten else {}
    return {"name": name, "type": "CNAME", "content": f"{target}.{APEX}", "ttl": 600, **settings}


def address(name: str, *, proxied: bool = False) -> Fields:
    return {"name": name, "type": "A", "content": "192.0.2.1", "proxied": proxied}


def chain(links: int, *flattened: int) -> list[Fields]:
    aliases = [alias(f"c{i}", f"c{i + 1}", flatten=i in flattened) for i in range(links)]
    return [*aliases, address(f"c{links}")]


DNAME = {"name": "d", "type": "DNAME", "content": f"f.{APEX}", "ttl": 600}
CHILD = {f"sub.{APEX}": [address("@")]}

CASES: dict[str, tuple[dict[str, list[Fields]], list[str]]] = {
    "two flattened in a circle": (
        {APEX: [alias("a", "b", flatten=True), alias("b", "a", flatten=True)]},
        ["a A", "b A"],
    ),
    "a plain one into the circle": (
        {APEX: [alias("p", "a"), alias("a", "b", flatten=True), alias("b", "a", flatten=True)]},
        ["p A"],
    ),
    "a flattened one back to the plain one": ({APEX: [alias("p", "a"), alias("a", "p", flatten=True)]}, ["p A", "a A"]),
    "flattened, and too long": ({APEX: chain(11, 0)}, ["c0 A", "c3 A"]),
    "flattened twice, and too long": ({APEX: chain(11, 0, 1)}, ["c0 A", "c1 A"]),
    "plain ones before a flattened one": ({APEX: chain(9, 5)}, ["c0 A", "c1 A", "c5 A"]),
    "seven plain ones, a flattened, a plain": ({APEX: chain(9, 7)}, ["c0 A"]),
    "flattened through a DNAME": ({APEX: [alias("a", "x.d", flatten=True), DNAME, address("x.f")]}, ["a A"]),
    "a circle through a DNAME": ({APEX: [alias("a", "x.d", flatten=True), DNAME, alias("x.f", "a")]}, ["a A", "x.d A"]),
    "DS, the parent proxied there": ({APEX: [address("sub", proxied=True)], **CHILD}, ["sub DS", "sub A"]),
    "DS, the parent with a CNAME there": ({APEX: [alias("sub", "x")], **CHILD}, ["sub DS", "sub A"]),
    "DS, the parent's wildcard": ({APEX: [address("*", proxied=True)], **CHILD}, ["sub DS"]),
    "DS, the parent's wildcard CNAME": ({APEX: [alias("*", "t"), address("t")], **CHILD}, ["sub DS"]),
}


@pytest.mark.parametrize(("zones", "questions"), CASES.values(), ids=CASES.keys())
def test_answer_equals_the_reference(
    tmp_path: pathlib.Path, zones: dict[str, list[Fields]], questions: list[str]
) -> None:
    files = AccountFiles(zones={f"{name}.yaml": {"records": records} for name, records in zones.items()})
    world = World({"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.edu"]}, {"acme": files})
    snapshot = load(write_world(world, tmp_path), {}).snapshot
    for name, qtype in (question.split() for question in questions):
        expected: Expected = expect(world, f"{name}.{APEX}", qtype)
        reply = respond(snapshot, dns.message.make_query(f"{name}.{APEX}", qtype).to_wire())
        assert reply is not None
        message = dns.message.from_wire(reply)
        assert message.rcode() == expected.rcode, name
        owners = [(rrset.name.to_text(), rrset.rdtype) for rrset in message.answer]
        assert owners == list(dict.fromkeys((owner.to_text(), rdtype) for owner, rdtype, _, _ in expected.answer)), name
