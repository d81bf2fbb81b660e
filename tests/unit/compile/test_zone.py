"""Zones packed for the table of names: the rows, and what control keeps of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.compile import zone as compile_zone
from dnsd.compile import zone_names
from dnsd.compile.edited_zone import MAX_EDITED, edited_zone
from dnsd.compile.zone import pack_zone
from dnsd.compile.zone_names import existing_names, names_of, names_with_rules
from dnsd.engine.edge_rules import AS_STORED, EDGE, FLATTENED, NO_H2, NO_HTTPS, NO_V4, NO_V6, NOT_SERVED
from dnsd.engine.entry import CUT, EMPTY, OCCLUDED, PLAIN, SPECIAL, NameEntry
from dnsd.engine.names import kind_of, rule_number, zone_number
from dnsd.engine.node import Alias, Apex, Flattened
from dnsd.engine.snapshot import OWN_HTTPS, BuiltZone, ShownNames
from dnsd.engine.table import packed_table
from dnsd.model.columns import Records
from dnsd.model.record_parts import Steps, finished
from dnsd.model.records import Record, RecordFields
from dnsd.model.zones import Status, Zone
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import AAAA, CNAME, HTTPS, MX, NS, TXT, A
from tests.limits import growth
from tests.models import proxied, record, zone

NUMBER = 300
WEB = [proxied("www A 192.0.2.1"), record("www MX 10 mail.example.org"), proxied("cdn CNAME origin.example.org")]
LOST = [proxied("x.sub A 192.0.2.7"), proxied("ns.sub A 192.0.2.8"), proxied("sub AAAA 2001:db8::9")]
DELEGATED = [record("sub NS ns.sub.example.com"), *LOST]


def packed(one: Zone, *, applies_maps: bool = True) -> tuple[BuiltZone, dict[str, NameEntry]]:
    apex = Apex(one.id, one.account_id, one.name, one.verified)
    built, octets = pack_zone(one, apex, NUMBER, applies_maps=applies_maps)
    table = packed_table({one.name: (kind_of(NUMBER, AS_STORED), octets)})
    entries = {name_text(entry.name): entry for entry in table.entries()}
    assert {zone_number(entry.kind) for entry in entries.values()} == {NUMBER}
    names = {entry.name for entry in entries.values() if not entry.flags & OCCLUDED}
    assert names == set(finished(existing_names(one)))
    return built, entries


def example(*records: RecordFields | Record, **fields: object) -> Zone:
    return zone("example.com", records, **fields)  # type: ignore[arg-type]


def types(entry: NameEntry) -> set[int]:
    return {one.rtype for one in entry.sets}


def test_origins_never_stand_in_the_table() -> None:
    built, entries = packed(example(*WEB))
    assert types(entries["www.example.com"]) == {MX}
    assert types(entries["cdn.example.com"]) == set()
    assert [name_text(name) for name in built.proxied_names] == ["cdn.example.com", "www.example.com"]
    _, octets = pack_zone(example(*WEB), built.apex, NUMBER, applies_maps=True)
    assert bytes((192, 0, 2, 1)) not in octets
    assert parse_name_text("origin.example.org") not in octets


def test_below_a_delegation_only_name_servers_have_addresses() -> None:
    built, entries = packed(example(*DELEGATED))
    assert types(entries["ns.sub.example.com"]) == {A}
    assert types(entries["x.sub.example.com"]) == set()
    assert types(entries["sub.example.com"]) == {NS}
    assert entries["sub.example.com"].flags & CUT
    assert built.proxied_names == []


def test_many_delegations_are_not_kept_while_a_zone_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those that may hide a name: a registry's zone of a million delegations may have one CNAME."""
    many = [record(f"d{number} NS ns{number}.example.net") for number in range(20)]
    hidden = [record("a.b.sub CNAME www"), record("d.sub DNAME example.org"), record("d7 CNAME www")]
    one = example(*DELEGATED, *many, *hidden, *WEB, record("c CNAME x.sub"), record("e DNAME example.org"))
    usual, entries = packed(one)
    assert [name_text(name) for name, _ in usual.aliases()] == ["c.example.com"]
    monkeypatch.setattr(compile_zone, "FEW_SERVERS", 0)
    packer = compile_zone.ZonePacker(one, NUMBER, applies_maps=True)
    assert packer.cuts == {parse_name_text("sub.example.com"), parse_name_text("d7.example.com")}
    assert packer.hosts == {parse_name_text("ns.sub.example.com")}
    built, others = packed(one)
    assert others == entries
    for name in ("proxied_names", "rules", "aliases_at", "flattened_at", "dnames_at"):
        assert getattr(built, name) == getattr(usual, name)


