"""Upgrades from the release before: its state folder is read, whenever the first starts are killed; and the way back.

Each line of docs/upgrading.md, *Good texts and history in blocks*, and of the way back, has a test here. The state is
one that the release before wrote, for the files of `tests/unit/control/scheduling.py`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner

from dnsd import whole_file
from dnsd.cli.commands import main
from dnsd.cli.schema import SCHEMAS
from dnsd.manage.maps import MapChange, edit_map
from dnsd.manage.service import Actor
from dnsd.process.snapshot_file import FORMAT
from dnsd.process.snapshot_log import load_title
from dnsd.store.folder import read_files
from tests.kept_texts import good_texts
from tests.limits import IS_LONG
from tests.unit.control.scheduling import ACME, FILES, SHOP, Life, Scheduling
from tests.unit.store.test_write import killed_in

STATE = Path(__file__).with_name("state_before_blocks.json")
VERSION_BEFORE = re.compile(r"\d{8}T\d{6}\.\d{6}Z")  # the files that the release before takes for versions
CAKE = "acme/zones/cake.example.yaml"
WWW, BREAD, TOOLS = b"\3www\4cake\7example\0", b"\3www\5bread\7example\0", b"\3www\5tools\7example\0"
OLD_ZONE = "c1" * 16  # deleted


@pytest.fixture
def world(tmp_path: Path) -> Scheduling:
    """The files, with the state folder of the release before."""
    world = Scheduling(tmp_path / "world")
    put_state(world.state)
    return world


def put_state(state: Path) -> None:
    for name, text in json.loads(STATE.read_text()).items():
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_bytes(text.encode(errors="surrogateescape"))


async def keep(life: Life) -> None:
    """What a start does in the state folder."""
    await life.control.publisher.save()
    await life.control.current.keep_first_good()


async def edit(life: Life) -> None:
    change = MapChange(description="edited")
    await life.service.change(
        Actor(life.world.alice, "192.0.2.7"), "map.edit", lambda draft: edit_map(draft, ACME, SHOP, change)
    )


def zones(life: Life) -> set[bytes]:
    snapshot = life.control.publisher.snapshot
    assert snapshot
    return {name for name in (WWW, BREAD, TOOLS) if snapshot.names.get(name)}


async def all_held(life: Life) -> None:
    """The account in error has its last good version, all of it."""
    loaded = life.control.current.loaded
    assert loaded
    assert [*loaded.held] == ["acme"]
    assert zones(life) == {WWW, BREAD, TOOLS}
    assert SHOP in loaded.dataset.maps


def damage_of(lines: list[str]) -> list[str]:
    return [line for line in lines if "corrupt" in line or "missing" in line or "Traceback" in line]


def old(state: Path) -> dict[str, bytes]:
    """The files of the release before that are there, by name."""
    names = json.loads(STATE.read_text())
    return {name: (state / name).read_bytes() for name in names if (state / name).is_file()}


def test_check_of_the_new_version_accepts_the_files(world: Scheduling) -> None:
    result = CliRunner().invoke(main, ["check", "-c", str(world.config)])
    assert (result.exit_code, result.stderr) == (0, "")
    assert old(world.state).keys() == json.loads(STATE.read_text()).keys(), "check writes nothing"


@pytest.mark.parametrize("number", [1, FORMAT - 1, FORMAT + 1])
def test_snapshot_file_of_the_release_before_is_refused_in_words_and_written_anew(
    world: Scheduling, number: int
) -> None:
    file = world.state / "snapshot"
    file.write_bytes(b'dnsd snapshot %d {"version": "0.0.9"}\n' % number + bytes(9_000))

    async def start(life: Life) -> None:
        assert zones(life) == {WWW, BREAD, TOOLS}
        await keep(life)

    world.run(start)
    words = f"snapshot has format {number}, of another version of dnsd; this one has format {FORMAT}"
    assert [line for line in world.lines if words in line], world.lines
    title = load_title(file)
    assert title
    assert title.names == 6
    assert not [*world.state.glob("*.damaged")]


def test_nothing_is_converted_at_the_first_start(world: Scheduling) -> None:
    before = old(world.state)
    world.run(keep)
    assert old(world.state) == before
    assert len(before) == len(json.loads(STATE.read_text()))
    assert not (world.state / "blocks").exists()
    assert damage_of(world.lines) == []


def test_copies_are_read_and_replaced_when_the_account_changes(world: Scheduling) -> None:
    world.write(CAKE, "records: wrong\n")
    world.run(all_held)
    world.write(CAKE, FILES[CAKE])

    async def changed(life: Life) -> None:
        await keep(life)
        await edit(life)

    world.run(changed)
    assert (world.state / "good" / "acme").is_file()
    assert (world.state / "good" / "globex").is_dir()
    assert "edited" in good_texts(world.state)["acme/maps/shop.yaml"]
    world.write(CAKE, "records: wrong\n")
    world.run(all_held)
    assert damage_of(world.lines) == []


def test_versions_are_read_until_they_go(world: Scheduling) -> None:
    async def listed(life: Life) -> None:
        history = life.service.history
        assert history.objects(ACME) == [SHOP, OLD_ZONE] or history.objects(ACME) == [OLD_ZONE, SHOP]
        assert [one.version for one in history.versions(SHOP)][-2:] == [
            "20261128T120100.000000Z",
            "20261128T120000.000000Z",
        ]
        texts = [found[1] for one in history.versions(SHOP) if (found := history.text(SHOP, one.version))]
        assert texts[-2:] == ["enabled: true\n", "enabled: false\n"]
        found = history.text(OLD_ZONE, "20261128T130000.000000Z")
        assert found
        assert found[1].endswith("; caf\udce9\n")

    world.run(listed)
    world.run(edit)
    world.run(listed)
    assert len([*world.state.glob(f"history/{SHOP}/*")]) == 4  # with the file by hand, and the edited one
    assert damage_of(world.lines) == []


@pytest.mark.slow
@pytest.mark.parametrize("work", [keep, edit], ids=["at the start", "in a change"])
def test_kill_during_the_first_start_leaves_old_copies_or_the_new_list(
    tmp_path: Path, world: Scheduling, work: Callable[[Life], object]
) -> None:
    kinds = []
    for call in range(0, 1000, 1 if IS_LONG else 13):
        one = world.copy(tmp_path / str(call))
        is_killed = killed_in(call, partial(one.run, work), whole_file)  # type: ignore[arg-type]
        one.run(keep)
        kinds.append((one.state / "good" / "acme").is_file())
        one.write(CAKE, "records: wrong\n")
        (one.state / "snapshot").unlink()
        one.run(all_held)
        assert damage_of(one.lines) == []
        if not is_killed:
            break
    assert kinds[0] is False
    assert kinds[-1] is (work is edit)
    assert len(kinds) > 2


# The way back


def keys_of(schema: object) -> set[str]:
    """The names of all keys in a JSON schema, also inside others: `api`, `api.hosts`, …"""
    whole = cast(dict[str, Any], schema)

    def found(part: dict[str, Any]) -> Iterator[str]:
        part |= whole.get("$defs", {}).get(part.get("$ref", "").rpartition("/")[2], {})
        for key, inner in part.get("properties", {}).items():
            yield key
            yield from (f"{key}.{one}" for one in found(dict(inner)))
        for inner in (*part.get("anyOf", ()), *part.get("allOf", ()), part.get("items", {})):
            yield from found(dict(inner)) if inner else ()

    return {*found(dict(whole))}


def test_keys_to_remove_before_going_back_are_keys() -> None:
    text = " ".join((Path(__file__).parents[3] / "docs/upgrading.md").read_text().split())
    line = text.partition("The earlier version refuses the new keys as unknown: remove them. ")[2].partition(". - ")[0]
    for kind, part in zip(("zone", "account", "settings"), line.split(";"), strict=True):
        known = keys_of(SCHEMAS[kind].model_json_schema())
        named = re.findall(r"`([\w.]+)`", part)
        assert len(named) > 3
        for key in named:
            assert key in known or any(one.endswith(f".{key}") for one in known), (kind, key)


def test_release_before_moves_lists_aside_and_ignores_new_versions(world: Scheduling) -> None:
    """It reads folders of copies alone: anything else in `good/` gets a warning, for which it moves it aside."""
    world.run(edit)
    found = read_files(world.state / "good")
    assert found.accounts == ("globex",)
    aside = [problem.place.file for problem in found.problems if problem.place]
    assert aside == [str(world.state / "good" / "acme")]
    names = [file.name for file in world.state.glob("history/*/*")]
    ours = [name for name in names if not VERSION_BEFORE.fullmatch(name)]
    assert len(ours) == 2
    assert len(names) - len(ours) == 3


def test_next_upgrade_reads_what_both_releases_wrote(world: Scheduling) -> None:
    world.run(edit)
    (world.state / "good" / "acme").rename(world.state / "good" / ".acme.damaged")  # by the release before
    shutil.copytree(world.folder / "accounts" / "acme", world.state / "good" / "acme")
    head, _, text = (world.state / f"history/{SHOP}/20261128T120100.000000Z").read_bytes().partition(b"\n")
    later = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    written = json.loads(head) | {"version": later, "token": "old"}
    (world.state / "history" / SHOP / later).write_bytes(json.dumps(written).encode() + b"\n" + text)

    async def all_versions(life: Life) -> None:
        history = life.service.history
        found = [history.text(SHOP, one.version) for one in history.versions(SHOP)]
        assert None not in found
        assert next(one[1] for one in found if one) == "enabled: true\n"
        assert len(found) == 5
        await keep(life)

    world.run(all_versions)
    world.write(CAKE, "records: wrong\n")
    (world.state / "snapshot").unlink()
    world.run(all_held)
    assert damage_of(world.lines) == []


# A first start without any state


@pytest.mark.slow
@pytest.mark.parametrize("has_snapshot", [True, False])
def test_kill_during_the_first_start_of_all_leaves_no_account_without_its_zones(
    tmp_path: Path, *, has_snapshot: bool
) -> None:
    first, served = Scheduling(tmp_path / "first"), []

    async def start(life: Life) -> set[bytes] | None:
        return zones(life) if life.control.publisher.snapshot else None

    for call in range(0, 1000, 1 if IS_LONG else 13):
        one = first.copy(tmp_path / str(call))
        is_killed = killed_in(call, partial(one.run, keep), whole_file)
        one.write(CAKE, "records: wrong\n")
        if not has_snapshot:
            (one.state / "snapshot").unlink(missing_ok=True)
        try:
            served.append(one.run(start))
        except AssertionError:  # nothing was served before
            assert not (one.state / "snapshot").exists()
            assert not (one.state / "good").exists()
            served.append(None)
        assert "Traceback" not in "\n".join(one.lines)
        if not is_killed:
            break
    whole = {WWW, BREAD, TOOLS}
    assert served == [None] * served.index(whole) + [whole] * (len(served) - served.index(whole))
    assert served[-1] == whole
