"""Nodes of the table of names: made when asked for, shared, kept within limits, and freed with the table."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable

import pytest

from dnsd.engine import names as module
from dnsd.engine.compile_node import StoredAnswers, compile_node
from dnsd.engine.edge_rules import AS_STORED, EDGE, NO_HTTPS, NO_V6, NOT_SERVED, edge_rule
from dnsd.engine.entry import OCCLUDED, PLAIN, SPECIAL, row
from dnsd.engine.names import NameTable, kind_of, rule_number, stored_name, unpacked_rrset, zone_number
from dnsd.engine.node import REFUSED_NODE, Apex, Edge
from dnsd.engine.table import packed_table
from dnsd.wire.message import IN, NXDOMAIN, RECORD_FIXED
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import AAAA, ANY, NS, SOA, A

SOA_DATA = b"\0\0" + bytes(16) + (60).to_bytes(4)
HOSTS = [parse_name_text(f"h{number}.example.com") for number in range(50)]


def body(rtype: int, *rdatas: bytes) -> tuple[int, int, bytes]:
    parts = [b"\xc0\x0c" + RECORD_FIXED.pack(rtype, IN, 300, len(rdata)) + rdata for rdata in rdatas]
    return rtype, len(parts), b"".join(parts)


def table(number: int = 0, more: Iterable[bytes] = (), *, rule: int = AS_STORED) -> NameTable:
    """One zone with HOSTS and other rows."""
    apex = parse_name_text("example.com")
    at_apex = row(PLAIN, kind_of(number, AS_STORED), apex, [body(SOA, SOA_DATA), body(NS, HOSTS[0])])
    sets = [() if rule & EDGE else (body(A, bytes((10, 0, 0, one))),) for one in range(len(HOSTS))]
    hosts = (row(PLAIN, kind_of(number, rule), host, data) for host, data in zip(HOSTS, sets, strict=True))
    octets = b"".join([at_apex, *hosts, *more])
    zones = [*[None] * number, Apex("z1", "a1", apex, verified=True)]
    return NameTable(packed_table({apex: (kind_of(number, AS_STORED), octets)}), zones)


def test_kind_has_a_zone_and_a_rule() -> None:
    kind = kind_of(70_000, EDGE | NO_V6)
    assert (zone_number(kind), rule_number(kind)) == (70_000, EDGE | NO_V6)


@pytest.mark.parametrize(("number", "types"), [(EDGE, 3), (EDGE | NO_V6, 2), (EDGE | NO_HTTPS, 2), (EDGE + 19, 0)])
def test_edge_rule_has_the_keys_that_it_shows(number: int, types: int) -> None:
    rule = edge_rule(number)
    assert rule is not None
    assert rule is edge_rule(number)
    assert len(rule.keys) == types
    assert edge_rule(AS_STORED) is edge_rule(NOT_SERVED) is None


def test_entry_is_read_as_it_was_packed() -> None:
    names = table(70_000)
    head, packed = names.table.head(HOSTS[7]), names.table.find_set(A, HOSTS[7])
    assert head is not None
    assert packed is not None
    rrset = unpacked_rrset(A, packed.body)
    assert (rrset.ttl, rrset.rdatas, stored_name(head).types) == (300, (b"\x0a\0\0\x07",), (A,))
    assert names.apex(head).zone_id == "z1"


def test_mapping_has_names_that_exist() -> None:
    cut = parse_name_text("sub.example.com")
    below = parse_name_text("ns.a.sub.example.com")
    kind = kind_of(0, AS_STORED)
    names = table(0, [row(PLAIN, kind, cut, [body(NS, below)]), row(PLAIN, kind, below, [body(AAAA, bytes(16))])])
    assert len(names) == len(set(names)) == len(HOSTS) + 2
    assert cut in names
    assert below not in names
    assert names.entry(below) is None
    assert names.table.find(below).flags & OCCLUDED  # type: ignore[union-attr]
    assert names[cut].otherwise.additional[0].owner == below
    with pytest.raises(KeyError):
        names[below]
    assert names.get(below, REFUSED_NODE) is REFUSED_NODE


def test_proxied_names_share_a_node() -> None:
    names = table(rule=EDGE)
    assert len({id(names[host]) for host in HOSTS}) == 1
    assert isinstance(names[HOSTS[0]].rule, Edge)


def test_nodes_asked_for_often_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GENERATION", 10)
    names = table()
    often = names[HOSTS[0]]
    made = 0
    for _ in range(3):
        for host in HOSTS[1:]:
            before = dict.get(names._nodes, host) or names._nodes._old.get(host)
            made += names[host] is not before
            assert names[HOSTS[0]] is often
    assert made == 3 * (len(HOSTS) - 1)
    assert len(names._nodes) + len(names._nodes._old) <= 20


def test_nodes_with_large_answers_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a tenant's large RRsets, asked for by name after name, would fill a worker's memory."""
    monkeypatch.setattr(module, "GENERATION_OCTETS", 10 * 16)
    names = table()
    kept: set[int] = set()
    for host in HOSTS * 2:
        assert names[host].answers[A].body
        nodes = [*names._nodes.values(), *names._nodes._old.values()]
        kept.add(sum(len(node.answers.ready) for node in nodes if isinstance(node.answers, StoredAnswers)))
    assert 2 <= max(kept) <= 22


@pytest.mark.parametrize("rule", [EDGE, AS_STORED])
def test_table_is_freed_with_its_last_reference(rule: int) -> None:
    gc.disable()
    try:
        names = table(rule=rule)
        assert names[HOSTS[0]].answers[ANY]
        gone = weakref.ref(names)
        del names
        assert gone() is None
    finally:
        gc.enable()


def test_zone_that_is_not_served_is_refused() -> None:
    apex = parse_name_text("example.com")
    octets = row(PLAIN, kind_of(0, NOT_SERVED), apex)
    names = NameTable(packed_table({apex: (0, octets)}), [Apex("z1", "a1", apex, verified=True)])
    assert names[apex] is REFUSED_NODE


def test_names_below_ordinary_names_make_no_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else questions for them, each below another name, would cost a node each."""
    wildcard = row(SPECIAL, kind_of(0, AS_STORED), b"\x01*" + HOSTS[3], [body(A, bytes(4))])
    names = table(more=[wildcard])
    made: list[bytes] = []
    monkeypatch.setattr(
        module, "compile_node", lambda zone, name, stored: made.append(name) or compile_node(zone, name, stored)
    )
    nowhere = {names.below(host) for host in HOSTS if host != HOSTS[3]}
    assert [one.otherwise.rcode for one in nowhere if one] == [NXDOMAIN]
    assert made == []
    assert names.below(HOSTS[3]) is names.node_at(b"\x01*" + HOSTS[3])
    assert names.below(b"\x04none" + HOSTS[0]) is None
