"""The beat of a fleet: what a control has, sent each second, so that the others know when they are behind or differ."""

from __future__ import annotations

import json
from typing import NamedTuple

from dnsd.fleet.values import ValueFormatError, is_count, json_object

BEAT = "dnsd.beat"


class Beat(NamedTuple):
    """A control's epoch, the last message of which it lacks nothing, and the sum of its heads."""

    epoch: str
    seq: int
    heads_sum: int

    def packed(self) -> bytes:
        """The beat as JSON."""
        return json.dumps({"epoch": self.epoch, "seq": self.seq, "sum": f"{self.heads_sum:032x}"}).encode()


def parse_beat(data: bytes) -> Beat:
    """A beat. Raises ValueFormatError."""
    found = json_object(data[:1024])
    epoch, seq, total = found.get("epoch"), found.get("seq"), found.get("sum")
    if not isinstance(epoch, str) or not is_count(seq) or not isinstance(total, str):
        raise ValueFormatError("a beat without its epoch, number or sum")
    try:
        return Beat(epoch, seq, int(total, 16))
    except ValueError:
        raise ValueFormatError("a beat whose sum is not a number") from None
