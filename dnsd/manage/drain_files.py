"""The drains in the state folder, a file for each account: they outlive restarts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dnsd.errors import shown
from dnsd.manage.drains import Drain, DrainBook, book_of
from dnsd.store.kept_file import read_or_problem, seconds
from dnsd.whole_file import make_folder, replacing

FOLDER = "drains"  # in the state folder
SUFFIX = ".json"  # after the account's id
FORMAT = 1
MAX_SIZE = 4 * 1024 * 1024  # octets; a larger file is not ours


class DrainFiles:
    """The drains on disk, written by one process. `problem` is the error of the last access, None if it succeeded."""

    def __init__(self, state: Path) -> None:
        self.problem: str | None = None
        self._folder = state / FOLDER
        self._unwritten: set[str] = set()  # ids of accounts whose drains could not be written

    def load(self) -> DrainBook:
        """The drains. Those of a file that is not usable are none, and `problem` says why."""
        self.problem = None
        found: list[Drain] = []
        for file in sorted(self._folder.glob(f"*{SUFFIX}")):
            drains, problem = read_or_problem(
                file, _parsed, most=MAX_SIZE, consequence="earlier drains of this account are forgotten"
            )
            found += drains or ()
            self.problem = problem or self.problem
        return book_of(found)

    def save(self, book: DrainBook, accounts: Iterable[str]) -> None:
        """Write the drains of the accounts with these ids; if that fails, set `problem`: the next call tries again."""
        self.problem = None
        for account_id in self._unwritten.union(accounts):
            file = self._folder / f"{account_id}{SUFFIX}"
            try:
                self._write(file, book.of_account(account_id))
                self._unwritten.discard(account_id)
            except OSError as error:
                self.problem = f"{shown(file)} cannot be written: {error.strerror}; a restart would forget them"
                self._unwritten.add(account_id)

    def _write(self, file: Path, drains: list[Drain]) -> None:
        """Replace a file. Raises OSError."""
        make_folder(self._folder)
        data = {"format": FORMAT, "drains": list(map(_written, drains))}
        with replacing(file) as out:
            out.write(json.dumps(data, separators=(",", ":")).encode() + b"\n")


def _written(drain: Drain) -> dict[str, Any]:
    """A drain as JSON; `dataclasses.asdict` would copy each address, and most of them many times."""
    return {name: getattr(drain, name) for name in Drain.__slots__}


def _parsed(octets: bytes) -> list[Drain]:
    """The drains. Raises ValueError, TypeError, KeyError … for any deviation from the format."""
    data = json.loads(octets)
    if data["format"] != FORMAT:
        raise ValueError
    return list(map(_parsed_drain, data["drains"]))


def _parsed_drain(data: dict[str, Any]) -> Drain:
    """A drain. Raises TypeError, ValueError, KeyError … for any deviation from the format."""
    served_at = data["served_at"]
    return Drain(
        map_id=str(data["map_id"]),
        map_key=str(data["map_key"]),
        account_id=str(data["account_id"]),
        addresses=tuple(map(str, data["addresses"])),
        names_total=int(data["names_total"]),
        ttl_s=int(seconds(data["ttl_s"])),
        revision=int(data["revision"]),
        changed_at=seconds(data["changed_at"]),
        served_at=None if served_at is None else seconds(served_at),
    )
