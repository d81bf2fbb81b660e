"""Zones too large for the memory: refused before they are read, while all that was served goes on."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn, cast

import pytest

from dnsd.app import Loaded
from dnsd.errors import InvalidDataError
from dnsd.manage.draft import Draft
from dnsd.manage.history import History
from dnsd.manage.records import import_records
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.manage.restore import restore
from dnsd.manage.versions import Version
from dnsd.store.blocks import TextBlock
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.room import ALWAYS, MIB, TO_READ, Room, too_large
from dnsd.store.text_file import Content
from tests.unit.store.test_hold import edit, reload, start

ONE = Room(0, lambda: 0, 1)
SIZE = 1000  # octets
EACH = ONE.needed(SIZE)
MANY = ALWAYS // EACH + 1  # zones of this size for which there must be room


def file(key: str, size: int = SIZE, digest: bytes = b"") -> SourceFile:
    return SourceFile(
        key, FileKind.ZONE_YAML, f"{key}.yaml", Content(digest or key.encode(), None, (TextBlock(b"", size),))
    )


# The sizes of zones, in parts of the room; those served before; the room for how many parts; errors and warnings.
CASES: dict[str, tuple[dict[str, int], str, int, str, str]] = {
    "one that fits": ({"a": 3}, "", 3, "", ""),
    "one that does not": ({"a": 3}, "", 2, "a", ""),
    "each would fit alone": ({"a": 3, "b": 3}, "", 5, "b", ""),
    "the largest is refused, whatever its name": ({"a": 5, "b": 1, "c": 2}, "", 5, "a", ""),
    "smaller ones do not suffer": ({"a": 9, "b": 2, "c": 2}, "", 4, "a", ""),
    "one that was served before": ({"a": 3}, "a", 2, "", "a"),
    "those served before come first": ({"a": 3, "b": 1}, "a", 3, "b", ""),
    "those served before are all loaded": ({"a": 3, "b": 3, "c": 1}, "ab", 4, "c", "b"),
    "nothing is left": ({"a": 1, "b": 2}, "a", 0, "b", "a"),
    "less than nothing is left": ({"a": 1, "b": 2}, "a", -9, "b", "a"),
    "a tiny one always fits": ({"a": 0, "b": 2}, "", -9, "b", ""),
}


@pytest.mark.parametrize(("sizes", "served", "parts", "errors", "warnings"), CASES.values(), ids=CASES.keys())
def test_zones_that_do_not_fit(sizes: dict[str, int], served: str, parts: int, errors: str, warnings: str) -> None:
    files = {key: file(key, size * MANY * SIZE) for key, size in sizes.items()}
    room = Room(100 * MIB, lambda: parts * MANY * EACH, 1)
    found = too_large(files.values(), room, lambda: [files[key].content for key in served])
    assert "".join(sorted(one.key for one, problem in found.items() if not problem.warning)) == errors
    assert "".join(sorted(one.key for one, problem in found.items() if problem.warning)) == warnings


def test_zone_served_under_another_name_counts_as_served() -> None:
    moved = file("new/zones/x", MANY * SIZE, b"same")
    found = too_large([moved], ONE, lambda: [file("old/zones/x", digest=b"same").content])
    assert [problem.warning for problem in found.values()] == [True]


def test_small_zones_are_never_refused() -> None:
    """Even if no memory is left: edits must stay possible."""
    assert not too_large([file("a"), file("b")], ONE, lambda: pytest.fail("not needed"))


def test_message_has_size_and_limit() -> None:
    room = Room(300 * MIB, lambda: 200 * MIB, 2)
    (problem,) = too_large([file("a", 123_456_789)], room, tuple).values()
    assert "123,456,789 octets" in problem.message
    assert "`limits.memory_mib` (300 MiB), 200 MiB are left" in problem.message
    assert f"about {room.needed(123_456_789) // MIB:,} MiB" in problem.message


# Sizes of files; those over the limit count as memory only if they are loaded.
OVER: dict[str, tuple[dict[str, int], str, int, str, str]] = {
    "as large as allowed": ({"a": 2}, "", 9, "", ""),
    "one over the limit": ({"a": 3, "b": 1}, "", 1, "a", ""),
    "one that was served before": ({"a": 3, "b": 1}, "a", 3, "b", "a"),
    "with memory for all": ({"a": 3, "b": 1}, "a", 9, "", "a"),
}


@pytest.mark.parametrize(("sizes", "served", "parts", "errors", "warnings"), OVER.values(), ids=OVER.keys())
def test_files_over_the_limit(sizes: dict[str, int], served: str, parts: int, errors: str, warnings: str) -> None:
    files = {key: file(key, size * MANY * SIZE) for key, size in sizes.items()}
    room = Room(100 * MIB, lambda: parts * MANY * EACH, 1, 2 * MANY * SIZE)
    found = too_large(files.values(), room, lambda: [files[key].content for key in served])
    assert "".join(sorted(one.key for one, problem in found.items() if not problem.warning)) == errors
    assert "".join(sorted(one.key for one, problem in found.items() if problem.warning)) == warnings
    assert "a" not in errors or "octets are over `limits.file_mib`" in found[files["a"]].message


# Files

BIG = "records: []\n" + "#" * (2 * MANY * SIZE) + "\n"
BIGGER = BIG + "# one more line\n"
SETTINGS = "default_addresses: [192.0.2.1]\nnameservers: [ns1.example.net]\nworkers: 1\n"
FILES = {
    "dnsd.yaml": SETTINGS,
    "accounts/acme/zones/small.example.yaml": "records:\n- {name: www, type: A, content: 192.0.2.81}\n",
    "accounts/bay/zones/bay.example.yaml": "records:\n- {name: www, type: A, content: 192.0.2.82}\n",
}
TIGHT = {"dnsd.yaml": SETTINGS + "limits: {memory_mib: 64}\n"}  # less than this process holds
NEW = "accounts/bay/zones/big.example.yaml"


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    edit(tmp_path, FILES)
    return tmp_path


def zones(loaded: Loaded) -> set[str]:
    return {one.name_text for one in loaded.dataset.zones.values()}


def said(loaded: Loaded, *, warning: bool) -> list[str]:
    found = loaded.warnings if warning else loaded.errors
    return [str(one) for one in found if "limits.memory_mib" in one.message]


def test_new_zone_holds_its_account_and_no_other(root: Path) -> None:
    before = start(root)
    edit(root, {**TIGHT, NEW: BIG, "accounts/acme/zones/small.example.yaml": "records: []\n"})
    for loaded in (reload(root, before), start(root)):
        assert set(loaded.held) == {"bay"}
        assert zones(loaded) == {"small.example", "bay.example"}
        (error,) = said(loaded, warning=False)
        assert error.startswith(f"{root}/{NEW}:1:1: ")
    edit(root, {"dnsd.yaml": SETTINGS})
    assert zones(reload(root, loaded)) == {"small.example", "bay.example", "big.example"}


def test_zone_served_before_is_loaded_with_a_warning(root: Path) -> None:
    edit(root, {NEW: BIG})
    start(root)
    edit(root, TIGHT)
    loaded = start(root)
    assert not loaded.held
    assert "big.example" in zones(loaded)
    assert len(said(loaded, warning=True)) == 1
    edit(root, {"accounts/acme/zones/small.example.yaml": "records: []\n"})
    again = reload(root, loaded)
    assert not again.held
    assert len(said(again, warning=True)) == 1


def test_edit_of_a_large_zone_leaves_the_old_version_served(root: Path) -> None:
    edit(root, {NEW: BIG})
    before = start(root)
    edit(root, {**TIGHT, NEW: BIGGER})
    for loaded in (reload(root, before), start(root)):
        assert set(loaded.held) == {"bay"}
        assert {file.key: file.text() for file in loaded.files.files}["bay/zones/big.example"] == BIG


def test_first_start_refuses_it(root: Path) -> None:
    edit(root, {**TIGHT, NEW: BIG})
    with pytest.raises(InvalidDataError, match="memory_mib"):
        start(root)


SHORT = {"dnsd.yaml": SETTINGS + "limits: {file_mib: 1}\n"}
LONG = "records: []\n" + "# a long line of a long file\n" * (MIB // 20)


def test_file_limit_is_a_setting(root: Path) -> None:
    before = start(root)
    edit(root, {**SHORT, NEW: LONG})
    loaded = reload(root, before)
    assert set(loaded.held) == {"bay"}
    (error,) = loaded.errors
    assert str(error).startswith(f"{root}/{NEW}:1:1: ")
    assert f"{len(LONG):,} octets are over `limits.file_mib` (1 MiB): raise the limit" in error.message
    edit(root, {"dnsd.yaml": SETTINGS})
    assert "big.example" in zones(reload(root, loaded))
    edit(root, SHORT)
    (warning,) = [one for one in start(root).warnings if "limits.file_mib" in one.message]
    assert "served before" in warning.message


def test_request_for_an_account_that_a_large_file_holds_says_so(root: Path) -> None:
    before = start(root)
    edit(root, {**SHORT, "accounts/bay/zones/bay.example.yaml": LONG})
    draft = Draft(reload(root, before), datetime.now(UTC), by_operator=False)
    with pytest.raises(RefusedError, match=r"octets are over `limits\.file_mib`"):
        draft.write_text("bay/zones/bay.example", FileKind.ZONE_YAML, "records: []\n")


@pytest.mark.parametrize(
    ("settings", "text", "reason", "limit"),
    [(TIGHT, BIG, Reason.NO_ROOM, "limits.memory_mib"), (SHORT, LONG, Reason.INVALID, "limits.file_mib")],
)
def test_request_for_a_file_over_a_limit_is_refused(
    root: Path, settings: dict[str, str], text: str, reason: Reason, limit: str
) -> None:
    edit(root, settings)
    draft = Draft(start(root), datetime.now(UTC), by_operator=False)
    draft.write_text("bay/zones/bay.example", FileKind.ZONE_YAML, text)
    with pytest.raises(RefusedError) as caught:
        draft.load()
    (fault,) = caught.value.faults
    assert fault.reason is reason
    assert limit in fault.message


def never(*arguments: object, **options: object) -> NoReturn:
    raise AssertionError("it was read")


@pytest.mark.parametrize("kind", [FileKind.ZONE_MASTER, FileKind.ZONE_YAML])
def test_restore_of_a_version_without_room_is_refused_before_it_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, kind: FileKind
) -> None:
    before = start(root)
    (zone,) = (one for one in before.dataset.zones.values() if one.name_text == "bay.example")
    edit(root, TIGHT)
    draft = Draft(start(root), datetime.now(UTC), by_operator=False)
    version = Version(
        version="v", at="", action="", token="", key=zone.key, kind=kind.name, account_id=zone.account_id, digest=""
    )
    history = cast(History, SimpleNamespace(text=lambda *which: (version, BIG)))
    monkeypatch.setattr("dnsd.manage.restore.read_zone", never)
    with pytest.raises(RefusedError) as caught:
        restore(draft, history, zone.account_id, zone.id, "v", is_map=False)
    check_refused(caught.value, f"{len(BIG):,} octets")
    assert draft.written() == []


def test_edit_of_a_master_file_without_room_is_refused_before_it_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "@ 60 SOA ns1 host 7 2 3 4 5\n@ 60 NS ns1\nwww 60 A 192.0.2.1\n" + "; a comment\n" * (len(BIG) // 10)
    edit(root, {"accounts/bay/zones/large.example.zone": text})
    start(root)
    edit(root, TIGHT)
    loaded = start(root)
    (zone,) = (one for one in loaded.dataset.zones.values() if one.name_text == "large.example")
    monkeypatch.setattr("dnsd.manage.draft.edited_zone_text", never)
    draft = Draft(loaded, datetime.now(UTC), by_operator=False)
    with pytest.raises(RefusedError) as caught:
        import_records(draft, zone.id, b"new 60 A 192.0.2.2\n", proxies=False)
    check_refused(caught.value, f"{len(text):,} octets")
    assert zone.id in loaded.dataset.zones


def check_refused(error: RefusedError, size: str) -> None:
    (fault,) = error.faults
    assert fault.reason is Reason.NO_ROOM
    assert size in fault.message
    assert "limits.memory_mib" in fault.message


def test_many_zones_together_hold_the_accounts_of_the_largest(root: Path) -> None:
    """Each would fit alone; what was served goes on."""
    before = start(root)
    half = "records: []\n" + "#" * (ALWAYS // ONE.needed(1) // 2)
    new = {
        f"accounts/{name}/zones/{name}.example.yaml": half + "#" * 9 * number for number, name in enumerate("uvwxyz")
    }
    edit(root, {**TIGHT, **new})
    loaded = reload(root, before)
    assert set(loaded.held) == {"v", "w", "x", "y", "z"}
    assert zones(loaded) == {"small.example", "bay.example", "u.example"}
    assert len(said(loaded, warning=False)) == 5
    edit(root, {"dnsd.yaml": SETTINGS})
    assert len(zones(reload(root, loaded))) == 8


# Processes whose memory is really short

LINES = 40_000


def text_of(kind: str) -> str:
    """A zone of short records with different names and data."""
    rows = [(f"h{number * 7919 % 2**20:05x}", f"10.0.{number >> 8}.{number & 255}") for number in range(LINES)]
    if kind == "zone":
        return "@ 60 SOA ns1 host 7 2 3 4 5\n@ 60 NS ns1\n" + "".join(f"{name} 60 A {ip}\n" for name, ip in rows)
    return "records:\n" + "".join(f"- {{name: {name}, type: A, content: {ip}}}\n" for name, ip in rows)


PEAK = """
import resource, sys
from pathlib import Path
from dnsd.app import load
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
load(Path(sys.argv[1]) / 'dnsd.yaml', {})
print(peak() - before)
"""


@pytest.mark.parametrize("kind", ["zone", "yaml"])
def test_reading_needs_no_more_than_estimated(root: Path, kind: str) -> None:
    text = text_of(kind)
    edit(root, {f"accounts/acme/zones/many.example.{kind}": text})
    done = subprocess.run([sys.executable, "-c", PEAK, str(root)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < TO_READ * len(text) + ALWAYS


def test_process_with_little_memory_refuses_instead_of_failing(root: Path) -> None:
    edit(root, {"accounts/acme/zones/many.example.zone": text_of("zone") * 20})
    limit = 400 * MIB
    done = subprocess.run(
        [sys.executable, "-m", "dnsd", "check", "--config", str(root / "dnsd.yaml")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 1, done.stderr
    assert "many.example.zone:1:1: " in done.stderr + done.stdout
    assert "limits.memory_mib" in done.stderr + done.stdout
    assert "1 error" in done.stderr
