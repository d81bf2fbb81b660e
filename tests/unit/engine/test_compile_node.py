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
    node_below,
)
from dnsd.engine.entry import CUT, EMPTY, OCCLUDED
from dnsd.engine.node import REFUSED_NODE, Alias, Apex, Edge, Flattened, Node, Redirection
from dnsd.wire.message import MAX_MESSAGE_SIZE, NXDOMAIN
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import AAAA, ANY, CNAME, DNAME, DS, MX, NS, SOA, TXT, A

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
        self.names = {wire(name): flags for name, (flags, _) in {"@": (0, []), **names}.items()}
        self.rrsets = {wire(name): rrsets(lines) for name, (_, lines) in {"@": (0, [SOA_TEXT]), **names}.items()}
        self.edges = {wire(name): edge for name, edge in (edges or {}).items()}
        self.flattened = {wire(name) for name in flattened}
        self.apex = Apex("z1", "a1", wire("@"), verified=True)
        self.nodata, self.nowhere = denials(self.apex, rrsets([SOA_TEXT])[SOA])
        self.read: list[tuple[bytes, int]] = []  # the RRsets that were asked for
        self.kept: list[Answer] = []

    def stored(self, name: bytes) -> StoredName:
        types = tuple(self.rrsets[name])
        return StoredName(self.names[name], types, self.edges.get(name), name in self.flattened)

    def rrset(self, name: bytes, rtype: int) -> Rrset | None:
        self.read.append((name, rtype))
        return self.rrsets.get(name, {}).get(rtype)

    def node(self, name: bytes) -> Node | None:
        is_here = name in self.names and not self.names[name] & OCCLUDED
        return compile_node(self, name, self.stored(name)) if is_here else None

    def keep(self, answer: Answer) -> None:
        self.kept.append(answer)


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
    assert node_below(zone, wire("www")) is zone.nowhere
    assert node.rule is None
    assert 4711 not in node.answers
    with pytest.raises(KeyError):
        node.answers[4711]


def test_answers_are_compiled_when_asked_for_and_kept() -> None:
    zone = DictZone({"www": (0, ["A 60 192.0.2.1", "MX 60 10 mail.example.com.", "TXT 30 x"])})
    node = node_at(zone, "www")
    assert zone.read == zone.kept == []
    answer = node.answers[TXT]
    assert (node.answers[TXT], node.answers.get(TXT)) == (answer, answer)
    assert zone.read == [(wire("www"), TXT)]
    assert zone.kept == [answer]


def test_referral_reads_the_addresses_of_its_name_servers_alone() -> None:
    zone = DictZone(DELEGATED)
    node_at(zone, "sub")
    hosts = [wire("ns1.sub"), wire("ns")]
    assert zone.read == [(wire("sub"), NS), *((host, rtype) for host in hosts for rtype in (A, AAAA))]


@pytest.mark.parametrize("are_inside", [True, False])
def test_glue_that_no_reply_has_room_for_is_not_read(are_inside: bool) -> None:
    hosts = [f"h{number}.sub" if are_inside else f"h{number}" for number in range(100)]
    zone = DictZone({"sub": (CUT, [f"NS 60 {host}.{ZONE}." for host in hosts])})
    addresses = Rrset(None, A, 60, tuple(bytes((10, 0, *divmod(number, 250))) for number in range(300)))
    zone.rrsets.update((wire(host), {A: addresses}) for host in hosts)
    referral = node_at(zone, "sub").otherwise
    assert len({name for name, _ in zone.read}) < 20
    assert len(referral.body) > MAX_MESSAGE_SIZE
    fitted = referral.fitted(60_000)
    assert bool(fitted.body) is not are_inside


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
    assert node_below(zone, wire("sub")).otherwise.body == node.otherwise.body
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
    found = answering_node(zone, wire("a.b"))
    assert found.answers[A].answer[0].rdatas == (b"\xc0\x00\x02\x09",)
    below = answering_node(zone, wire("x.d"))
    assert below.rule == Redirection(rrsets(names["d"][1])[DNAME]._replace(owner=wire("d")), wire("d"), wire("t"))
    assert below.answers == {}


@pytest.mark.parametrize("lines", [[], ["MX 60 10 mail.example.com."]], ids=["alone", "with other records"])
def test_proxied_name(lines: list[str]) -> None:
    zone = DictZone({"w": (0, lines)}, edges={"w": EDGE})
    node = node_at(zone, "w")
    assert node.rule is EDGE
    assert set(node.answers) == {ANY} | ({MX} if lines else set())


@pytest.mark.parametrize("is_cut", [True, False])
def test_apex_below_a_parent_zone_leaves_ds_to_it(is_cut: bool) -> None:
    parent = DictZone({"sub": (CUT, ["NS 60 ns.example.net."])} if is_cut else {})
    child = node_at(DictZone({"@": (0, [SOA_TEXT, f"DS 60 1 13 2 {'ab' * 32}", "A 60 192.0.2.1"])}), "@")
    node = child_apex_node(child, answering_node(parent, wire("sub")))
    assert set(node.answers) == {A, SOA, ANY}
    assert node.parent is not None
    assert (DS in node.parent.answers) is is_cut
    assert child_apex_node(child, REFUSED_NODE).parent is None
