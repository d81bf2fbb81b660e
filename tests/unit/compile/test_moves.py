"""Moves: the proxied names that a change answers otherwise, counted by zone and by their fate."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from dnsd.app import load
from dnsd.compile import moves as moves_module
from dnsd.compile.build import Options, build_snapshot
from dnsd.compile.edge_addresses import answered
from dnsd.compile.moves import MAX_ALONE, moves, proxied_by_account
from dnsd.engine.answer import Answer
from dnsd.engine.delta import apply_delta, delta
from dnsd.engine.derive import answer_at
from dnsd.engine.node import Alias, Edge, Flattened, Node, Redirection
from dnsd.engine.snapshot import Snapshot
from dnsd.model.dataset import Dataset
from dnsd.model.fields import derived_id
from dnsd.model.guard import MovedNames
from dnsd.model.maps import MissingFamily
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import AAAA, CNAME, A
from tests.limits import examples
from tests.models import Fields, account_map, dataset, proxied, record, zone, zone_map
from tests.worlds import World, random_world, write_world

OPTIONS = Options(tuple(map(ip_address, ("198.51.100.10", "2001:db8:f::10"))))
V4, V4B, V6, V6B = "203.0.113.10", "203.0.113.11", "2001:db8:100::10", "2001:db8:100::11"
TEN = [proxied(f"n{number} A 192.0.2.{number}") for number in range(10)]
V4_ONLY = proxied("old A 192.0.2.9", ipv4_only=True)
SPACE: Fields = {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}]}
OTHERS: Fields = {"a1": SPACE, "a2": {"prefixes": [{"cidr": "2001:db8:100::/48", "approved": "V"}]}}


def mapped(*ips: str, **fields: object) -> Dataset:
    """Ten names and one for IPv4 alone, in a zone with a map of these addresses."""
    return dataset([zone("example.com", [*TEN, V4_ONLY])], {"a1/shop": zone_map("example.com", *ips, **fields)})


def paused(*ips: str) -> Dataset:
    """The same, paused."""
    return dataset([zone("example.com", [*TEN, V4_ONLY], paused=True)], {"a1/shop": zone_map("example.com", *ips)})


def stored(*records: object, **fields: object) -> Dataset:
    """One zone without a map."""
    return dataset([zone("example.com", records, **fields)], {})  # type: ignore[arg-type]


def test_pause_with_a_new_serial_looks_no_name_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The serial of a zone without an SOA of its own is the time of its file, which the pause changes."""
    looked_up: list[bytes] = []
    monkeypatch.setattr(moves_module, "answer_to", lambda _, name: looked_up.append(name))
    soa = [record(f"@ SOA ns1.example.net. host.example.net. {serial} 2 3 4 5") for serial in (1, 2)]
    made = {"a1/shop": zone_map("example.com", V4)}
    before = dataset([zone("example.com", [*TEN, V4_ONLY, soa[0]])], made)
    after = dataset([zone("example.com", [*TEN, V4_ONLY, soa[1]], paused=True)], made)
    old = build_snapshot(before, OPTIONS)
    [moved] = moves(old, build_snapshot(after, OPTIONS, old))
    assert moved.names == MovedNames(opened=11)
    assert not looked_up


