"""The file of the brake's windows in the state folder: they outlive restarts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from dnsd.compile.edge_addresses import Families
from dnsd.errors import shown
from dnsd.manage.brake import AccountBase, Book, Window, ZoneBase
from dnsd.model.fields import IPAddress
from dnsd.store.kept_file import read_or_problem, seconds
from dnsd.whole_file import replacing

FILE_NAME = "brake.json"  # in the state folder
FORMAT = 1
MAX_SIZE = 64 * 1024 * 1024  # octets; a larger file is not ours


class BrakeFile:
    """The book on disk, written by one process. `problem` is the error of the last write, None if it succeeded."""

    def __init__(self, folder: Path) -> None:
        self.problem: str | None = None
        self._file = folder / FILE_NAME

    def load(self) -> Book:
        """The book; an empty one without a usable file, and then `problem` says why if there is a file."""
        book, self.problem = read_or_problem(
            self._file,
            lambda octets: _parsed(json.loads(octets)),
            most=MAX_SIZE,
            consequence="the brake begins anew",
        )
        return book or Book()

    def save(self, book: Book) -> None:
        """Write the book; if that fails, set `problem`."""
        try:
            with replacing(self._file) as out:
                out.write(json.dumps(_data(book), separators=(",", ":")).encode() + b"\n")
            self.problem = None
        except OSError as error:
            self.problem = f"{shown(self._file)} cannot be written: {error.strerror}; a restart would begin it anew"


def _data(book: Book) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "windows": {author: window_data(window) for author, window in book.windows.items()},
        "released": dict(book.released),
        "refused": book.is_refused,
    }


def window_data(window: Window) -> dict[str, Any]:
    """A window as plain data."""
    accounts = {
        account: None if base.is_unbounded else [_zone_data(zone) for zone in base.zones.values()]
        for account, base in window.accounts.items()
    }
    return {"began_at": window.began_at, "name": window.name, "accounts": accounts}


def _zone_data(zone: ZoneBase) -> list[Any]:
    names = {name.hex(): [*shown] for name, shown in zone.names.items()}
    return [zone.zone_id, [sorted(map(str, ips)) for ips in zone.ips], zone.is_whole, names]


def _parsed(data: Any) -> Book:
    """The book. Raises ValueError, TypeError, KeyError … for any deviation from the format."""
    if data["format"] != FORMAT:
        raise ValueError
    windows = {str(author): parse_window(window) for author, window in data["windows"].items()}
    released = {str(author): seconds(until) for author, until in data["released"].items()}
    return Book(windows, released, data["refused"] is True)


def parse_window(data: Mapping[str, Any]) -> Window:
    """The window of such data. Raises as `_parsed`."""
    accounts = {str(account): _parsed_account(zones) for account, zones in data["accounts"].items()}
    return Window(seconds(data["began_at"]), str(data["name"]), accounts)


def _parsed_account(zones: list[Any] | None) -> AccountBase:
    if zones is None:
        return AccountBase(is_unbounded=True)
    parsed = (_parsed_zone(*zone) for zone in zones)
    return AccountBase({zone.zone_id: zone for zone in parsed})


def _parsed_zone(zone_id: str, ips: list[list[str]], is_whole: bool, names: dict[str, list[bool]]) -> ZoneBase:
    v4, v6 = (frozenset[IPAddress](map(ip_address, family)) for family in ips)
    both: Families = (v4, v6)
    shown = {bytes.fromhex(name): (bool(v4), bool(v6)) for name, (v4, v6) in names.items()}
    return ZoneBase(str(zone_id), both, bool(is_whole), shown)
