"""The number of a fleet's state that all workers serve, as an edge tells it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

from dnsd.control.current import Current
from dnsd.control.publish import Publisher
from dnsd.control.serving import ServedPlace, ServedState
from dnsd.store.directory import FileKind, Files, SourceFile
from dnsd.store.port import Seen
from dnsd.store.text_file import stored_content

NO_FILE = SourceFile("", FileKind.SETTINGS, "dnsd.yaml", stored_content((), lambda _: b""))


@dataclass
class World:
    """What control has seen and loaded, and the revision that its one worker serves."""

    seen: Seen
    loaded: Any = None
    revision: int = 0
    served: int = 0

    def late(self, revision: int) -> list[str]:
        return ["worker 0"] if revision > self.served else []

    def load(self) -> None:
        self.revision += 1
        snapshot = SimpleNamespace(revision=self.revision)
        self.loaded = SimpleNamespace(snapshot=snapshot, source=SimpleNamespace(seen=self.seen))

    def see(self, seq: int, *accounts: str) -> None:
        self.seen = replace(self.seen, files=Files("fleet", accounts, seq=seq, epoch="e"))


def world() -> tuple[World, ServedState]:
    made = World(Seen(NO_FILE, None, None))
    made.see(10, "acme")
    return made, ServedState(cast(Current, made), cast(Publisher, made))


def test_a_state_is_served_once_all_workers_have_its_revision() -> None:
    made, served = world()
    assert served.place() == ServedPlace()
    made.load()
    assert served.place() == ServedPlace()
    assert served.awaited == 1
    made.served = 1
    assert served.place() == ServedPlace(1, "e", 10)
    assert served.awaited == 2
    made.see(11, "acme", "new")
    assert served.place() == ServedPlace(1, "e", 10)  # seen, not loaded
    made.load()
    assert served.place() == ServedPlace(1, "e", 10)
    assert served.awaited == 2
    made.served = 2
    assert served.place() == ServedPlace(2, "e", 11)


def test_a_later_state_with_the_same_files_is_served_at_once() -> None:
    made, served = world()
    made.load()
    made.served = 1
    made.see(25, "acme")  # as after a change of another edge's record
    assert served.place() == ServedPlace(1, "e", 25)
    assert served.awaited == 2


def test_the_last_served_state_counts_while_workers_are_late() -> None:
    made, served = world()
    for number in range(5):
        made.see(20 + number, "acme", f"a{number}")
        made.load()
        served.place()
    made.served = 3
    assert served.place() == ServedPlace(3, "e", 22)
    made.served = 5
    assert served.place() == ServedPlace(5, "e", 24)
    assert served.awaited == 6
