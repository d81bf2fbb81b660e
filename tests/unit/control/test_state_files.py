"""A start with damaged files in the state folder: each is named and moved aside, and the rest is served."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from dnsd.dashboard.sessions import Sessions
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.audit_search import LogQuery
from dnsd.manage.brake import Book
from dnsd.manage.drain_files import DrainFiles
from dnsd.manage.drains import Drain, book_of
from dnsd.manage.history import Provenance
from dnsd.manage.traffic import Traffic
from dnsd.manage.traffic_files import TrafficFiles
from dnsd.manage.validation import Validation
from dnsd.model.observed import Observation, Observed
from dnsd.serve.state_content import STATE_FOLDERS, sound_state
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.observations import save_observed
from dnsd.store.text_file import content_of
from tests.kept_texts import good_texts
from tests.unit.control.scheduling import ACME, SHOP, Life, Scheduling

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
VERSION = content_of("enabled: true\n")  # of a map
OF_A_VERSION = VERSION.blocks[0].digest.hex()  # its block, which no text has that is served
HUGE = 257 * 1024 * 1024  # octets, of which none is on the disk


def whole(octets: bytes) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(octets)

    return write


def make_huge(file: Path) -> None:
    file.write_bytes(b"")
    os.truncate(file, HUGE)


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip_an_octet(file: Path) -> None:
    octets = bytearray(file.read_bytes())
    if octets:
        octets[len(octets) // 3] ^= 0xFF
    file.write_bytes(octets)


def make_folder(file: Path) -> None:
    file.unlink()
    (file / "something").mkdir(parents=True)


def make_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


WRONG = {
    "empty": b"",
    "a nest of lists": b"[" * 100_000 + b"\n",
    "a nest of objects": b'{"a":' * 100_000 + b"\n",
    "null": b"null\n",
    "a number": b"5\n",
    "an endless number": b'{"format":1e999}\n',
    "a long number": b"1" * 100_000 + b"\n",
    "a list of a number": b"[1]\n",
    "lists": b"[[[[]]]]\n",
    "an object": b"{}\n",
    "another object": b'{"format": {"format": []}, "tokens": 5, "a": null}\n',
    "a text": b'"text"\n',
    "words": b"not JSON at all\n",
    "UTF-16": "[5]\n".encode("utf-16"),
    "octets": bytes(range(256)),
    "zeros": bytes(5_000),
}
DAMAGES: dict[str, Callable[[Path], None]] = {
    **{name: whole(octets) for name, octets in WRONG.items()},
    "huge": make_huge,
    "cut in half": cut_in_half,
    "a flipped octet": flip_an_octet,
    "a folder": make_folder,
    "a pipe": make_pipe,
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Scheduling:
    """A world with every file that a server keeps."""
    world = Scheduling(tmp_path_factory.mktemp("sound") / "world")
    umask = os.umask(0)
    try:
        world.schedule("map.add_ip", ip="203.0.113.7")
        world.run(keep_all)
    finally:
        os.umask(umask)
    return world


async def keep_all(life: Life) -> None:
    control, service, state = life.control, life.service, life.world.state
    await control.publisher.save()
    await control.keeper.save_new()
    assert control.current.loaded
    await control.current.replace(control.current.loaded)
    await control.publisher.save()  # to the log
    await control.current.keep_first_good()
    await control.brake.keep(Book(released={"files": time.time() + 3_600}))
    drained = Drain(SHOP, "acme/maps/shop", ACME, ("203.0.113.1",), 3, 60, 1, 1.0, 2.0)
    DrainFiles(state).save(book_of([drained]), [ACME])
    (prefix,) = control.current.loaded.dataset.accounts[ACME].prefixes
    service.validations.keep(prefix, Validation(checked_at="2026-11-29T12:00:00Z"), [prefix])
    service.loa.add(ACME, "loa.pdf", b"%PDF-1.7", NOW)
    shop = SourceFile("acme/maps/shop", FileKind.MAP, "", VERSION)
    service.history.keep(SHOP, Provenance(ACME, NOW, "map.edit", "alice"), shop)
    save_observed(state, Observed({ip_network("203.0.113.0/24"): Observation(True, NOW, "alice")}))
    traffic = Traffic()
    for at in range(400):
        traffic.add((), 1_000_000.0 + 10 * at, 10)
    files = TrafficFiles(state)
    files.save(files.all(traffic))
    token, secret = service.tokens.create(name="carol", now=NOW)
    Sessions(control.sessions, service.tokens).begin(token, secret, NOW)
    await life.control.brake.record("reload.forced", "for the audit log", Outcome.OK)
    entry = Entry(at=NOW, token=token, client="", action="token.edit", object="tokens/x", outcome=Outcome.OK)
    control.acts.begin(entry, f"tokens/{token.id}")
    journal = state / "journal"
    journal.touch(mode=0o600)
    journal.write_text("[]")


def files_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def test_all_files_are_for_their_owner_alone(sound: Scheduling) -> None:
    """Whatever the umask."""
    modes = {path.relative_to(sound.state): stat.S_IMODE(path.stat().st_mode) for path in sound.state.rglob("*")}
    assert len(modes) > 20
    assert {str(path): oct(mode) for path, mode in modes.items() if mode not in (0o600, 0o700)} == {}
    kept = {path.parts[0] for path in modes}
    assert kept >= set(STATE_FOLDERS)
    assert kept >= {
        *(
            "snapshot",
            "snapshot.log",
            "snapshot.model",
            "tokens.json",
            "sessions.json",
            "first_seen",
            "journal",
            "brake.json",
        ),
        *("observed", "validations", "audit.log", "traffic_hour", "traffic_day", "traffic_week"),
    }


def start(world: Scheduling) -> None:
    """What a start does, and what pages show, with the state folder."""
    for problem in sound_state(world.state):
        world.lines.append(problem)

    async def read_all(life: Life) -> None:
        control, service = life.control, life.service
        await control.current.drains.load()
        await control._look_for_pending()
        await control.current.keep_first_good()
        await control.publisher.save()
        await control.keeper.save_new()
        for problem in TrafficFiles(world.state).load(Traffic()):
            world.lines.append(problem)
        assert control.sessions.begun() is not None
        for object_id in service.history.objects(ACME):
            for version in service.history.versions(object_id):
                service.history.text(object_id, version.version)
        service.loa.of_account(ACME)
        control.current.routes.load(None)
        control.audit.read(LogQuery(100))
        loaded = control.current.loaded
        assert loaded
        assert (len(loaded.dataset.zones), loaded.held) == (3, {})

    world.run(read_all)


def is_damage(file: Path, kind: str) -> bool:
    """Whether this kind of content is wrong for the file, and a start reads it."""
    name, is_new_kind = file.name, kind in ("a folder", "a pipe")
    if name == OF_A_VERSION:  # whose description is damaged, too
        return False
    if name in ("lock", "tokens.lock", "audit.log") or "audit" in file.parts or name.endswith(".pdf"):
        return is_new_kind and not name.endswith(".pdf")  # any content will do, or is skipped
    if name == "snapshot.log":  # a kill leaves a part of an entry: it is read as far as it is sound
        return is_new_kind
    if name == "snapshot.model":  # nobody looks into it, as its snapshot file is damaged, too
        return is_new_kind
    if name == "first_seen":  # an incomplete last line is no damage
        return kind not in ("empty", "cut in half")
    if name in ("sessions.json", "validations") and kind == "an object":
        return False
    return not (name == "tokens.json" and kind == "an endless number")  # of a later version, perhaps


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_files_are_named_and_moved_aside(sound: Scheduling, tmp_path: Path, kind: str) -> None:
    world = sound.copy(tmp_path / "world")
    files = list(files_in(world.state))
    if kind == "huge":  # it is read from its end, within limits
        files = [file for file in files if "audit" not in str(file.relative_to(world.state))]
    for file in files:
        DAMAGES[kind](file)
    start(world)
    for file in files:
        if not is_damage(file, kind):
            continue
        asides = [file.with_name(f"{dot}{file.name}.damaged") for dot in ("", ".")]
        assert any(map(os.path.lexists, asides)), file
        assert [line for line in world.lines if str(file) in line and f"{file.name}.damaged" in line], (
            file,
            world.lines,
        )
    assert "Traceback" not in "\n".join(world.lines)
    assert good_texts(world.state) == good_texts(sound.state)
    world.lines.clear()
    start(world)
    assert [line for line in world.lines if "corrupt" in line or "damaged" in line] == []


@pytest.mark.parametrize("name", STATE_FOLDERS)
def test_file_in_place_of_a_folder_is_moved_aside(sound: Scheduling, tmp_path: Path, name: str) -> None:
    world = sound.copy(tmp_path / "world")
    shutil.rmtree(world.state / name)
    (world.state / name).write_bytes(b"x")
    start(world)
    assert (world.state / f"{name}.damaged").read_bytes() == b"x"
    assert [line for line in world.lines if f"{name}.damaged" in line]


def test_tokens_of_a_later_version_stay(sound: Scheduling, tmp_path: Path) -> None:
    """After the next upgrade, they are of use again."""
    world = sound.copy(tmp_path / "world")
    text = '{"format": 99, "secrets": {}}'
    (world.state / "tokens.json").write_text(text)
    start(world)
    assert (world.state / "tokens.json").read_text() == text
