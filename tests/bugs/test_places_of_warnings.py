"""The text of a zone over a quota was read, whole, at each change of anybody, for the place of its warning."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from dnsd.app import Loaded
from dnsd.formats.yaml_items import ItemLines
from dnsd.manage.draft import Draft
from dnsd.manage.zones import edit_zone
from dnsd.store.directory import SourceFile
from tests.unit.control.scheduling import FILES, Life, Scheduling

CAKE = "acme/zones/cake.example"


def pausing(zone: str, loaded: Loaded) -> tuple[None, Draft]:
    draft = Draft(loaded, datetime.now(UTC), by_operator=True)
    edit_zone(draft, next(one.id for one in loaded.dataset.zones.values() if one.name_text == zone), paused=True)
    return None, draft


def test_place_of_a_warning_is_kept_while_its_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Scheduling(tmp_path / "world", FILES | {f"{CAKE}.yaml": f"\n{FILES[f'{CAKE}.yaml']}"})
    with world.config.open("a") as file:
        file.write("quotas: {records_per_zone: 0}\n")
    read: list[str] = []
    text = SourceFile.text
    monkeypatch.setattr(SourceFile, "text", lambda file: read.append(file.key) or text(file))
    monkeypatch.setattr(ItemLines, "starts", lambda *_: pytest.fail("the items are looked for"))

    def line(life: Life) -> int:
        assert life.control.current.loaded
        (found,) = [one for one in life.control.current.loaded.warnings if one.source == CAKE]
        assert "records_per_zone" in found.message
        assert found.place
        return found.place.line

    async def work(life: Life) -> None:
        assert line(life) == 2
        read.clear()
        for zone in ("tools.example", "bread.example"):
            await life.control.changes.change(partial(pausing, zone), "other")
        assert CAKE not in read
        assert line(life) == 2
        await life.control.changes.change(partial(pausing, "cake.example"), "other")
        assert line(life) == 2

    world.run(work)
