"""The history of objects: versions share blocks, keep their limits, and outlive upgrades, damage and other folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.control.block_upkeep import sweep
from dnsd.manage import history as module
from dnsd.manage.history import History, Provenance
from dnsd.store.block_store import SPARED_S, BlockStore
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.good import GoodTexts
from dnsd.store.text_file import content_of, read_content
from tests.kept_texts import make_old

ACME, ZONE, MAP = "aa" * 16, "21" * 16, "51" * 16
KEY = "acme/zones/example.com"
START = datetime(2026, 11, 30, tzinfo=UTC)
RNG = Random(4)


def file(text: str, key: str = KEY, kind: FileKind = FileKind.ZONE_MASTER) -> SourceFile:
    return SourceFile(key, kind, "/nowhere", content_of(text))


def keep(history: History, texts: Iterable[str], object_id: str = ZONE, key: str = KEY, **options: Any) -> None:
    for number, text in enumerate(texts):
        at = START + timedelta(seconds=number)
        history.keep(object_id, Provenance(ACME, at, "record.edit", "alice"), file(text, key), **options)


def texts(history: History, object_id: str = ZONE) -> list[str | None]:
    """The texts of all versions, oldest first."""
    found = [history.text(object_id, one.version) for one in history.versions(object_id)[::-1]]
    return [one and one[1] for one in found]


def large(size: int = 4_000_000) -> list[str]:
    lines, left = [], size
    while left > 0:
        lines.append(f"h{len(lines)} 60 A {'.'.join(map(str, RNG.randbytes(4)))}\n")
        left -= len(lines[-1])
    return lines


def editions(lines: list[str], number: int) -> list[str]:
    """The text after each of so many edits of one line."""
    found = []
    for edit in range(number):
        lines[RNG.randrange(len(lines))] = f"edited 60 TXT {edit}\n"
        found.append("".join(lines))
    return found


def disk(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())


def test_versions_of_a_large_zone_cost_a_block_or_two_each(tmp_path: Path) -> None:
    history = History(tmp_path)
    wanted = editions(large(), 8)  # 32 MB: over the limit of an object, were they whole texts
    keep(history, wanted[:1])
    first = history.size(ACME)
    assert 1_000_000 < first < 3_000_000
    keep(history, wanted[1:])
    assert texts(history) == wanted
    a_version = (history.size(ACME) - first) / 7
    assert a_version < 3 * first / 35  # 35 blocks of 115 kB
    assert history.size(ACME) == History(tmp_path).size(ACME) == disk(tmp_path)


def test_versions_over_the_limits_go_and_the_newest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path)
    monkeypatch.setattr(module, "MAX_VERSIONS", 10)
    keep(history, (f"; {number}\n" for number in range(13)))
    assert texts(history) == [f"; {number}\n" for number in range(3, 13)]
    others = ["".join(large(300_000)) for _ in range(6)]  # with no block in common
    monkeypatch.setattr(module, "MAX_SIZE", 500_000)
    keep(history, others, MAP)
    left = len(texts(history, MAP))
    assert 1 < left < 6
    assert texts(history, MAP) == others[-left:]
    monkeypatch.setattr(module, "MAX_SIZE", 1_000)
    keep(history, others[:1], MAP)
    assert texts(history, MAP) == others[:1]


def test_versions_of_other_objects_go_over_the_quota(tmp_path: Path) -> None:
    history = History(tmp_path)
    for number in range(5):
        keep(history, ["".join(large(200_000))], f"{number}".ljust(32, "0"), most=400_000)
    assert [one[0] for one in history.objects(ACME)] == ["4", "3", "2", "1"][: len(history.objects(ACME))]
    assert 1 < len(history.objects(ACME)) < 5
    assert 200_000 < history.size(ACME) <= 400_000


# Blocks that no version names


def swept(state: Path, history: History, good: GoodTexts | None = None, *, later_s: float = 2 * SPARED_S) -> set[str]:
    """The names of the blocks that are left after a sweep, so much later."""
    current: Any = SimpleNamespace(blocks=history._blocks, good=good or GoodTexts(state))
    sweep(current, history, datetime.now(UTC).timestamp() + later_s)
    return {one.name for one in state.glob("blocks/*/*")}


def test_blocks_go_an_hour_after_the_last_version_that_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path)
    monkeypatch.setattr(module, "MAX_VERSIONS", 10)
    keep(history, (f"; {number}\n" for number in range(13)))
    assert len(swept(tmp_path, history, later_s=SPARED_S / 2)) == 13
    assert len(swept(tmp_path, history)) == 10
    assert len({*texts(history)} - {None}) == 10
    keep(history, ["; other\n"], MAP, most=100)  # takes the room of the zone's versions
    assert history.objects(ACME) == [MAP]
    assert len(swept(tmp_path, history)) == 1
    keep(history, ["; 1\n", "; other\n"], MAP)
    assert texts(history, MAP) == ["; other\n", "; 1\n", "; other\n"]


def test_blocks_of_good_texts_and_versions_stay_over_a_restart(tmp_path: Path) -> None:
    root, state = tmp_path / "accounts", tmp_path / "state"
    served = root / "acme" / "zones" / "example.com.zone"
    served.parent.mkdir(parents=True)
    served.write_text("; served\n")
    one = SourceFile(KEY, FileKind.ZONE_MASTER, str(served), read_content(served))
    GoodTexts(state).keep(Files(str(root), ("acme",), (one,)))
    keep(History(state), ["; 1\n", "; 2\n"])
    BlockStore(state).keep("acme", content_of("; of nobody\n").blocks, lambda number: b"; of nobody\n")
    blocks = BlockStore(state)
    history, good = History(state, blocks=blocks), GoodTexts(state, blocks)
    assert len(swept(state, history, good)) == 4  # none is known to be unnamed
    blocks.note_all()
    assert len(swept(state, history, good)) == 3
    assert texts(history) == ["; 1\n", "; 2\n"]
    read = good.read()
    assert read
    assert read.files[0].text() == "; served\n"
    (state / "good" / "acme").write_bytes(b"damaged")
    blocks.note_all()
    assert len(swept(state, history, good)) == 3  # nobody knows which blocks it named


def test_account_that_cannot_be_swept_does_not_prevent_others(tmp_path: Path) -> None:
    history = History(tmp_path)
    keep(history, ["; 1\n", "; 2\n"])
    BlockStore(tmp_path).keep("ajax", content_of("; of nobody\n").blocks, lambda number: b"; of nobody\n")
    (tmp_path / "blocks" / "zoo").write_text("a file")
    history._blocks.note_unnamed("zoo")
    history._blocks.note_all()
    with pytest.raises(NotADirectoryError):
        swept(tmp_path, history)
    assert sorted(one.parent.name for one in tmp_path.glob("blocks/*/*")) == ["acme", "acme"]
    assert texts(history) == ["; 1\n", "; 2\n"]


# Versions of the release before


def test_versions_of_the_release_before_are_read_among_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VERSIONS", 6)
    keep(History(tmp_path), ["; 1\n", "; caf\udce9\n"])
    GoodTexts(tmp_path).keep(Files("", (), ()))
    make_old(tmp_path)
    assert len([*tmp_path.glob("history/*/*Z")]) == 2
    history = History(tmp_path)
    before = history.size(ACME)
    assert before == disk(tmp_path / "history")
    assert texts(history) == ["; 1\n", "; caf\udce9\n"]
    keep(history, ["; caf\udce9\n"])  # as the newest one
    assert len(texts(history)) == 2
    keep(history, ["; 3\n", "; 1\n"])
    assert texts(history) == ["; 1\n", "; caf\udce9\n", "; 3\n", "; 1\n"]
    assert history.size(ACME) > before
    keep(history, (f"; {number}\n" for number in range(10, 14)))
    assert texts(history)[:2] == ["; 3\n", "; 1\n"]  # the oldest ones went
    assert not [*tmp_path.glob("history/*/*Z")]


def test_versions_outlive_a_return_to_the_release_before(tmp_path: Path) -> None:
    """It adds versions of its own, and does not see those of this release."""
    keep(History(tmp_path), ["; 1\n", "; 2\n"])
    other = tmp_path / "other"
    GoodTexts(other).keep(Files("", (), ()))
    for at, text in ((10, "; y\n"), (11, "; z\n")):
        History(other).keep(ZONE, Provenance(ACME, START + timedelta(seconds=at), "record.edit", ""), file(text))
    make_old(other)
    shutil.copytree(other / "history", tmp_path / "history", dirs_exist_ok=True)
    history = History(tmp_path)
    assert texts(history) == ["; 1\n", "; 2\n", "; y\n", "; z\n"]
    history._blocks.note_all()
    assert len(swept(tmp_path, history)) == 2
    keep(history, ["; z\n", "; 3\n"])
    assert None not in texts(history)
    assert texts(history)[-2:] == ["; z\n", "; 3\n"]


# Damage


def test_version_with_a_missing_or_damaged_block_is_lost_and_others_stay(tmp_path: Path) -> None:
    said: list[str] = []
    history = History(tmp_path, said.append)
    keep(history, ["; 1\n", "; 2\n", "; 3\n", "; 4\n"])
    one, two = (tmp_path / "blocks/acme" / content_of(f"; {n}\n").blocks[0].digest.hex() for n in (1, 2))
    one.unlink()
    two.write_bytes(b"; 5\n")
    assert texts(history) == [None, None, "; 3\n", "; 4\n"]
    assert len(said) == 2
    assert all(" is corrupt: moved aside as " in line and line.endswith("this version is lost") for line in said)
    assert texts(history) == ["; 3\n", "; 4\n"]
    assert len(said) == 2
    keep(history, ["; 1\n"])
    assert texts(history) == ["; 3\n", "; 4\n", "; 1\n"]


def test_lost_blocks_do_not_stop_a_change(tmp_path: Path) -> None:
    history = History(tmp_path)
    keep(history, ["; 1\n", "; 2\n"])
    shutil.rmtree(tmp_path / "blocks")
    keep(history, ["; 3\n", "; 2\n"])
    assert texts(history)[-2:] == ["; 3\n", "; 2\n"]


# Folders and files


def test_object_keeps_its_versions_when_its_account_gets_another_folder(tmp_path: Path) -> None:
    history = History(tmp_path)
    keep(history, ["; 1\n", "; 2\n"])
    keep(history, ["; 3\n"], key="ajax/zones/example.com")
    assert texts(history) == ["; 1\n", "; 2\n", "; 3\n"]
    assert [one.key for one in history.versions(ZONE)] == ["ajax/zones/example.com", KEY, KEY]
    history._blocks.note_all()
    assert len(swept(tmp_path, history)) == 3


@pytest.mark.parametrize("is_other_folder", [False, True])
def test_file_that_a_change_replaced_is_kept_as_it_was_secured(tmp_path: Path, *, is_other_folder: bool) -> None:
    history = History(tmp_path / "state")
    if is_other_folder:
        keep(history, ["; 1\n"], key="before/zones/example.com")
    text = "".join(large(500_000))
    path = tmp_path / "example.com.zone"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    one = SourceFile(KEY, FileKind.ZONE_MASTER, str(path), read_content(path))
    assert one.content.text is None
    history.secure([one])
    path.write_text("; edited\n")
    history.keep(ZONE, Provenance(ACME, START, "file", ""), one)
    assert texts(history)[-1] == text


def test_versions_kept_by_threads_at_once_are_whole_and_complete(tmp_path: Path) -> None:
    """The evidence of a change is kept before it is made, while the versions of earlier changes are."""
    reports: list[str] = []
    history = History(tmp_path, reports.append)
    kept_by = [[f"a 60 TXT {thread}-{number}\n" for number in range(12)] for thread in range(4)]
    with ThreadPoolExecutor(len(kept_by)) as threads:
        for done in [threads.submit(keep, history, kept) for kept in kept_by]:
            done.result()
    assert not reports
    assert sorted(map(str, texts(history))) == sorted(chain(*kept_by))
    assert history.size(ACME) == History(tmp_path).size(ACME)
