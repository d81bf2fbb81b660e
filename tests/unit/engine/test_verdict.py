"""The verdict on a change by replay: what is meant, what counts, and when a zone or map has too much of it."""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Set
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.replay import AnswerChange
from dnsd.engine.snapshot import Snapshot
from dnsd.engine.verdict import LEAST_QUESTIONS, MAX_NAMES, NAME_TYPES, ChangeVerdict, judged
from dnsd.model.dataset import Dataset
from dnsd.model.fields import derived_id
from dnsd.model.record_parts import finished
from dnsd.questions import Question
from dnsd.wire.rdata import AAAA, TXT, A
from tests.models import Fields, account_map, dataset, proxied, record, zone, zone_map
from tests.packets import wire_name

OPTIONS = Options(tuple(map(ip_address, ("198.51.100.10", "2001:db8:f::10"))))
V4, V4B, V6 = "203.0.113.10", "203.0.113.11", "2001:db8:100::10"
COM, ORG = derived_id("zone", "example.com"), derived_id("zone", "example.org")
SHOP = "a1/maps/shop"
RECORDS = [
    proxied("www A 192.0.2.1"),
    proxied("*.w A 192.0.2.2"),
    record("mail A 192.0.2.3"),
    record("mail TXT x"),
    record("to CNAME mail.example.com"),
    record("flat CNAME mail.example.org", settings={"flatten_cname": True}),
]
OTHERS = [proxied("www A 192.0.2.4"), record("mail A 192.0.2.5")]


@dataclass
class Named:
    """What a change names and lists, as given."""

    owners: Set[str] = frozenset()
    deleted: Set[str] = frozenset()
    paused: Set[str] = frozenset()
    maps: Set[str] = frozenset()
    listed: Container[bytes] | None = None
    asked: list[Set[bytes]] = field(default_factory=list)

    def deletes_zone(self, zone_id: str) -> bool:
        return zone_id in self.deleted

    def names_zone(self, zone_id: str) -> bool:
        return zone_id in self.deleted | self.paused

    def names_map(self, key: str) -> bool:
        return key in self.maps

    def named_owners(self, zone_id: str, owners: Set[bytes]) -> Generator[None, None, Container[bytes]]:
        yield
        self.asked.append(owners)
        return {wire_name(f"{one}.example.com") for one in self.owners}


def world(
    records: Iterable[object] = RECORDS, *, shop: Fields | None = None, others: bool = True, **com: object
) -> Dataset:
    """Two zones with a map of the first, and one of their account."""
    zones = [zone("example.com", records, **com)]  # type: ignore[arg-type]
    zones += [zone("example.org", OTHERS)] if others else []
    return dataset(zones, {"a1/shop": shop or zone_map("example.com", V4, V6), "a1/all": account_map(V4B, V6)})


def without(*names: str) -> list[object]:
    return [one for one in RECORDS if one.name not in names]


def snapshots(before: Dataset, after: Dataset) -> tuple[Snapshot, Snapshot]:
    old = build_snapshot(before, OPTIONS)
    return old, build_snapshot(after, OPTIONS, old)


def sample(name: str, qtype: int = A, *, count: int = LEAST_QUESTIONS, weight: float = 1.0) -> list[Question]:
    apex = wire_name(".".join(name.split(".")[-2:]))
    return [Question(wire_name(name), qtype, apex, wire_name(name), weight)] * count


def verdict(
    after: Dataset, questions: Iterable[Question], named: Named | None = None, names: Iterable[bytes] = ()
) -> ChangeVerdict:
    old, new = snapshots(world(), after)
    return finished(judged(old, new, questions, names, named or Named()))