WILD = proxied("* A 192.0.2.7")
CASES: dict[str, tuple[Dataset, Dataset, MovedNames]] = {
    "nothing": (mapped(V4, V6), mapped(V4, V6), MovedNames()),
    "another order": (mapped(V4, V4B), mapped(V4B, V4), MovedNames()),
    "other addresses": (mapped(V4, V6), mapped(V4B, V6B), MovedNames(readdressed=11)),
    "IPv6 alone": (mapped(V4, V6), mapped(V4, V6B), MovedNames(readdressed=10)),
    "a family less": (mapped(V4, V6), mapped(V4), MovedNames(readdressed=10)),
    "the shown family is gone": (mapped(V4, V6), mapped(V6), MovedNames(readdressed=10, gone=1)),
    "a name not answered before": (mapped(V6), mapped(V4, V6), MovedNames(readdressed=10)),
    "disabled": (mapped(V4, V6), mapped(V4, V6, enabled=False), MovedNames(pooled=11)),
    "from the pool": (mapped(V4, enabled=False), mapped(V4, V6), MovedNames(readdressed=11)),
    "paused": (mapped(V4), paused(V4), MovedNames(opened=11)),
    "paused, with a name not answered before": (mapped(V6), paused(V6), MovedNames(opened=10)),
    "the zone is gone": (mapped(V4), dataset([], {}), MovedNames(gone=11)),
    "no longer proxied": (
        stored(*TEN),
        stored(record("n0 A 192.0.2.0"), record("n1 CNAME n2.example.com"), *TEN[2:]),
        MovedNames(opened=2),
    ),
    "other types alone": (stored(*TEN), stored(record("n0 TXT x"), *TEN[1:]), MovedNames(gone=1)),
    "removed": (stored(*TEN), stored(*TEN[3:]), MovedNames(gone=3)),
    "removed below a wildcard": (stored(WILD, *TEN), stored(WILD, *TEN[3:]), MovedNames()),
    "removed below an open wildcard": (
        stored(*TEN),
        stored(record("* A 192.0.2.7"), *TEN[3:]),
        MovedNames(opened=3),
    ),
    "delegated": (
        stored(proxied("www.sub A 192.0.2.1")),
        stored(record("sub NS ns.example.org")),
        MovedNames(gone=1),
    ),
    "new names": (stored(*TEN[3:]), stored(*TEN), MovedNames()),
    "one family for one name": (
        stored(*TEN),
        stored(proxied("n0 A 192.0.2.0", ipv4_only=True), *TEN[1:]),
        MovedNames(readdressed=1),
    ),
    "protocols": (stored(*TEN), stored(*TEN, settings={"http3": False}), MovedNames()),
    "a child zone hides names": (
        stored(proxied("www.sub A 192.0.2.1"), proxied("www A 192.0.2.1")),
        dataset(
            [
                zone("example.com", [proxied("www.sub A 192.0.2.1"), proxied("www A 192.0.2.1")]),
                zone("sub.example.com", [record("www A 192.0.2.2")]),
            ],
            {},
        ),
        MovedNames(opened=1),
    ),
    "a zone in another account, on its map": (
        mapped(V4, V6),
        dataset(
            [zone("example.com", [*TEN, V4_ONLY], account="a2")],
            {"a2/all": account_map(V6, account="a2")},
            OTHERS,
        ),
        MovedNames(readdressed=10, gone=1),
    ),
}


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES.keys())
def test_moved_names(old: Dataset, new: Dataset, expected: MovedNames) -> None:
    before = build_snapshot(old, OPTIONS)
    for previous in (before, None):
        after = build_snapshot(new, OPTIONS, previous)
        for base in (before, in_a_file(before)):
            assert total(base, after) == expected


def test_a_zone_counts_for_the_account_that_had_it() -> None:
    old, new, _ = CASES["a zone in another account, on its map"]
    before, after = build_snapshot(old, OPTIONS), build_snapshot(new, OPTIONS)
    assert [one.account_id for one in moves(before, after)] == [derived_id("account", "a1")]


def test_addresses_before_and_after_are_given() -> None:
    before, after = build_snapshot(mapped(V4, V6), OPTIONS), build_snapshot(mapped(V4B), OPTIONS)
    (found,) = moves(before, after)
    assert found.new is not None
    assert [*map(str, found.old.ips)] == [V4, V6]
    assert [*map(str, found.new.ips)] == [V4B]
    assert (found.alone, found.alone_total) == ({}, 0)


def test_names_that_move_alone_are_listed_up_to_a_limit() -> None:
    many = [proxied(f"n{number} A 192.0.2.1") for number in range(MAX_ALONE + 5)]
    before = build_snapshot(stored(*many, proxied("www A 192.0.2.1")), OPTIONS)
    (found,) = moves(before, build_snapshot(stored(proxied("www A 192.0.2.1")), OPTIONS))
    assert found.alone_total == MAX_ALONE + 5
    assert len(set(found.alone)) == MAX_ALONE
    (found,) = moves(before, build_snapshot(stored(*many, record("www A 192.0.2.1")), OPTIONS))
    assert found.alone == {parse_name_text("www.example.com"): (True, True)}


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (mapped(V4, V6), paused(V4, V6), [(True, False), *[(True, True)] * 10]),
        (mapped(V6), paused(V6), [(True, True)] * 10),
        (mapped(V4, V6), dataset([], {}), [(True, False), *[(True, True)] * 10]),
        (stored(*TEN, V4_ONLY), stored(*TEN), [(True, False)]),
    ],
)
def test_names_that_move_alone_have_the_families_they_showed(
    old: Dataset, new: Dataset, shown: list[tuple[bool, bool]]
) -> None:
    before = build_snapshot(old, OPTIONS)
    after = build_snapshot(new, OPTIONS, before)
    for base in (before, in_a_file(before)):
        (found,) = moves(base, after)
        assert sorted(found.alone.values()) == shown
        assert found.alone_total == len(shown)
        assert all(len(name) > len(found.zone) for name in found.alone)


