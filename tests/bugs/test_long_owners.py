"""Owner names in a query's additional section were read on past 255 octets: 2,000 labels took 400 microseconds."""

from __future__ import annotations

import struct

import pytest

from dnsd.errors import WireError
from dnsd.wire.message import MAX_ADDITIONAL, Additional, parse_additional

FIXED = struct.pack("!HHIH", 1, 1, 0, 0)
LONGEST = b"\x01a" * 127 + b"\0"


@pytest.mark.parametrize("owner", [b"\0", LONGEST, b"\x3f" + b"a" * 63 + b"\xc0\x0c", b"\xc0\x0c"])
def test_owner_of_possible_length(owner: bytes) -> None:
    assert parse_additional((owner + FIXED) * MAX_ADDITIONAL, MAX_ADDITIONAL) == Additional()


@pytest.mark.parametrize("owner", [b"\x01a" + LONGEST, b"\x01a" * 2000 + b"\0", b"\x01a" * 127 + b"\xc0\x0c"])
def test_owner_of_more_than_255_octets(owner: bytes) -> None:
    with pytest.raises(WireError, match="owner"):
        parse_additional(owner + FIXED, 1)
