"""The file of drains in the state folder: they outlive restarts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dnsd.errors import shown
from dnsd.manage.drains import Drain, DrainBook, book_of
from dnsd.store.kept_file import read_or_problem, seconds
from dnsd.whole_file import replacing

FILE_NAME = "drains.json"  # in the state folder
FORMAT = 1
MAX_SIZE = 64 * 1024 * 1024  # octets; a larger file is not ours


class DrainFile:
    """The drains on disk, written by one process. `problem` is the error of the last access, None if it succeeded."""

    def __init__(self, folder: Path) -> None:
        self.problem: str | None = None
        self._file = folder / FILE_NAME

    def load(self) -> DrainBook:
        """The drains; none without a usable file, and then `problem` says why if there is a file."""
        book, self.problem = read_or_problem(
            self._file, _parsed, most=MAX_SIZE, consequence="earlier drains are forgotten"
        )
        return book or DrainBook()

    def save(self, book: DrainBook) -> None:
        """Write the drains; if that fails, set `problem`."""
        data = {"format": FORMAT, "drains": list(map(asdict, book))}
        try:
            with replacing(self._file) as out:
                out.write(json.dumps(data, separators=(",", ":")).encode() + b"\n")
            self.problem = None
        except OSError as error:
            self.problem = f"{shown(self._file)} cannot be written: {error.strerror}; a restart would forget them"


def _parsed(octets: bytes) -> DrainBook:
    """The drains. Raises ValueError, TypeError, KeyError … for any deviation from the format."""
    data = json.loads(octets)
    if data["format"] != FORMAT:
        raise ValueError
    return book_of(map(_parsed_drain, data["drains"]))


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
