"""From dataset to snapshot: reuse of the previous snapshot, zones inside zones, and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from dnsd.compile.build import Options, build_snapshot, flattening_problems
from dnsd.engine import snapshot as snapshots
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.model.columns import Records
from dnsd.model.fields import parse_ip
from dnsd.model.maps import MissingFamily
from dnsd.model.records import RecordFields
from dnsd.model.zones import Zone
from dnsd.wire.rdata import SOA, A
from tests.limits import growth
from tests.models import Fields, account_map, dataset, proxied, record, zone, zone_map
from tests.packets import answers, query, rcode_text, shown

OPTIONS = Options((parse_ip("198.51.100.10"), parse_ip("2001:db8:f::10")))
WWW = proxied("www A 192.0.2.1")


def built(
    zones: Iterable[Zone],
    maps: dict[str, Fields] | None = None,
    previous: Snapshot | None = None,
    options: Options = OPTIONS,
    accounts: dict[str, Fields] | None = None,
) -> Snapshot:
    return build_snapshot(dataset(zones, maps or {}, accounts), options, previous)


def ask(snapshot: Snapshot, name: str, qtype: str = "A") -> bytes:
    reply = respond(snapshot, query(name, qtype))
    assert reply is not None
    return reply


# Reuse


def test_nothing_changed() -> None:
    zones = [zone("example.com", [WWW]), zone("example.net", [WWW])]
    first = built(zones, {"a1/m": zone_map("example.com", "203.0.113.1")})
    second = built(zones, {"a1/m": zone_map("example.com", "203.0.113.1")}, first)
    assert second.names is first.names
    assert second.revision == first.revision + 1 == 2


def test_map_edit_touches_no_name() -> None:
    zones = [zone("example.com", [WWW]), zone("example.net", [WWW])]
    first = built(zones)
    second = built(zones, {"a1/m": zone_map("example.com", "203.0.113.1")}, first)
    third = built(zones, {"a1/m": account_map("203.0.113.2")}, second)
    assert first.names is second.names is third.names
    for snapshot, com, net in (
        (first, "198.51.100.10", "198.51.100.10"),
        (second, "203.0.113.1", "198.51.100.10"),
        (third, "203.0.113.2", "203.0.113.2"),
    ):
        assert answers(ask(snapshot, "www.example.com")) == [com]
        assert answers(ask(snapshot, "www.example.net")) == [net]


def test_zone_edit_rebuilds_that_zone_alone() -> None:
    kept, edited = zone("example.com", [WWW]), zone("example.net", [WWW])
    first = built([kept, edited])
    second = built([kept, zone("example.net", [WWW, record("new A 192.0.2.2")])], previous=first)
    assert second.zones[kept.id] is first.zones[kept.id]
    assert second.zones[edited.id] is not first.zones[edited.id]
    assert answers(ask(second, "new.example.net")) == ["192.0.2.2"]
    assert rcode_text(ask(first, "new.example.net")) == "NXDOMAIN"


def test_equal_zone_read_again_is_reused() -> None:
    first = built([zone("example.com", [WWW])])
    assert built([zone("example.com", [WWW])], previous=first).names is first.names


CHANGES: dict[str, tuple[Zone, dict[str, Fields]]] = {
    "paused": (zone("example.com", [WWW], paused=True), {"a1": {}}),
    "its account enforces DNS-only": (zone("example.com", [WWW]), {"a1": {"settings": {"enforce_dns_only": True}}}),
}


@pytest.mark.parametrize(("changed", "accounts"), CHANGES.values(), ids=CHANGES.keys())
def test_change_of_a_zone_s_state_is_seen(changed: Zone, accounts: dict[str, Fields]) -> None:
    first = built([zone("example.com", [WWW])])
    second = built([changed], previous=first, accounts=accounts)
    third = built([zone("example.com", [WWW])], previous=second)
    assert [answers(ask(one, "www.example.com")) for one in (first, second, third)] == [
        ["198.51.100.10"],
        ["192.0.2.1"],
        ["198.51.100.10"],
    ]


def test_removed_zone_is_refused() -> None:
    first = built([zone("example.com", [WWW]), zone("example.net")])
    second = built([zone("example.net")], previous=first)
    assert rcode_text(ask(second, "www.example.com")) == "REFUSED"


def test_only_the_settings_change() -> None:
    zones, maps = (
        [zone("example.com", [WWW])],
        {"a1/m": zone_map("example.com", "203.0.113.1"), "a1/a": account_map("2001:db8:100::1")},
    )
    first = built(zones, maps)
    fallback = replace(OPTIONS, missing_family=MissingFamily.FALLBACK)
    second = built(zones, maps, first, fallback)
    assert second.names is first.names
    assert answers(ask(first, "www.example.com", "AAAA")) == []
    assert answers(ask(second, "www.example.com", "AAAA")) == ["2001:db8:100::1"]
    third = built(zones, {}, second, Options((parse_ip("198.51.100.99"),)))
    assert answers(ask(third, "www.example.com")) == ["198.51.100.99"]


def test_chains_are_not_reused() -> None:
    """A cached chain that ends at a proxied name contains the addresses of the map at that time."""
    zones = [zone("example.com", [WWW, record("a CNAME www.example.com")])]
    first = built(zones)
    assert answers(ask(first, "a.example.com"))[-1] == "198.51.100.10"
    second = built(zones, {"a1/m": zone_map("example.com", "203.0.113.1")}, first)
    assert answers(ask(second, "a.example.com"))[-1] == "203.0.113.1"
    assert answers(ask(first, "a.example.com"))[-1] == "198.51.100.10"


def test_map_edit_does_not_depend_on_the_number_of_names() -> None:
    base = zone("example.com", [WWW])
    template = next(one for one in base.records if one.proxied)
    owners = (b"\x06%06d" % number + base.name for number in range(100_000))
    large = replace(base, records=(*base.records, *(replace(template, owner=owner) for owner in owners)))
    first, data = {}, {}
    for names, one in ((100, replace(large, records=large.records[:100])), (100_000, large)):
        first[names] = built([one])
        data[names] = dataset([one], {"a1/m": zone_map("example.com", "203.0.113.1")})
    assert len(first[100_000].names) > 1_000 * len(first[100].names)
    second = build_snapshot(data[100_000], OPTIONS, first[100_000])
    assert second.names is first[100_000].names
    assert answers(ask(second, "099999.example.com")) == ["203.0.113.1"]

    def edits_of(names: int) -> Callable[[], object]:
        return lambda: [build_snapshot(data[names], OPTIONS, first[names]) for _ in range(10)]

    assert growth(edits_of, 100, 100_000, enough=10) <= 10
    # Equal names share one node, so that a million of them fit in memory.
    assert len(set(map(id, first[100_000].names.values()))) < 10


def test_edit_of_two_records_costs_far_less_than_the_zone() -> None:
    """As in a master file: the serial of the SOA record at its beginning changes, and another record far from it."""
    base = zone("example.com", [record("h A 192.0.2.1")])
    soa, *others = sorted(base.records, key=lambda one: one.rtype != SOA)
    first = next(one for one in others if one.rtype == A)
    before, data = {}, {}
    for names in (1_000, 50_000):
        hosts = [replace(first, owner=b"\x06%06d" % number + base.name) for number in range(names)]
        before[names] = built([replace(base, records=Records.of([soa, *others, *hosts]))])
        hosts[-2] = replace(hosts[-2], rdata=bytes(4))
        next_soa = replace(soa, rdata=soa.rdata[:-20] + bytes(3) + b"\2" + soa.rdata[-16:])
        data[names] = dataset([replace(base, records=Records.of([next_soa, *others, *hosts]))], {})

    def edit_of(names: int) -> Callable[[], object]:
        return lambda: build_snapshot(data[names], OPTIONS, before[names])

    after = build_snapshot(data[50_000], OPTIONS, before[50_000])
    assert answers(ask(after, "049998.example.com")) == ["0.0.0.0"]
    assert after.names.table.shares_octets(before[50_000].names.table)
    assert growth(edit_of, 1_000, 50_000, enough=25) <= 25


# Zones inside zones

PARENT = zone("example.com", [record("a.sub A 192.0.2.1"), record("sub TXT parent"), record("*.sub A 192.0.2.9")])
CHILD = zone("sub.example.com", [record("b A 192.0.2.2")])
PARENT_ALONE = {"a.sub": "NOERROR", "b.sub": "NOERROR", "x.sub": "NOERROR", "sub": "NOERROR", "x": "NXDOMAIN"}
BOTH = {"a.sub": "NXDOMAIN", "b.sub": "NOERROR", "x.sub": "NXDOMAIN", "sub": "NOERROR", "x": "NXDOMAIN"}


def rcodes(snapshot: Snapshot) -> dict[str, str]:
    return {name: rcode_text(ask(snapshot, f"{name}.example.com")) for name in BOTH}


@pytest.mark.parametrize("zones", [[PARENT, CHILD], [CHILD, PARENT]], ids=["parent first", "child first"])
def test_child_zone_hides_the_parent_s_data(zones: list[Zone]) -> None:
    snapshot = built(zones)
    assert rcodes(snapshot) == BOTH
    assert answers(ask(snapshot, "sub.example.com", "TXT")) == []


def test_removed_child_shows_the_parents_names_again() -> None:
    first = built([PARENT])
    assert rcodes(first) == PARENT_ALONE
    second = built([PARENT, CHILD], previous=first)
    assert rcodes(second) == BOTH
    third = built([PARENT], previous=second)
    assert rcodes(third) == PARENT_ALONE
    assert answers(ask(third, "sub.example.com", "TXT")) == ['"parent"']


def test_child_that_is_not_set_up_hides_the_parents_names_too() -> None:
    snapshot = built([PARENT, zone("sub.example.com", [record("b A 192.0.2.2")], status="initializing")])
    assert {rcodes(snapshot)[name] for name in ("sub", "a.sub", "b.sub")} == {"REFUSED"}


def test_grandchild_inside_the_parent_alone() -> None:
    snapshot = built(
        [zone("example.com", [record("x A 192.0.2.1")]), zone("a.b.example.com", [record("www A 192.0.2.2")])]
    )
    assert answers(ask(snapshot, "www.a.b.example.com")) == ["192.0.2.2"]
    assert rcode_text(ask(snapshot, "b.example.com")) == "NXDOMAIN"
    assert shown(ask(snapshot, "z.a.b.example.com"))["authority"][0].startswith("a.b.example.com. ")


DIGEST = "12345 13 2 " + "ab" * 32
DS: dict[str, tuple[list[RecordFields], list[str], str]] = {
    "with DS": ([record("sub NS ns1.example.net"), record(f"sub DS {DIGEST}")], [DIGEST], "-"),
    "without DS": ([record("sub NS ns1.example.net")], [], "example.com."),
    "not delegated": ([], [], "example.com."),
}


@pytest.mark.parametrize(("records", "data", "soa"), DS.values(), ids=DS.keys())
def test_ds_is_answered_from_the_parent(records: list[RecordFields], data: list[str], soa: str) -> None:
    snapshot = built([zone("example.com", records), CHILD])
    reply = shown(ask(snapshot, "sub.example.com", "DS"))
    assert [line.split(" DS ")[1] for line in reply["answer"]] == data
    assert [line.split()[0] for line in reply["authority"]] == ([] if data else [soa])
    # all other types are the child's
    assert shown(ask(snapshot, "sub.example.com", "MX"))["authority"][0].startswith("sub.example.com. ")


# Maps: shared answers and precedence


def test_a_map_is_compiled_once_for_all_its_members() -> None:
    zones = [zone("example.com", [WWW]), zone("example.net", [WWW])]
    both = zone_map("example.com", "203.0.113.1")
    both["memberships"] += zone_map("example.net", "203.0.113.1")["memberships"]
    first, second = built(zones, {"a1/m": both}).by_zone.values()
    assert first is second


# Memory


def test_memory_of_chains_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_CHAINS", 5)
    snapshot = built([zone("example.com", [record("a CNAME b.example.com"), record("b A 192.0.2.1")])])
    for qtype in range(256, 320):
        assert rcode_text(respond(snapshot, query("a.example.com", qtype)) or b"") == "NOERROR"
        assert len(snapshot.chains) <= 5


def test_memory_of_chains_with_large_ends_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "MAX_CHAIN_OCTETS", 50_000)
    large = [record(f"b TXT {number}{'x' * 240}") for number in range(30)]
    snapshot = built([zone("example.com", [*large, *(record(f"a{n} CNAME b.example.com") for n in range(40))])])
    most = 0
    for number in range(40):
        ask(snapshot, f"a{number}.example.com", "TXT")
        most = max(most, sum(len(answer.body) for answer in snapshot.chains.values()))
    assert 40_000 < most < 60_000


B = record("b A 192.0.2.1")


def test_unknown_names_leave_nothing_behind() -> None:
    snapshot = built([zone("example.com", [record("*.w CNAME b.example.com"), record("d DNAME e.example.com"), B])])
    for number in range(50):
        for name in (f"n{number}.example.com", f"n{number}.d.example.com", f"n{number}.example.org"):
            ask(snapshot, name)
    assert not snapshot.chains
    for number in range(50):
        ask(snapshot, f"n{number}.w.example.com")
        ask(snapshot, f"n{number}.w.example.com", f"TYPE{60_000 + number}")
    assert len(snapshot.chains) == 2  # the wildcard's address, and one negative answer for all types


def test_answer_does_not_depend_on_earlier_questions() -> None:
    """A chain that starts at another name may be cut short, and must not be cached in that form."""
    aliases = [record(f"c{n} CNAME c{n + 1}.example.com") for n in range(12)]
    flat = [record(f"f{n} CNAME c{n}.example.com", settings={"flatten_cname": True}) for n in range(12)]
    mixed = [record("m CNAME x.d.example.com"), record("d DNAME e.example.com"), record("x.e CNAME f6.example.com")]
    zones = [zone("example.com", [*aliases, *flat, *mixed, record("c12 A 192.0.2.1")])]
    names = [f"{letter}{n}.example.com" for letter in "cf" for n in range(12)] + ["m.example.com", "x.d.example.com"]
    alone = {name: ask(built(zones), name) for name in names}
    for order in (names, names[::-1]):
        snapshot = built(zones)
        assert {name: ask(snapshot, name) for name in order} == alone


# Flattened CNAMEs

FLAT = {"settings": {"flatten_cname": True}}
FLATTENED: dict[str, tuple[list[RecordFields], list[tuple[int, str]]]] = {
    "to a name here": ([record("@ CNAME a.example.com"), record("a A 192.0.2.1")], []),
    "to a proxied name": ([record("@ CNAME a.example.com"), proxied("a A 192.0.2.1")], []),
    "to a name that does not exist": ([record("@ CNAME nope.example.com")], []),
    "to elsewhere": ([record("@ CNAME www.example.org")], [(0, "www.example.org leads outside")]),
    "to elsewhere by a chain": (
        [record("f CNAME a.example.com", **FLAT), record("a CNAME www.example.org")],
        [(0, "a.example.com leads outside")],
    ),
    "below a delegation": (
        [record("f CNAME x.sub.example.com", **FLAT), record("sub NS ns1.example.net")],
        [(0, "leads outside")],
    ),
    "in a circle": (
        [record("f CNAME g.example.com", **FLAT), record("g CNAME f.example.com")],
        [(0, "is a loop or too long")],
    ),
}


@pytest.mark.parametrize(("records", "expected"), FLATTENED.values(), ids=FLATTENED.keys())
def test_flattened_cname(records: list[RecordFields], expected: list[tuple[int, str]]) -> None:
    found = list(flattening_problems(built([zone("example.com", records)])))
    assert all(problem.warning for problem in found)
    assert [problem.path for problem in found] == [("records", index, "content") for index, _ in expected]
    for problem, (_, text) in zip(found, expected, strict=True):
        assert text in problem.message
