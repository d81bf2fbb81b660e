"""The status of an edge, which it sends each second and after each change: what its workers serve. Bounded in size.

It comes from an edge, perhaps in an attacker's hands: each part is checked, and texts are for people alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

from dnsd.fleet.edge_record import MAX_RING
from dnsd.fleet.level import NEWEST_LEVEL
from dnsd.fleet.values import LaterValueError, ValueFormatError, is_count, json_object

VERSION = 1
MAX_STATUS = 8192  # octets
MAX_HELD, MAX_NAME = 10, 64  # accounts that are named; characters of each
MAX_PROBLEMS, MAX_PROBLEM = 5, 200
MAX_EPOCH, MAX_VERSION = 64, 32  # characters
LARGEST = 2**63 - 1
MAX_RATE, MAX_LAG_S = 1e12, 1e9


class EdgeStatus(NamedTuple):
    """What an edge tells of itself.

    `boot` is the time of its process's start in nanoseconds since 1970, and `number` counts its statuses, so that the
    newest of several copies is known. `seq` is the number of the fleet's state by which all of its workers answer.
    """

    boot: int
    number: int
    epoch: str
    seq: int
    revision: int
    lag_s: float
    version: str
    ring: int
    is_drained: bool
    zones: int
    rate: float  # answers a second
    held: tuple[str, ...] = ()  # the first accounts
    held_total: int = 0
    problems: tuple[str, ...] = ()

    def packed(self) -> bytes:
        """The status as JSON, of at most MAX_STATUS octets: texts that would need more are left out."""
        held, problems = _texts(self.held, MAX_HELD, MAX_NAME), _texts(self.problems, MAX_PROBLEMS, MAX_PROBLEM)
        packed = self._packed(held, problems)
        return packed if len(packed) <= MAX_STATUS else self._packed([], [])

    def _packed(self, held: list[str], problems: list[str]) -> bytes:
        content = {
            "v": VERSION,
            "boot": self.boot,
            "number": self.number,
            "epoch": self.epoch[:MAX_EPOCH],
            "seq": self.seq,
            "revision": self.revision,
            "lag_s": round(self.lag_s, 3),
            "version": self.version[:MAX_VERSION],
            "level": NEWEST_LEVEL,  # `dnsd fleet level` asks for it
            "ring": self.ring,
            "drained": self.is_drained,
            "zones": self.zones,
            "rate": round(self.rate, 2),
            "held": held,
            "held_total": self.held_total,
            "problems": problems,
        }
        return json.dumps(content, separators=(",", ":")).encode()


def parse_status(data: bytes) -> EdgeStatus:
    """A status; unknown keys are passed over. Raises ValueFormatError, and LaterValueError for a later version."""
    if len(data) > MAX_STATUS:
        raise ValueFormatError(f"a status of {len(data):,} octets; the limit is {MAX_STATUS:,}")
    found = json_object(data)
    if not is_count(version := found.get("v")):
        raise ValueFormatError("a status without a version")
    if version != VERSION:
        raise LaterValueError(f"the status has version {version}; this version of dnsd reads {VERSION}")
    is_drained = found.get("drained")
    if not isinstance(is_drained, bool):
        raise ValueFormatError("a status that does not say whether the edge is drained")
    return EdgeStatus(
        boot=_number(found, "boot"),
        number=_number(found, "number"),
        epoch=_text(found, "epoch", MAX_EPOCH),
        seq=_number(found, "seq"),
        revision=_number(found, "revision"),
        lag_s=_figure(found, "lag_s", MAX_LAG_S),
        version=_text(found, "version", MAX_VERSION),
        ring=_number(found, "ring", MAX_RING),
        is_drained=is_drained,
        zones=_number(found, "zones"),
        rate=_figure(found, "rate", MAX_RATE),
        held=_list(found, "held", MAX_HELD, MAX_NAME),
        held_total=_number(found, "held_total"),
        problems=_list(found, "problems", MAX_PROBLEMS, MAX_PROBLEM),
    )


def _texts(texts: Sequence[str], most: int, longest: int) -> list[str]:
    return [text if len(text) <= longest else f"{text[: longest - 1]}…" for text in texts[:most]]


def _number(found: dict[str, object], key: str, most: int = LARGEST) -> int:
    value = found.get(key)
    if not is_count(value) or value > most:
        raise ValueFormatError(f"a status whose {key} is not a number from 0 to {most:,}")
    return value


def _figure(found: dict[str, object], key: str, most: float) -> float:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:  # nor is NaN
        raise ValueFormatError(f"a status whose {key} is not a number from 0")
    return float(value)


def _text(found: dict[str, object], key: str, longest: int) -> str:
    value = found.get(key)
    if not isinstance(value, str) or len(value) > longest:
        raise ValueFormatError(f"a status whose {key} is not a text of at most {longest} characters")
    return value


def _list(found: dict[str, object], key: str, most: int, longest: int) -> tuple[str, ...]:
    value = found.get(key)
    if not isinstance(value, list) or len(value) > most:
        raise ValueFormatError(f"a status whose {key} is not a list of at most {most}")
    if not all(isinstance(one, str) and len(one) <= longest for one in value):
        raise ValueFormatError(f"a status with a text in {key} of more than {longest} characters")
    return tuple(value)
