"""Starts with the model file: they parse nothing that an earlier process has read, and all is as if they had."""

from __future__ import annotations

import dataclasses
import json
import mmap
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import dnsd
from dnsd import whole_file
from dnsd.api.records.show import shown_at
from dnsd.api.shapes import zone_shape
from dnsd.app import Loaded
from dnsd.control import model_keeper
from dnsd.control.code_digest import code_digest
from dnsd.engine.entry import NameEntry
from dnsd.engine.names import NameTable, rule_number
from dnsd.manage.record_ids import shown_page
from dnsd.model.record_parts import finished
from dnsd.process.model_file import MAGIC, TITLE_SIZE, ModelTitle, SavedModel, load_model, save_model
from dnsd.process.snapshot_log import load_title
from dnsd.serve import start
from dnsd.store import objects
from dnsd.store.kept_zones import NOTHING_KEPT
from tests.unit.control.scheduling import SETTINGS, SPACE, Life, Scheduling
from tests.unit.store.test_write import killed_in

COMMENTED = """\
$ORIGIN comments.example.
@ 3600 IN SOA ns1 host 1 2 3 4 5
@ 3600 IN NS ns1
ns1 IN A 192.0.2.1
www 1 IN A 192.0.2.2 ; seen by few cf_tags=cf-proxied:true,team:red
www 1 IN A 192.0.2.3 ; cf_tags=cf-proxied:true,dnsd-created:2024-01-31T00:00:00Z
txt 300 IN TXT "one" "two" ; a comment
txt 600 IN TXT "three"
child IN NS ns.child
ns.child IN A 192.0.2.4
alias IN CNAME www
below IN DNAME other.example.
*.wild IN A 192.0.2.5
"""
WITH_IDS = f"""\
id: "{"0a" * 16}"
created_on: 2024-01-31T00:00:00Z
settings: {{ipv6: false}}
records:
- {{id: "{"1b" * 16}", name: www, type: A, content: 192.0.2.9, proxied: true, created_on: 2024-02-01T01:02:03.5+02:00}}
- {{name: mail, type: MX, content: mx.example.net, priority: 10, ttl: 60, comment: "the post", tags: [a:b, c]}}
- {{name: text, type: TXT, content: 'not "quoted"'}}
- {{name: v4, type: CNAME, content: www, proxied: true, settings: {{ipv4_only: true}}}}
- name: several
  type: A
  content: 192.0.2.10
- {{name: several, type: AAAA, content: "2001:db8::1"}}
"""
ODD = """\
# the records have no lines of their own
records: [{name: one, type: A, content: 192.0.2.1}, {name: "*", type: CNAME, content: www.comments.example}]
"""
FILES = {
    "acme/account.yaml": f"name: Acme\n{SPACE}",
    "acme/zones/comments.example.zone": COMMENTED,
    "acme/zones/ids.example.yaml": WITH_IDS,
    "acme/maps/all.yaml": "enabled: true\nips: [203.0.113.1]\nmemberships: [{kind: account, identifier: acme}]\n",
    "globex/account.yaml": "name: Globex\n",
    "globex/zones/odd.example.yaml": ODD,
    "globex/zones/sub.comments.example.yaml": "verified: false\nrecords: [{name: w, type: A, content: 192.0.2.77}]\n",
    "globex/zones/initial.example.yaml": "status: initializing\n",
    "globex/zones/paused.example.zone": "www 300 IN A 192.0.2.1 ; cf_tags=cf-proxied:true\n",
}
ZONES = sorted(name for name in FILES if "/zones/" in name)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of zones that are parsed, from now on."""
    found: list[str] = []

    class Noting(objects._ZoneReader):
        def __init__(self, file: Any, *rest: Any) -> None:
            found.append(os.path.relpath(file.path, file.path.split("/accounts/")[0] + "/accounts"))
            super().__init__(file, *rest)

    monkeypatch.setattr(objects, "_ZoneReader", Noting)
    return found


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Scheduling:
    world = Scheduling(tmp_path_factory.mktemp("started") / "world", FILES)
    for name in FILES:
        os.utime(world.folder / "accounts" / name, (1_700_000_000, 1_700_000_000))
    world.run(keep)
    return world


@pytest.fixture
def world(started: Scheduling, tmp_path: Path) -> Scheduling:
    """Files, and a state folder with their snapshot and model."""
    return started.copy(tmp_path / "world")


async def keep(life: Life) -> None:
    """What a server does at its start: save the snapshot, then the model if there is a new snapshot file."""
    await life.control.publisher.save()
    await life.control.keeper.save_new()
    await life.control.current.keep_first_good()
    await life.control.loader.tell_of_start()


def fields_of(one: Any, *without: str) -> dict[str, Any]:
    return {
        name: getattr(one, name) for name in (field.name for field in dataclasses.fields(one)) if name not in without
    }


def everything(loaded: Loaded) -> dict[str, object]:
    """All that clients can see of the zones, and what later edits build on."""
    seen: dict[str, object] = {"warnings": [str(one) for one in loaded.warnings], "uses": loaded.uses}
    for key, read in loaded.stored.objects.zones.items():
        zone = read.zone
        assert zone
        indexes = finished(shown_page(zone, 0, 100))
        seen[key] = fields_of(read, "rows") | {"rows": [*read.rows]}, fields_of(zone), [*zone.records]
        seen[f"{key} columns"] = [*zone.records.grouped], dict(zone.records.identities), dict(zone.records.repeats())
        seen[f"{key} shown"] = [shown_at(loaded, zone, index) for index in indexes], zone_shape(loaded, zone)
    for zone_id, built in loaded.snapshot.zones.items():
        lists = {name: [*getattr(built, name)] for name in ("proxied_names", "aliases_at", "dnames_at")}
        seen[zone_id] = fields_of(built, "apex", "number", *lists) | lists, fields_of(built.apex)
        assert built.zone is loaded.dataset.zones[zone_id]
    names = loaded.snapshot.names
    seen["names"] = [(one._replace(kind=rule_number(one.kind)), names.apex(one).name) for one in names.entries()]
    return seen


async def look(life: Life) -> dict[str, object]:
    loaded = life.control.current.loaded
    assert loaded
    await keep(life)
    return everything(loaded)


def test_restart_parses_nothing(world: Scheduling, parsed: list[str]) -> None:
    seen = world.run(look)
    assert parsed == [], world.lines
    assert seen == anew(world)
    assert sorted(parsed) == ZONES


def anew(world: Scheduling) -> dict[str, object]:
    """What a start sees that has nothing but the files."""
    for name in ("snapshot", "snapshot.log", "snapshot.model"):
        (world.state / name).unlink(missing_ok=True)
    return world.run(look)


def test_large_zones_stay_in_the_mapped_file(world: Scheduling, parsed: list[str]) -> None:
    """Of all kinds, with ids, times and comments of each record; also after an edit of one."""
    lines = [
        f"- {{id: '{number:032x}', name: n{number}, type: A, content: 192.0.2.{number % 250}, comment: c{number}, "
        f"created_on: 2024-01-01T00:00:{number % 60:02}Z, proxied: {'true' if number % 2 else 'false'}}}\n"
        for number in range(1_500)
    ]
    world.write("acme/zones/large.example.yaml", f"records:\n{''.join(lines)}")
    master = [f"m{number} 300 IN CNAME n{number}.large.example.\n" for number in range(1_500)]
    world.write("globex/zones/master.example.zone", "".join(master))
    file, times = world.folder / "accounts/globex/zones/master.example.zone", (1_700_000_000, 1_700_000_000)
    os.utime(file, times)
    world.run(keep)
    parsed.clear()

    async def edited(life: Life) -> dict[str, object]:
        seen = await look(life)
        loaded = life.control.current.loaded
        assert loaded
        records = loaded.stored.objects.zones["globex/zones/master.example"].zone.records  # type: ignore[union-attr]
        assert isinstance(records.rdatas.octets.obj, mmap.mmap)
        world.write("globex/zones/master.example.zone", "".join(["new 300 IN A 192.0.2.1\n", *master]))
        assert await life.control.loader.load_change()
        assert b"\3new\6master\7example\0" in life.control.current.loaded.snapshot.names  # type: ignore[union-attr]
        world.write("globex/zones/master.example.zone", "".join(master))
        os.utime(file, times)
        return seen

    seen = world.run(edited)
    assert parsed == ["globex/zones/master.example.zone"]
    assert anew(world) == seen


def test_snapshot_file_is_not_written_again(world: Scheduling) -> None:
    file, log = world.state / "snapshot", world.state / "snapshot.log"

    def status() -> tuple[int, ...]:
        return file.stat().st_ino, (world.state / "snapshot.model").stat().st_ino

    before = status()
    title = load_title(file)
    for number in (1, 2, 3):
        world.run(keep)
        assert status() == before
        found = load_title(file)
        assert title
        assert found
        assert found.revision == title.revision + number
    assert len(log.read_bytes()) < 1_000  # of one entry
    name = world.folder / "accounts" / "acme/zones/ids.example.yaml"
    name.write_text(f"{WITH_IDS}- {{name: new, type: A, content: 192.0.2.1}}\n")
    world.run(keep)
    assert status() != before


CHANGES: dict[str, tuple[dict[str, str | None], list[str]]] = {
    "an edit": ({"acme/zones/ids.example.yaml": WITH_IDS.replace("192.0.2.9", "192.0.2.99")}, ["ids.example.yaml"]),
    "proxied no more": ({"acme/zones/comments.example.zone": COMMENTED.replace("cf-proxied:true", "a")}, ["comments"]),
    "another file": ({"acme/zones/new.example.zone": "www 300 A 192.0.2.1\n"}, ["new.example"]),
    "a zone inside a zone": ({"acme/zones/below.ids.example.yaml": "records: []\n"}, ["below.ids.example"]),
    "a file less": ({"globex/zones/sub.comments.example.yaml": None}, []),
    "a zone of another kind": (
        {"globex/zones/paused.example.zone": None, "globex/zones/paused.example.yaml": "paused: true\n"},
        ["paused.example.yaml"],
    ),
    "an account less": ({name: None for name in FILES if name.startswith("globex/")}, []),
    "another account": ({"globex/account.yaml": f"id: '{'7' * 32}'\n"}, ["odd", "sub", "initial", "paused"]),
    "its map": ({"acme/maps/all.yaml": FILES["acme/maps/all.yaml"].replace("113.1]", "113.2]")}, []),
    "no map": ({"acme/maps/all.yaml": None}, []),
    "everything": (
        {name: FILES[name] + ("# seen\n" if name.endswith("yaml") else "; seen\n") for name in ZONES},
        [*ZONES],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_while_down_are_read_alone(world: Scheduling, parsed: list[str], change: str) -> None:
    files, expected = CHANGES[change]
    for name, text in files.items():
        if text is None:
            (world.folder / "accounts" / name).unlink()
        else:
            world.write(name, text)
            os.utime(world.folder / "accounts" / name, (1_700_000_100, 1_700_000_100))
    if change == "an account less":
        shutil.rmtree(world.folder / "accounts/globex")
    parsed.clear()
    seen = world.run(look)
    assert len(parsed) == len(expected)
    assert all(any(part in name for name in parsed) for part in expected), parsed
    parsed.clear()
    assert world.run(look) == seen
    assert parsed == []
    assert anew(world) == seen


def test_edit_that_was_undone_while_down(world: Scheduling, parsed: list[str]) -> None:
    """The text is that of the model, but the log of the snapshot file has the edit."""
    name = world.folder / "accounts/acme/zones/ids.example.yaml"

    async def edited(life: Life) -> None:
        await keep(life)
        name.write_text(WITH_IDS.replace("192.0.2.10", "192.0.2.11").replace("- {name: mail", "- {name: post"))
        assert await life.control.loader.load_change()
        await life.control.publisher.save()
        assert (world.state / "snapshot.log").stat().st_size > 500

    world.run(edited)
    name.write_text(WITH_IDS)
    os.utime(name, (1_700_000_000, 1_700_000_000))
    parsed.clear()
    seen = world.run(look)
    assert parsed == []
    assert seen == anew(world)


@pytest.mark.parametrize("setting", ["nameservers: [ns1.example.net]", "nameservers: [ns9.example.net]"])
def test_other_name_servers_are_in_all_zones(world: Scheduling, parsed: list[str], setting: str) -> None:
    text = world.config.read_text()
    world.config.write_text(text.replace("nameservers: [ns1.example.net]", setting))
    seen = world.run(look)
    assert bool(parsed) == (setting not in text)
    assert seen == anew(world)


def test_account_in_error_is_held_without_reading_its_good_texts(world: Scheduling, parsed: list[str]) -> None:
    world.write("acme/zones/ids.example.yaml", "records: wrong\n")
    parsed.clear()

    async def held(life: Life) -> dict[str, object]:
        assert life.control.current.loaded
        assert [*life.control.current.loaded.held] == ["acme"]
        return await look(life)

    seen = world.run(held)
    assert parsed == ["acme/zones/ids.example.yaml"]
    (world.state / "snapshot.model").unlink()
    parsed.clear()
    assert world.run(held) == seen
    assert len(parsed) == len(ZONES) + 1


def test_start_that_changes_nothing_looks_at_no_name(world: Scheduling, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []

    def entries(table: NameTable) -> Iterator[NameEntry]:
        looked.append(table)
        return iter(())

    monkeypatch.setattr(NameTable, "entries", entries)
    world.run(keep)
    world.write("acme/maps/all.yaml", FILES["acme/maps/all.yaml"].replace("113.1]", "113.2]"))
    world.lines.clear()
    world.run(keep)
    assert [line for line in world.lines if "this start changes the answers of 3 proxied names" in line], world.lines
    assert looked == []


def test_records_are_counted_at_a_start_that_loses_names(world: Scheduling) -> None:
    world.write("acme/zones/comments.example.zone", "www 300 A 192.0.2.2\n")
    world.lines.clear()
    world.run(keep)
    assert [line for line in world.lines if "names; 21 were served before this start" in line], world.lines


def flip(place: float) -> Callable[[bytes], bytes]:
    def flipped(octets: bytes) -> bytes:
        at = min(len(octets) - 1, int(len(octets) * place))
        return octets[:at] + bytes([octets[at] ^ 0x41]) + octets[at + 1 :]

    return flipped


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    **{f"flipped at {place:.0%}": (flip(place), "corrupt") for place in (0.07, 0.2, 0.5, 0.9, 0.97, 1.0)},
    **{
        f"cut at {place}": (lambda octets, at=place: octets[:at], "snapshot.model")
        for place in (1, 20, 511, 512, 5_000)
    },
    "longer": (lambda octets: octets + b"x", "corrupt"),
    "empty": (lambda octets: b"", "is not a model file"),
    "another format": (lambda octets: octets.replace(b"model 2 ", b"model 1 "), "has format 1, of another version"),
    "other code": (lambda octets: octets.replace(code_digest().encode(), b"0" * 32), "written by other code"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_or_foreign_model_is_named_and_the_files_are_read(
    world: Scheduling, parsed: list[str], damage: str
) -> None:
    change, words = DAMAGES[damage]
    file = world.state / "snapshot.model"
    file.write_bytes(change(file.read_bytes()))
    parsed.clear()
    world.lines.clear()
    seen = world.run(look)
    assert sorted(parsed) == ZONES
    assert [line for line in world.lines if words in line], world.lines
    assert "Traceback" not in "".join(world.lines)
    parsed.clear()
    assert world.run(look) == seen
    assert parsed == []


def test_model_of_another_snapshot_file_is_not_used(world: Scheduling, parsed: list[str]) -> None:
    model = (world.state / "snapshot.model").read_bytes()
    anew(world)
    (world.state / "snapshot.model").write_bytes(model)
    parsed.clear()
    seen = world.run(look)
    assert sorted(parsed) == ZONES
    assert [line for line in world.lines if "belongs to another snapshot file" in line]
    assert seen == anew(world)


def test_wrong_octets_with_the_right_digest_are_named(world: Scheduling, parsed: list[str]) -> None:
    file = world.state / "snapshot.model"
    title = json.loads(file.read_bytes()[:TITLE_SIZE].removeprefix(MAGIC))
    found = load_model(file, ModelTitle(**title))
    assert found
    wrong = {
        0: b"",
        1: b"\xff" * 64,
        2: (5).to_bytes(8, "little") + pickle.dumps(os.getcwd),
        3: bytes(found.zone([*found.places][3]))[:-40],
    }
    zones = {key: [wrong.get(number, found.zone(key))] for number, key in enumerate(found.places)}
    save_model(file, ModelTitle(**title), zones.items())
    parsed.clear()
    seen = world.run(look)
    assert len(parsed) == len(wrong)
    assert [line for line in world.lines if "snapshot.model is damaged" in line]
    assert seen == anew(world)


@pytest.mark.slow
def test_killed_while_saving_leaves_a_start_that_is_right(world: Scheduling, tmp_path: Path) -> None:
    world.write("acme/zones/ids.example.yaml", WITH_IDS.replace("192.0.2.9", "192.0.2.99"))
    expected = shown_in(world.copy(tmp_path / "expected"))
    left: list[Scheduling] = []

    async def killed(life: Life) -> None:
        await life.control.publisher.save()
        base = life.control.publisher.new_base
        assert base
        while killed_in(len(left), partial(life.control.keeper.save, base), whole_file):
            left.append(world.copy(tmp_path / str(len(left))))

    world.run(killed)
    assert len(left) > 5
    for call, copy in enumerate(left):
        assert shown_in(copy) == expected, f"killed in call {call}"


def shown_in(world: Scheduling) -> dict[str, object]:
    """The names and records that a start shows, wherever the files are."""
    return {key: value for key, value in world.run(look).items() if key == "names" or key.endswith(" shown")}


@pytest.mark.parametrize("logged", [0, 1])
def test_start_with_unusable_files_keeps_the_model_for_the_next(
    world: Scheduling, parsed: list[str], logged: int
) -> None:
    """Also if the snapshot served is that of the log; nothing of the model is kept in memory."""
    name, good = "acme/maps/all.yaml", FILES["acme/maps/all.yaml"].replace("113.1]", f"113.{1 + logged}]")
    world.write(name, good)
    world.run(keep)
    world.config.write_text(f"{world.config.read_text()}on_error: refuse\n")
    before = {file: (world.state / file).stat().st_ino for file in ("snapshot", "snapshot.model")}
    world.write(name, "enabled: wrong\n")

    async def unusable(life: Life) -> None:
        loader, publisher = life.control.loader, life.control.publisher
        served = publisher.snapshot
        assert life.control.current.loaded is None
        assert served
        assert [str(ip) for one in served.by_account.values() for ip in one.ips] == [f"203.0.113.{1 + logged}"]
        await keep(life)
        assert not publisher.has_new_base.is_set()
        assert loader._start.zones is loader._guarded.kept is NOTHING_KEPT
        assert loader._start._saved is None

    parsed.clear()
    world.run(unusable)
    world.run(unusable)
    assert before == {file: (world.state / file).stat().st_ino for file in before}
    world.write(name, good)
    parsed.clear()
    seen = world.run(look)
    assert parsed == []
    assert seen == anew(world)


ERRORS = RuntimeError("can't start new thread"), MemoryError(), KeyError("a"), OSError(28, "")


@pytest.mark.parametrize("error", ERRORS)
def test_model_that_cannot_be_written_ends_nothing(
    world: Scheduling, parsed: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Nor what watches for snapshots: the next one has its model."""
    world.write("acme/zones/ids.example.yaml", WITH_IDS.replace("192.0.2.9", "192.0.2.99"))
    errors = [error]

    def failing(*args: Any) -> SavedModel:
        if errors:
            raise errors.pop()
        return save_model(*args)

    monkeypatch.setattr(model_keeper, "save_model", failing)

    async def saved(life: Life) -> None:
        publisher = life.control.publisher
        await publisher.save()
        base = publisher.new_base
        assert base
        await life.control.keeper.save_new()
        assert not errors
        publisher.new_base = base
        await life.control.keeper.save_new()

    world.run(saved)
    what = "No space left on device" if isinstance(error, OSError) else type(error).__name__
    assert [line for line in world.lines if f"cannot be written: {what}" in line], world.lines
    parsed.clear()
    world.run(look)
    assert parsed == []


