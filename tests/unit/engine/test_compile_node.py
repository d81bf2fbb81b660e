"""Nodes from what a zone stores, for any store: here a dict."""

from __future__ import annotations

from collections.abc import Mapping

import dns.rdata
import dns.rdatatype
import pytest

from dnsd.engine.answer import Answer, Rrset
from dnsd.engine.compile_node import (
    StoredName,
    answering_node,
    child_apex_node,
    compile_node,
    denials,
    is_plain_edge,
)
from dnsd.engine.entry import CUT, EMPTY, OCCLUDED
from dnsd.engine.node import REFUSED_NODE, Alias, Apex, Edge, Flattened, Node, Redirection
from dnsd.wire.message import NXDOMAIN
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import AAAA, ANY, CNAME, DNAME, DS, MX, NS, TXT, A

ZONE = "example.com"
SOA_TEXT = "SOA 3600 ns1.example.com. host.example.com. 1 2 3 4 60"
EDGE = Edge({A: A})
DELEGATED = {
    "sub": (CUT, ["NS 60 ns1.sub.example.com.", "NS 60 ns.example.com.", "NS 60 NS.Elsewhere.example."]),
    "ns1.sub": (OCCLUDED, ["A 60 192.0.2.1", "TXT 60 occluded"]),
    "ns": (0, ["AAAA 60 2001:db8::1"]),
}


def wire(text: str) -> bytes:
    return parse_name_text(text, parse_name_text(ZONE)) if text != "@" else parse_name_text(ZONE)


def rrsets(lines: list[str]) -> dict[int, Rrset]:
    found: dict[int, Rrset] = {}
    for line in lines:
        mnemonic, ttl, text = line.split(" ", 2)
        rtype = dns.rdatatype.from_text(mnemonic)
        rdata = dns.rdata.from_text("IN", rtype, text).to_wire()
        assert rdata is not None
        before = found[rtype].rdatas if rtype in found else ()
        found[rtype] = Rrset(None, int(rtype), int(ttl), (*before, rdata))
    return found


class DictZone:
    """A zone in a dict: name -> flags and records; an edge and flattening by name."""

    def __init__(
        self,
        names: Mapping[str, tuple[int, list[str]]],
        edges: Mapping[str, Edge] | None = None,
        flattened: tuple[str, ...] = (),
    ) -> None:
        self.names = {
            wire(name): StoredName(flags, rrsets(lines), (edges or {}).get(name), name in flattened)
            for name, (flags, lines) in {"@": (0, [SOA_TEXT]), **names}.items()
        }
        self.apex = Apex("z1", "a1", wire("@"), verified=True)
        self.nodata, self.nowhere = denials(self.apex, rrsets([SOA_TEXT])[6])

    def stored(self, name: bytes) -> StoredName | None:
        return self.names.get(name)

    def node(self, name: bytes) -> Node | None:
        found = self.names.get(name)
        return compile_node(self, name, found) if found and not found.flags & OCCLUDED else None


def node_at(zone: DictZone, name: str) -> Node:
    node = zone.node(wire(name))
    assert node is not None
    return node


def glue_of(answer: Answer) -> list[tuple[str, int]]:
    return [(name_text(rrset.owner or b"\0"), rrset.rtype) for rrset in answer.additional]


def test_plain_name() -> None:
    zone = DictZone({"www": (0, ["A 60 192.0.2.1", "A 60 192.0.2.2", "TXT 30 x"])})
    node = node_at(zone, "www")
    assert set(node.answers) == {A, TXT, ANY}
    assert node.answers[A].answer[0].rdatas == (b"\xc0\x00\x02\x01", b"\xc0\x00\x02\x02")
    assert node.otherwise is zone.nodata
    assert node.below is zone.nowhere
    assert node.rule is None


def test_negative_answers_have_the_lower_of_the_soa_s_numbers() -> None:
    zone = DictZone({})
    assert [rrset.ttl for rrset in (*zone.nodata.authority, *zone.nowhere.otherwise.authority)] == [60, 60]
    assert zone.nowhere.otherwise.rcode == NXDOMAIN


