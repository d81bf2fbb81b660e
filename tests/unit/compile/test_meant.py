"""What a change of data names itself."""

from __future__ import annotations

import pytest

from dnsd.compile import meant as module
from dnsd.compile.meant import MeantByChange
from dnsd.model.dataset import Dataset
from dnsd.model.fields import derived_id
from dnsd.model.record_parts import finished
from tests.models import dataset, proxied, record, zone, zone_map
from tests.packets import wire_name

COM = derived_id("zone", "example.com")
SHOP = "a1/maps/shop"
RECORDS = [proxied("www A 192.0.2.1"), record("two A 192.0.2.2"), record("two A 192.0.2.3"), record("mail TXT x")]


def world(*records: object, enabled: bool = True, **fields: object) -> Dataset:
    made = zone("example.com", records, **fields)  # type: ignore[arg-type]
    return dataset([made], {"a1/shop": zone_map("example.com", "203.0.113.1", enabled=enabled)})


WHOLE = world(*RECORDS)
NAMED = {
    "nothing": (RECORDS, set()),
    "a record deleted": (RECORDS[1:], {"www"}),
    "one of two records deleted": ([*RECORDS[:2], RECORDS[3]], {"two"}),
    "a record switched": ([record("www A 192.0.2.1"), *RECORDS[1:]], {"www"}),
    "a record with other data": ([proxied("www A 192.0.2.9"), *RECORDS[1:]], set()),
    "a record of another type": ([proxied("www AAAA 2001:db8::1"), *RECORDS[1:]], {"www"}),
    "a record more": ([*RECORDS, record("new A 192.0.2.4")], set()),
    "the same in another order": (RECORDS[::-1], set()),
}


@pytest.mark.parametrize(("records", "owners"), NAMED.values(), ids=NAMED.keys())
@pytest.mark.parametrize("more", [0, 20])
def test_owners_of_records_deleted_or_switched(records: list[object], owners: set[str], more: int) -> None:
    """Few names are looked up one by one, many together."""
    asked = {wire_name(f"{name}.example.com") for name in ("www", "two", "mail", "new", "no")}
    asked |= {wire_name(f"n{number}.example.com") for number in range(more)}
    found = finished(MeantByChange(WHOLE, world(*records)).named_owners(COM, asked))
    assert set(found) == {wire_name(f"{name}.example.com") for name in owners}


def test_zones_deleted_or_paused() -> None:
    gone = MeantByChange(WHOLE, dataset([], {}))
    assert (gone.deletes_zone(COM), gone.names_zone(COM)) == (True, True)
    assert set(finished(gone.named_owners(COM, {wire_name("www.example.com")}))) == set()
    paused = MeantByChange(WHOLE, world(*RECORDS, paused=True))
    assert (paused.deletes_zone(COM), paused.names_zone(COM)) == (False, True)
    for before, after in ((WHOLE, WHOLE), (world(*RECORDS, paused=True), WHOLE), (dataset([], {}), WHOLE)):
        same = MeantByChange(before, after)
        assert (same.deletes_zone(COM), same.names_zone(COM)) == (False, False)


def test_maps_disabled_or_deleted() -> None:
    off, none = world(*RECORDS, enabled=False), dataset([zone("example.com", RECORDS)], {})
    for before, after, is_named in (
        (WHOLE, off, True),
        (WHOLE, none, True),
        (WHOLE, WHOLE, False),
        (off, none, False),
        (off, WHOLE, False),
        (WHOLE, dataset([zone("example.com", RECORDS)], {"a1/shop": zone_map("example.com", "203.0.113.2")}), False),
    ):
        assert MeantByChange(before, after).names_map(SHOP) == is_named


def test_edited_names_are_those_of_records_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    after = world(proxied("www A 192.0.2.9"), *RECORDS[1:3], record("new A 192.0.2.4"))
    edited = {wire_name(f"{name}.example.com") for name in ("www", "mail", "new")}
    assert set(MeantByChange(WHOLE, after).edited_names()) == edited
    assert [*MeantByChange(WHOLE, WHOLE).edited_names()] == []
    assert [*MeantByChange(WHOLE, dataset([], {})).edited_names()] == []
    monkeypatch.setattr(module, "MAX_NAMES", 1)
    assert len([*MeantByChange(WHOLE, after).edited_names()]) == 1
