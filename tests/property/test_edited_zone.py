"""After any edit of a zone, the table and what control keeps of the zone equal those built from nothing."""

from __future__ import annotations

import random

import pytest

from dnsd.compile import build as module
from dnsd.compile import edited_zone as edits
from dnsd.compile import zone as compile_zone
from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.snapshot import BuiltZone, Snapshot
from dnsd.model.columns import Records
from dnsd.model.differences import differences
from dnsd.model.records import Record, build_record
from dnsd.wire.names import parse_name_text
from tests.models import SPACE, dataset, record, resolved, zone

OWNERS = ["a", "b", "a.b", "x.a.b", "*", "*.b", "c", "d.c", "e.d.c", "ns", "w.w.w", "host", "y.host"]
DATA = [
    "A 192.0.2.{n}",
    "A 192.0.2.{n}",
    "AAAA 2001:db8::{n}",
    "MX {n} host.example.com.",
    'TXT "{n}"',
    "NS ns.c.example.com.",
    "CNAME target{n}.example.net.",
    "DNAME target{n}.example.net.",
]
STEPS = 60
APEX = parse_name_text("example.com")


def some_record(rng: random.Random, kinds: list[str]) -> Record:
    text = f"{rng.choice(OWNERS)} {rng.choice(kinds).format(n=rng.randrange(4))}"
    is_proxied = rng.random() < 0.4 and text.split()[1] in ("A", "AAAA", "CNAME")
    return build_record(record(text, proxied=is_proxied, ttl=rng.choice((1, 300, 60))), APEX)


def edited(records: list[Record], kinds: list[str], rng: random.Random) -> list[Record]:
    """The records after one or two changes close to each other."""
    records, at = records[:], rng.randrange(len(records) + 1)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = min(at, len(records))
        match rng.randrange(3):
            case 0:
                records.insert(at, some_record(rng, kinds))
            case 1 if records:
                del records[at - 1]
            case 2 if records:
                records[at - 1] = some_record(rng, kinds)
    return records


def built(snapshot: Snapshot) -> tuple[object, ...]:
    (only,) = snapshot.zones.values()
    proxied = sorted(zip(only.proxied_names, only.rules, strict=True))
    return proxied, list(only.aliases_at), only.flattened_at, list(only.dnames_at), only.apex.name, only.number


@pytest.mark.parametrize("seed", range(24))
def test_edited_zone_equals_one_packed_from_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    kinds = rng.choice(([DATA[0], DATA[2], DATA[3]], DATA[:5], DATA, [*DATA[:3], DATA[6]]))
    ways: list[bool] = []

    def counted(*arguments: object) -> edits.PackedEdit | None:
        found = edits.edited_zone(*arguments)  # type: ignore[arg-type]
        ways.append(found is not None)
        return found

    monkeypatch.setattr(module, "edited_zone", counted)
    records = [some_record(rng, kinds) for _ in range(rng.choice((3, 30)))]
    current = None
    for _ in range(STEPS):
        world, _ = resolved({"a1": SPACE}, [zone("example.com", records)], {})  # whatever rules they break
        current = build_snapshot(world, Options(()), current)
        fresh = build_snapshot(world, Options(()))
        assert list(current.names.table.entries()) == list(fresh.names.table.entries())
        assert built(current) == built(fresh)
        with monkeypatch.context() as patch:
            patch.setattr(compile_zone, "SMALL", 0)
            apart = build_snapshot(world, Options(()))
        assert list(apart.names.table.entries()) == list(fresh.names.table.entries())
        assert built(apart) == built(fresh)
        records = edited(records, kinds, rng)
    assert sum(ways) > STEPS // 4 or any("NS" in kind or "CNAME" in kind for kind in kinds)


def test_large_change_is_packed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "MAX_EDITED", 5)
    before = [record(f"h{number} A 192.0.2.1") for number in range(40)]

    def edit(*places: int) -> BuiltZone | None:
        after = [record(f"h{number} A 192.0.2.{1 + (number in places)}") for number in range(40)]
        first = build_snapshot(dataset([zone("example.com", before)], {}), Options(()))
        (old,) = first.zones.values()
        found = edits.edited_zone(zone("example.com", after), old.apex, old, first.names.table)
        return found.built if found else None

    assert edit(3)
    assert edit(3, 39)
    assert edit(0, 9, 19, 29, 39)
    assert edit(0, 9, 19, 29, 38, 39) is None


@pytest.mark.parametrize("seed", range(60))
def test_differences_lead_from_one_list_of_records_to_the_other(seed: int) -> None:
    rng = random.Random(seed)
    before = [some_record(rng, DATA) for _ in range(rng.choice((0, 1, 5, 3_000)))]
    after = before
    for _ in range(rng.choice((0, 1, 3))):
        after = edited(after, DATA, rng)
    old, new = Records.of(before), Records.of(after)
    found = differences(new, old, 30)
    assert found is not None
    made, at = [], 0
    for now, was in found:
        made += [*before[at : was.start], *after[now.start : now.stop]]
        at = was.stop
    assert [*made, *before[at:]] == after
    assert max(sum(map(len, side)) for side in zip(*found, strict=True)) <= 30 if found else before == after
    assert differences(new, old, 0) == ([] if before == after else None)


def test_change_of_an_soa_and_another_record_is_two_changes() -> None:
    before = [record(f"h{number} A 192.0.2.1") for number in range(9_000)]
    after = [
        record("h0 A 192.0.2.9"),
        *before[1:7_000],
        record("h7000 A 192.0.2.9"),
        *before[7_001:],
        record("h A 192.0.2.3"),
    ]
    old, new = (Records.of(build_record(one, APEX) for one in side) for side in (before, after))
    assert differences(new, old, 3) == [
        (range(1), range(1)),
        (range(7_000, 7_001), range(7_000, 7_001)),
        (range(9_000, 9_001), range(9_000, 9_000)),
    ]