def test_empty_nonterminal_has_no_answer_for_any() -> None:
    node = node_at(DictZone({"a": (EMPTY, [])}), "a")
    assert node.answers == {}


def test_delegation_answers_with_the_glue_that_it_has() -> None:
    zone = DictZone(DELEGATED)
    node = node_at(zone, "sub")
    assert set(node.answers) == {DS}
    assert node.answers[DS] is zone.nodata
    assert not node.otherwise.aa
    assert glue_of(node.otherwise) == [("ns1.sub.example.com", A), ("ns.example.com", AAAA)]
    assert node.below is not None
    assert node.below.otherwise is node.otherwise
    assert zone.node(wire("ns1.sub")) is None


def test_glue_of_the_apex_is_optional() -> None:
    zone = DictZone({"@": (0, [SOA_TEXT, "NS 60 ns.example.com.", "NS 60 ns1.sub.example.com."]), **DELEGATED})
    answer = node_at(zone, "@").answers[NS]
    assert glue_of(answer) == [("ns.example.com", AAAA), ("ns1.sub.example.com", A)]
    assert len(answer.shorter) == 2


def test_alias_and_flattened_alias() -> None:
    zone = DictZone({"a": (0, ["CNAME 60 T.example.com."]), "f": (0, ["CNAME 60 T.example.com."])}, flattened=("f",))
    alias, flattened = node_at(zone, "a"), node_at(zone, "f")
    assert alias.rule == Alias(rrsets(["CNAME 60 T.example.com."])[CNAME], wire("t"))
    assert CNAME in alias.answers
    assert flattened.rule == Flattened(60, wire("t"))
    assert set(flattened.answers) == {ANY}


def test_names_below_a_wildcard_and_a_dname() -> None:
    names = {"*": (0, ["A 60 192.0.2.9"]), "d": (0, ["DNAME 60 T.example.com."]), "*.d": (0, ["A 60 192.0.2.8"])}
    zone = DictZone(names)
    found = answering_node(zone.node, wire("a.b"))
    assert found.answers[A].answer[0].rdatas == (b"\xc0\x00\x02\x09",)
    below = answering_node(zone.node, wire("x.d"))
    assert below.rule == Redirection(rrsets(names["d"][1])[DNAME]._replace(owner=wire("d")), wire("d"), wire("t"))
    assert below.answers == {}


@pytest.mark.parametrize(
    ("names", "is_plain"),
    [
        ({"w": (0, [])}, True),
        ({"w": (0, ["MX 60 10 mail.example.com."])}, False),
        ({"w": (0, []), "*.w": (0, ["A 60 192.0.2.1"])}, False),
    ],
    ids=["alone", "with other records", "with a wildcard below"],
)
def test_proxied_name(names: dict[str, tuple[int, list[str]]], is_plain: bool) -> None:
    zone = DictZone(names, edges={"w": EDGE})
    stored = zone.names[wire("w")]
    assert is_plain_edge(zone, wire("w"), stored) is is_plain
    node = compile_node(zone, wire("w"), stored)
    assert node.rule is EDGE
    assert set(node.answers) == {ANY} | ({MX} & set(stored.rrsets))


@pytest.mark.parametrize("is_cut", [True, False])
def test_apex_below_a_parent_zone_leaves_ds_to_it(is_cut: bool) -> None:
    parent = DictZone({"sub": (CUT, ["NS 60 ns.example.net."])} if is_cut else {})
    child = Node(parent.apex, {DS: parent.nodata, A: parent.nodata}, parent.nodata)
    node = child_apex_node(child, answering_node(parent.node, wire("sub")))
    assert set(node.answers) == {A}
    assert node.parent is not None
    assert (DS in node.parent.answers) is is_cut
    assert child_apex_node(child, REFUSED_NODE).parent is None
