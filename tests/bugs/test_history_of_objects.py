"""The history of objects is bounded and in order, and a damaged version stops no change."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dnsd.manage.history import History, Provenance
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.text_file import content_of
from tests.api.server import A1, Api


def file(text: str) -> SourceFile:
    return SourceFile("acme/maps/k", FileKind.MAP, "", content_of(text))


MAPS = f"/accounts/{A1}/addressing/address_maps"


def test_damaged_version_stops_no_change(api: Api) -> None:
    made = api.result("POST", MAPS, {"description": "one"})
    api.result("PATCH", f"{MAPS}/{made['id']}", {"description": "two"})
    folder = api.folder / "state/history" / made["id"]
    max(folder.iterdir()).write_bytes(b"")
    assert api.result("PATCH", f"{MAPS}/{made['id']}", {"description": "three"})["description"] == "three"
    assert len(api.result("GET", f"{MAPS}/{made['id']}/history")) == 3  # the damaged file's content is saved again
    api.result("DELETE", f"{MAPS}/{made['id']}")


def test_history_of_deleted_objects_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsd.manage.history.MAX_OBJECTS", 3)
    for run in range(2):  # including sessions of an earlier run
        history = History(tmp_path)
        for number in range(5):
            made = Provenance("aa" * 16, datetime.now(UTC), "map.create", "")
            history.keep(f"{run}{number}".ljust(32, "0"), made, file("text"))
        made = Provenance("cc" * 16, datetime.now(UTC), "map.create", "")
        history.keep("bb" * 16, made, file("other account"))
    assert len(list((tmp_path / "history").iterdir())) == 4
    assert history.versions("bb" * 16)


def test_versions_are_in_the_order_of_sight(tmp_path: Path) -> None:
    history = History(tmp_path)
    for text, at in (("one", datetime(2031, 1, 1, tzinfo=UTC)), ("two", datetime.now(UTC)), ("one", datetime.now(UTC))):
        history.keep("aa" * 16, Provenance("bb" * 16, at, "map.edit", ""), file(text))
    texts = [found[1] for one in history.versions("aa" * 16) if (found := history.text("aa" * 16, one.version))]
    assert texts == ["one", "two", "one"]
