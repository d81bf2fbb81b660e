"""The file of drains in the state folder: they outlive restarts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dnsd.errors import shown
from dnsd.manage.drains import Drain, DrainBook, book_of
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
        try:
            with open(self._file, "rb") as stream:
                data = json.loads(stream.read(MAX_SIZE + 1)[:MAX_SIZE])
            self.problem = None
            if data["format"] != FORMAT:
                raise ValueError
            return book_of(map(_parsed, data["drains"]))
        except FileNotFoundError:
            return DrainBook()
        except OSError as error:
            self.problem = f"{shown(self._file)} cannot be read: {error.strerror}; earlier drains are forgotten"
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            self.problem = f"{shown(self._file)} is corrupt; earlier drains are forgotten"
        return DrainBook()

    def save(self, book: DrainBook) -> None:
        """Write the drains; if that fails, set `problem`."""
        data = {"format": FORMAT, "drains": list(map(asdict, book))}
        try:
            with replacing(self._file) as out:
                out.write(json.dumps(data, separators=(",", ":")).encode() + b"\n")
            self.problem = None
        except OSError as error:
            self.problem = f"{shown(self._file)} cannot be written: {error.strerror}; a restart would forget them"


def _parsed(data: dict[str, Any]) -> Drain:
    """A drain. Raises TypeError, ValueError, KeyError … for any deviation from the format."""
    served_at = data["served_at"]
    return Drain(
        map_id=str(data["map_id"]),
        map_key=str(data["map_key"]),
        account_id=str(data["account_id"]),
        addresses=tuple(map(str, data["addresses"])),
        names_total=int(data["names_total"]),
        ttl_s=int(data["ttl_s"]),
        revision=int(data["revision"]),
        changed_at=float(data["changed_at"]),
        served_at=None if served_at is None else float(served_at),
    )