def test_proxied_records_of_a_paused_zone_are_answered_as_stored() -> None:
    built, entries = packed(example(*WEB), applies_maps=False)
    assert types(entries["www.example.com"]) == {A, MX}
    assert types(entries["cdn.example.com"]) == {CNAME}
    assert not built.proxied_names
    assert [rule for _, rule in built.aliases()] == [
        Alias(rule.rrset, parse_name_text("origin.example.org"))  # type: ignore[union-attr]
        for _, rule in built.aliases()
    ]


RULES: dict[str, tuple[list[RecordFields], dict[str, object], str, int, int]] = {
    "stored": ([record("a A 192.0.2.1")], {}, "a", AS_STORED, PLAIN),
    "alias": ([record("a CNAME b.example.com")], {}, "a", AS_STORED, SPECIAL),
    "flattened": ([record("a CNAME b.example.com", settings={"flatten_cname": True})], {}, "a", FLATTENED, SPECIAL),
    "at the apex": ([record("@ CNAME b.example.com")], {}, "@", FLATTENED, SPECIAL),
    "all flattened": (
        [record("a CNAME b.example.com")],
        {"settings": {"flatten_all_cnames": True}},
        "a",
        FLATTENED,
        SPECIAL,
    ),
    "DNAME": ([record("a DNAME b.example.com")], {}, "a", AS_STORED, SPECIAL),
    "wildcard": ([record("*.a A 192.0.2.1")], {}, "*.a", AS_STORED, SPECIAL),
    "above a wildcard": ([record("*.a A 192.0.2.1")], {}, "a", AS_STORED, EMPTY),
    "proxied": ([proxied("a A 192.0.2.1")], {}, "a", EDGE, PLAIN),
    "proxied wildcard": ([proxied("* A 192.0.2.1")], {}, "*", EDGE, SPECIAL),
    "without IPv6": ([proxied("a A 192.0.2.1")], {"settings": {"ipv6": False}}, "a", EDGE | NO_V6, PLAIN),
    "without HTTPS": (
        [proxied("a A 192.0.2.1")],
        {"settings": {"https_records": False, "http2": False}},
        "a",
        EDGE | NO_H2 | NO_HTTPS,
        PLAIN,
    ),
    "one of two records for IPv4 alone": (
        [proxied("a A 192.0.2.1", ipv4_only=True), proxied("a AAAA 2001:db8::1"), record("a TXT x")],
        {},
        "a",
        EDGE | NO_V6,
        PLAIN,
    ),
    "not set up": ([record("a A 192.0.2.1")], {"status": "initializing"}, "@", NOT_SERVED, SPECIAL),
}


@pytest.mark.parametrize(("records", "fields", "name", "rule", "flags"), RULES.values(), ids=RULES.keys())
def test_rule_and_flags(
    records: list[RecordFields], fields: dict[str, object], name: str, rule: int, flags: int
) -> None:
    _, entries = packed(example(*records, **fields))
    entry = entries["example.com" if name == "@" else f"{name}.example.com"]
    assert (rule_number(entry.kind), entry.flags) == (rule, flags)


def test_zone_knows_the_families_of_its_proxied_names() -> None:
    own = [record("www HTTPS 1 . alpn=h3"), proxied("four A 192.0.2.2", ipv4_only=True)]
    built, entries = packed(example(*WEB, *own, proxied("six AAAA 2001:db8::1", ipv6_only=True)))
    assert built.proxied == ShownNames(1, 1, 2)
    assert built.edges == {EDGE: 1, EDGE | OWN_HTTPS: 1, EDGE | NO_V6: 1, EDGE | NO_V4: 1}
    assert types(entries["www.example.com"]) == {MX, HTTPS}


def test_zone_knows_its_aliases() -> None:
    records = [
        record("a CNAME T.example.com"),
        record("f CNAME T.example.com", settings={"flatten_cname": True}),
        record("d DNAME T2.example.com"),
        record("sub NS ns1.example.net"),
        record("x.sub CNAME T.example.com"),
        record("y.sub DNAME T.example.com"),
        *WEB,
    ]
    built, _ = packed(example(*records))
    found = {name_text(name): type(rule) for name, rule in built.aliases()}
    assert found == {"a.example.com": Alias, "f.example.com": Flattened}
    assert [name_text(rule.owner) for rule in built.redirections] == ["d.example.com"]
    assert {parse_name_text(name) for name in ("t.example.com", "t2.example.com", "com")} <= built.leads_to