def test_other_code_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = {code_digest.__wrapped__()}
    copy = shutil.copytree(Path(dnsd.__file__).parent, tmp_path / "dnsd")
    monkeypatch.setattr("dnsd.control.code_digest.PACKAGE", copy)
    assert code_digest.__wrapped__() in digests
    for name in ("errors.py", "model/records.py", "compile/zone.py", "formats/plain_lines.py", "store/objects.py"):
        (copy / name).write_text(f"{(copy / name).read_text()}#\n")
        digests.add(code_digest.__wrapped__())
    (copy / "wire/new.py").touch()
    digests.add(code_digest.__wrapped__())
    assert len(digests) == 7


@pytest.mark.parametrize("what", ["iterdir", "read_bytes"])
def test_code_that_cannot_be_read_is_like_no_other(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(13, "", str(path))

    known = code_digest.__wrapped__()
    monkeypatch.setattr(Path, what, denied)
    assert len({known, code_digest.__wrapped__(), code_digest.__wrapped__()}) == 3


def test_libraries_without_metadata_are_like_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsd.control.code_digest.LIBRARIES", ("no-such-library",))
    assert code_digest.__wrapped__() != code_digest.__wrapped__()


def test_digest_is_known_before_any_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a control process forked after an upgrade began would give its zones the digest of other code."""

    class ReachedError(Exception):
        pass

    def reached(*args: object) -> None:
        assert code_digest.cache_info().currsize == 1
        raise ReachedError

    config = tmp_path / "dnsd.yaml"
    config.write_text(SETTINGS)
    for name in ("ignore_signals", "share_heap"):
        monkeypatch.setattr(start, name, lambda: None)
    monkeypatch.setattr(start, "user_to_assume", reached)
    code_digest.cache_clear()
    with pytest.raises(ReachedError):
        start.serve(config)