LISTED = frozenset({wire_name("www.example.com"), wire_name("www.example.org")})
NO_V6, OFF = zone_map("example.com", V4), zone_map("example.com", V4, V6, enabled=False)
NO_ALL = world(shop=OFF)  # the account's map answers then
UNMEANT = {  # the change, the question, what is named, whether its changed answer counts
    "a record deleted": (world(without("mail")), "mail.example.com", Named(owners={"mail"}), False),
    "a record gone that is not named": (world(without("mail")), "mail.example.com", Named(), True),
    "a wildcard deleted": (world(without("*.w")), "a.w.example.com", Named(owners={"*.w"}), False),
    "an alias to a record deleted": (world(without("mail")), "to.example.com", Named(owners={"mail"}), True),
    "a zone deleted": (world(others=False), "mail.example.org", Named(deleted={ORG}), False),
    "a flattened name of a zone deleted": (world(others=False), "flat.example.com", Named(deleted={ORG}), True),
    "a zone gone that is only paused": (world(others=False), "mail.example.org", Named(paused={ORG}), True),
    "a zone paused": (world(paused=True), "www.example.com", Named(paused={COM}), False),
    "into the open, unnamed and unlisted": (world(paused=True), "www.example.com", Named(), True),
    "into the open, listed": (world(paused=True), "www.example.com", Named(listed=LISTED), False),
    "other addresses, without a plan": (NO_ALL, "www.example.com", Named(), False),
    "other addresses, listed": (NO_ALL, "www.example.com", Named(listed=LISTED), False),
    "other addresses, unlisted": (NO_ALL, "www.example.com", Named(listed=frozenset()), True),
    "other addresses, of a map disabled": (NO_ALL, "www.example.com", Named(listed=frozenset(), maps={SHOP}), False),
    "another record": (
        world([*without("mail"), record("mail A 192.0.2.9")]),
        "mail.example.com",
        Named(listed=frozenset()),
        False,
    ),
    "a listed name without addresses": (world(without("www")), "www.example.com", Named(listed=LISTED), True),
    "that name, deleted": (world(without("www")), "www.example.com", Named({"www"}, listed=LISTED), False),
}


@pytest.mark.parametrize(("after", "name", "named", "is_unmeant"), UNMEANT.values(), ids=UNMEANT.keys())
def test_unmeant_changes(after: Dataset, name: str, named: Named, is_unmeant: bool) -> None:
    found = verdict(after, sample(name), named)
    assert sum(found.recent.all.changes.values()) == LEAST_QUESTIONS
    assert bool(found.recent.all.unmeant) == bool(found.halts) == is_unmeant


def test_lost_through_a_map_that_stays_counts_though_it_is_listed() -> None:
    found = verdict(world(shop=NO_V6), sample("www.example.com", AAAA), Named(listed=LISTED))
    assert found.recent.all.unmeant == {AnswerChange.NO_DATA: LEAST_QUESTIONS}
    assert {(one.map, one.zone_id) for one in found.halts} == {(SHOP, ""), ("", COM)}


def test_pool_counts_unless_the_map_is_named_or_the_name_listed() -> None:
    before = dataset([zone("example.com", RECORDS)], {"a1/shop": zone_map("example.com", V4, V6)})
    after = dataset([zone("example.com", RECORDS)], {"a1/shop": OFF})
    old, new = snapshots(before, after)
    for named, is_unmeant in ((Named(), True), (Named(maps={SHOP}), False), (Named(listed=LISTED), False)):
        found = finished(judged(old, new, sample("www.example.com"), (), named))
        assert found.recent.all.changes == {AnswerChange.ONTO_POOL: LEAST_QUESTIONS}
        assert bool(found.halts) == is_unmeant


SHARES = [  # lost and other questions of a zone, whether it halts
    (1, 49, True),  # 2 %
    (1, 50, False),
    (0, 1_000, False),
    (20, 980, True),
    (19, 0, False),  # too few
    (20, 0, True),
    (1, 19, True),
]


