"""An edit of a zone's records keeps what is known about the records that it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dnsd.api.records.read import record_builder
from dnsd.api.records.search import record_search
from dnsd.app import Loaded, load
from dnsd.manage.draft import Draft
from dnsd.manage.record_ids import HEAD, Hidden, IdHeads, find_records, record_id
from dnsd.manage.records import Batch, change_records
from dnsd.model import record_parts
from dnsd.model.record_parts import finished
from dnsd.model.zones import Zone

COUNT = 40
TEXTS = {
    "yaml": "records:\n" + "".join(f"- {{name: h{one}, type: A, content: 192.0.2.{one}}}\n" for one in range(COUNT)),
    "zone": "@ 60 SOA ns1 host 7 2 3 4 5\n@ 60 NS ns1\n"
    + "".join(f"h{one} 60 A 192.0.2.{one}\n" for one in range(COUNT)),
}


@pytest.fixture(params=TEXTS)
def loaded(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    monkeypatch.setattr(record_parts, "SIZE", 4)
    (tmp_path / "dnsd.yaml").write_text("default_addresses: [192.0.2.1]\nnameservers: [ns1.example.net]\n")
    file = tmp_path / f"accounts/acme/zones/bay.example.{request.param}"
    file.parent.mkdir(parents=True)
    file.write_text(TEXTS[request.param])
    return load(tmp_path / "dnsd.yaml", {})


def zone_in(loaded: Loaded) -> Zone:
    (zone,) = loaded.dataset.zones.values()
    return zone


def changed(loaded: Loaded, *, edited: list[int], removed: list[int], added: list[str]) -> Loaded:
    """The data after a request; the records are given by the numbers of their addresses."""
    zone = zone_in(loaded)
    ids = {
        record.rdata[-1]: record_id(zone, index) for index, record in enumerate(zone.records) if len(record.rdata) == 4
    }
    batch = Batch(
        deletes=[ids[number] for number in removed],
        patches=[(ids[number], record_builder(zone, {"ttl": 120}, is_whole=False)) for number in edited],
        posts=[record_builder(zone, {"name": name, "type": "A", "content": "192.0.2.99"}) for name in added],
    )
    draft = Draft(loaded, datetime.now(UTC), by_operator=True)
    change_records(draft, zone.id, batch)
    return draft.load()


def ask(zone: Zone) -> list[bytes]:
    """What is known of ids, after a search by name and by id."""
    finished(find_records(zone, ["f" * 32]))
    finished(record_search({"name.contains": "h"}).found_in(zone))
    return [view.ask(IdHeads(zone.id)) for view in zone.records.parts.views(zone.records)]


CHANGES: dict[str, tuple[list[int], list[int], list[str], int]] = {
    "one edited": ([5], [], [], 1),
    "one removed": ([], [9], [], 1),
    "one added": ([], [], ["new"], 0),
    "several at once": ([5, 6, 20], [0, 30], ["new", "newer"], 4),
}


@pytest.mark.parametrize(("edited", "removed", "added", "lost"), CHANGES.values(), ids=CHANGES.keys())
def test_answers_about_other_parts_are_kept(
    loaded: Loaded, edited: list[int], removed: list[int], added: list[str], lost: int
) -> None:
    before = zone_in(loaded)
    ask(before)
    after = zone_in(changed(loaded, edited=edited, removed=removed, added=added))
    known = sum(bool(part.kept) for part in after.records.parts.parts)
    assert len(before.records.parts.parts) - lost - 2 <= known < len(after.records.parts.parts)
    kept = ask(after)
    for view, heads in zip(after.records.parts.views(after.records), kept, strict=True):
        hidden = HEAD * len(view.ask(Hidden(after.name)))  # the SOA at the beginning, with a new serial
        assert IdHeads(after.id)(view.records, view.start, view.stop)[hidden:] == heads[hidden:]


def test_ids_stay_through_many_edits(loaded: Loaded) -> None:
    zone = zone_in(loaded)
    ids = {
        index: record_id(zone, index) for index in range(len(zone.records)) if zone.records[index].owner != zone.name
    }
    for number in range(0, 12, 3):
        loaded = changed(loaded, edited=[number], removed=[number + 1], added=[f"new{number}"])
        found = finished(find_records(zone_in(loaded), [*ids.values()]))
        assert len(found) == len(ids) - number // 3 - 1
        assert all(record_id(zone_in(loaded), index) == one for one, index in found.items())