def test_the_settings_pool_moves_names_without_a_map() -> None:
    data = dataset([zone("example.com", TEN), zone("example.org", TEN[:3])], {"a1/shop": zone_map("example.com", V4)})
    before = build_snapshot(data, OPTIONS)
    after = build_snapshot(data, replace(OPTIONS, default_addresses=OPTIONS.default_addresses[:1]), before)
    assert total(before, after) == MovedNames(readdressed=3)
    fallback = build_snapshot(data, replace(OPTIONS, missing_family=MissingFamily.FALLBACK), before)
    assert total(before, fallback) == MovedNames()


def test_proxied_names_are_counted_by_account() -> None:
    snapshot = build_snapshot(mapped(V4), OPTIONS)
    account = derived_id("account", "a1")
    assert proxied_by_account(snapshot) == proxied_by_account(in_a_file(snapshot)) == Counter({account: 11})


@pytest.mark.parametrize("seed", range(examples(40, 400)))
def test_moves_equal_the_differences_of_all_answers(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    world = random_world(rng)
    config = write_world(world, tmp_path)
    first = load(config, {})
    shutil.rmtree(tmp_path / "accounts")
    write_world(random_world(rng) if seed % 4 == 0 else with_other_maps(rng, world), tmp_path)
    second = load(config, {})
    after = build_snapshot(second.dataset, second.settings.options, first.snapshot)  # shares what has not changed
    for old, new in ((first.snapshot, after), (after, first.snapshot)):
        expected = reference(old, new)
        for base in (old, in_a_file(old)):
            found: Counter[tuple[str, str]] = Counter()
            for one in moves(base, new):
                for kind, count in one.names._asdict().items():
                    found[one.account_id, kind] += count
            assert +found == expected


def with_other_maps(rng: random.Random, world: World) -> World:
    """The world with maps removed, disabled, and with other addresses."""
    accounts = {}
    for folder, files in world.accounts.items():
        maps = {name: dict(fields) for name, fields in files.maps.items() if rng.random() < 0.8}
        for fields in maps.values():
            fields["enabled"] = rng.random() < 0.8
            if rng.random() < 0.5:
                fields["ips"] = [ip for ip in fields.get("ips", ()) if rng.random() < 0.7]
        accounts[folder] = replace(files, maps=maps)
    return replace(world, accounts=accounts)


def reference(old: Snapshot, new: Snapshot) -> Counter[tuple[str, str]]:
    """The moved names by account and fate, from the answers to questions for every name in both snapshots."""
    found: Counter[tuple[str, str]] = Counter()
    for name, node in old.names.items():
        if not isinstance(node.rule, Edge):
            continue
        before, after = (addresses(one, name) for one in (old, new))
        if before == after or not any(before):
            continue
        assert node.apex
        now = new.search(name)
        if isinstance(now.rule, Edge):
            kind = "readdressed" if any(after) else "gone"
            if any(after) and is_pool(new, now) and not is_pool(old, node):
                kind = "pooled"
        else:
            has_alias = isinstance(now.rule, Alias | Flattened | Redirection)
            kind = "opened" if has_alias or {A, AAAA, CNAME} & now.answers.keys() else "gone"
        found[node.apex.account_id, kind] += 1
    return found


def addresses(snapshot: Snapshot, name: bytes) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """The edge addresses in the answers for a name; those of stored records do not count."""
    node = snapshot.search(name)
    if not isinstance(node.rule, Edge):
        return frozenset([b"stored"]), frozenset()
    v4, v6 = (rdatas(answer_at(snapshot, node, name, qtype)) for qtype in (A, AAAA))
    return v4, v6


def rdatas(answer: Answer) -> frozenset[bytes]:
    return frozenset(rdata for rrset in answer.answer for rdata in rrset.rdatas)


def is_pool(snapshot: Snapshot, node: Node) -> bool:
    assert node.apex
    return snapshot.addresses(node.apex.zone_id, node.apex.account_id) is snapshot.default


def total(old: Snapshot, new: Snapshot) -> MovedNames:
    found = MovedNames()
    for one in moves(old, new):
        found = found.plus(one.names)
    return found


def in_a_file(snapshot: Snapshot) -> Snapshot:
    """The snapshot as another process reads it from the snapshot file: without its zones."""
    read = next(filter(None, apply_delta(None, delta(None, snapshot))))
    assert not read.zones
    return read


def test_the_addresses_of_one_name() -> None:
    snapshot = build_snapshot(mapped(V4, V6), OPTIONS)
    both = answered(snapshot, parse_name_text("n0.example.com"))
    assert both
    assert [sorted(map(str, one)) for one in both] == [[V4], [V6]]
    assert answered(snapshot, parse_name_text("missing.example.com")) is None