@pytest.mark.parametrize(("lost", "others", "is_halt"), SHARES)
def test_halt_from_two_percent_of_twenty_questions(lost: int, others: int, is_halt: bool) -> None:
    questions = [*sample("mail.example.com", count=lost), *sample("mail.example.com", TXT, count=others)]
    found = verdict(world([*without("mail"), record("mail TXT x")]), questions)
    assert bool(found.halts) == is_halt
    if is_halt:
        [halt] = found.halts
        assert (halt.zone_id, halt.map, halt.by_names) == (COM, "", False)
        assert (halt.figures.questions, halt.figures.unmeant) == (lost + others, {AnswerChange.NO_DATA: lost})


def test_share_is_of_all_questions_that_the_sample_stands_for() -> None:
    questions = [*sample("mail.example.com", count=10), *sample("mail.example.com", TXT, count=10, weight=100.0)]
    assert verdict(world([*without("mail"), record("mail TXT x")]), questions).halts == []


def test_other_zones_hide_no_zone() -> None:
    questions = [*sample("mail.example.com"), *sample("www.example.org", count=5_000)]
    assert [one.zone_id for one in verdict(world(without("mail")), questions).halts] == [COM]


def names(*found: str) -> list[bytes]:
    return [wire_name(one) for one in found]


def test_names_are_asked_once_where_questions_are_too_few() -> None:
    found = verdict(world(without("mail")), (), names=names("mail.example.com", "www.example.com", "mail.example.com"))
    assert found.recent.all.questions == 0
    assert found.names.all.questions == 2 * len(NAME_TYPES)
    assert found.names.all.changes == {AnswerChange.NXDOMAIN: 1, AnswerChange.OTHER: 3}
    [halt] = found.halts
    assert (halt.zone_id, halt.by_names) == (COM, True)


def test_names_of_a_zone_with_enough_questions_are_not_asked() -> None:
    asked = names("mail.example.com", "mail.example.org")
    found = verdict(world(without("mail")), sample("www.example.com"), names=asked)
    assert found.names.zones.keys() == {ORG}
    assert found.halts == []
    assert verdict(world(without("mail")), sample("www.example.com", count=19), names=asked).halts


def test_so_many_names_are_asked_at_most() -> None:
    many = (wire_name(f"n{number}.example.com") for number in range(MAX_NAMES + 100))
    assert verdict(world(), (), names=many).names.all.questions == MAX_NAMES * len(NAME_TYPES)


def test_zones_that_may_not_be_counted_are_not() -> None:
    old, new = snapshots(world(), world(without("mail", "www"), others=False))
    questions = [*sample("mail.example.com"), *sample("mail.example.org"), *sample("flat.example.com")]
    asked = names("www.example.com", "www.example.org")
    found = finished(judged(old, new, questions, asked, Named(), lambda apex: apex.zone_id == ORG))
    assert found.recent.zones.keys() == {ORG}
    assert found.recent.all.questions == LEAST_QUESTIONS
    assert {one.replayed.qname for one, _ in found.examples(9, 9)} == {wire_name("mail.example.org")}


def test_questions_outside_of_the_zones_do_not_count() -> None:
    found = verdict(world(without("mail")), sample("www.example.net"))
    assert found.recent.all.questions == 0
    assert found.halts == []


def test_examples_are_few_and_the_unmeant_ones_come_first() -> None:
    questions = [
        *(one for number in range(30) for one in sample(f"n{number}.w.example.com", count=1 + number)),
        *sample("mail.example.com", count=2),
    ]
    found = verdict(world(without("mail", "*.w")), questions, Named(owners={"*.w"}))
    shown = found.examples(limit=4, of_kind=3)
    assert [(one.replayed.qname, is_unmeant) for one, is_unmeant in shown] == [
        (wire_name("mail.example.com"), True),
        *((wire_name(f"n{number}.w.example.com"), False) for number in (29, 28, 27)),
    ]


def test_a_replay_has_many_steps() -> None:
    old, new = snapshots(world(), world(without("mail")))
    questions = [one for number in range(1_000) for one in sample(f"n{number}.example.com", count=1)]
    assert sum(1 for _ in judged(old, new, questions, (), Named())) > 50