def test_records_with_one_owner_and_type_are_one_set() -> None:
    _, entries = packed(example(record("a A 192.0.2.1", ttl=60), record("a A 192.0.2.2", ttl=300)))
    ((rtype, records, body),) = entries["a.example.com"].sets
    assert (rtype, records, body.count((60).to_bytes(4))) == (A, 2, 2)


@pytest.mark.parametrize("kind", ["alike", "with TTLs of their own", "of several types"])
def test_work_grows_with_the_names(kind: str) -> None:
    made = example(record("x TXT x"))
    template = next(one for one in made.records if one.rtype == TXT)

    def records(count: int) -> list[Record]:
        found = []
        for number in range(count):
            owner = b"\x06%06d" % number + made.name
            ttl = number if kind == "with TTLs of their own" else 300
            found.append(replace(template, owner=owner, ttl=ttl))
            if kind == "of several types":
                found.append(replace(template, owner=owner, rtype=AAAA, rdata=bytes(16)))
        return found

    zones = {count: replace(made, records=Records.of([*made.records, *records(count)])) for count in (2_000, 20_000)}
    apex = Apex(made.id, made.account_id, made.name, verified=True)

    def packing(count: int) -> Callable[[], object]:
        return lambda: pack_zone(zones[count], apex, 0, applies_maps=True)

    assert growth(packing, 2_000, 20_000, enough=40) <= 40  # 100 if each record were compared with all others


@pytest.mark.parametrize("count", [10, MAX_EDITED + 1])
def test_delegation_above_many_names_packs_the_zone_again(count: int) -> None:
    """The flags of all names below it change: one by one they cost more than together."""
    below = [record(f"h{number}.sub A 192.0.2.1") for number in range(count)]
    before, after = example(*below), example(*below, record("sub NS ns.example.net"))
    apex = Apex(before.id, before.account_id, before.name, before.verified)
    built, rows = pack_zone(before, apex, NUMBER, applies_maps=True)
    table = packed_table({before.name: (0, rows)})
    assert (edited_zone(after, apex, built, table) is None) is (count > MAX_EDITED)


def test_names_of_a_large_zone_are_listed_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zone may have a million: others get their turns between the steps."""
    monkeypatch.setattr(zone_names, "LISTED", 8)
    records = [record(f"n{number}.x A 192.0.2.1") for number in range(100)]
    one, other = zone("example.com", [*records, proxied("www A 192.0.2.1")]), zone("example.com", records[1:])
    listing = existing_names(one)
    assert len(list(listing)) >= 2 * 100 / 8
    before, after = packed(one)[0], packed(other)[0]
    names: list[bytes] = []

    def listed() -> Iterator[None]:
        names.extend((yield from names_with_rules([before, after])))

    assert len(list(listed())) >= 4 * 100 / 8
    assert {name_text(name) for name in names} == {"www.example.com", "n0.x.example.com"}


class HashedName(bytes):
    """A name that counts how often sets and dicts look at names."""

    hashed = 0

    def __hash__(self) -> int:
        HashedName.hashed += 1
        return super().__hash__()

    __eq__ = bytes.__eq__


class HashedNames(list[bytes]):
    """The names of records."""

    def at(self, indexes: Iterable[int]) -> Iterator[bytes]:
        return map(self.__getitem__, indexes)


def built_of(names: list[bytes], count: int) -> Any:
    """A zone in which all names are proxied, have aliases, and a `count` of them delegations."""
    records = SimpleNamespace(owners=HashedNames(names), of_types=lambda types: range(count))
    of = SimpleNamespace(status=Status.ACTIVE, name=parse_name_text("example.com"), records=records)
    return SimpleNamespace(zone=of, proxied_names=names, aliases=lambda: ((name, None) for name in names))


@pytest.mark.parametrize("listing", [names_of, names_with_rules])
@pytest.mark.parametrize("count", [0, 50])
def test_no_step_of_a_listing_looks_at_many_names(
    monkeypatch: pytest.MonkeyPatch, listing: Callable[[list[BuiltZone]], Steps[Iterable[bytes]]], count: int
) -> None:
    monkeypatch.setattr(zone_names, "LISTED", 8)
    names: list[bytes] = [HashedName(parse_name_text(f"n{number}.example.com")) for number in range(200)]
    found: list[bytes] = []

    def listed() -> Iterator[None]:
        found.extend((yield from listing([built_of(names[1:], count), built_of(names[:-1], count)])))

    steps, is_going, most = listed(), True, 0
    while is_going:
        before = HashedName.hashed
        is_going = next(steps, False) is None
        most = max(most, HashedName.hashed - before)
    assert {*found} >= {*names}
    assert 8 <= most <= 3 * 8
