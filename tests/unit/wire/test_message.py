"""The additional section of a query, and the OPT record of a reply."""

from __future__ import annotations

import struct

import dns.message
import dns.rcode
import pytest

from dnsd.errors import WireError
from dnsd.wire.message import (
    BADVERS,
    OUR_UDP_SIZE,
    Opt,
    pack_extended_error,
    pack_opt,
    pack_option,
    parse_additional,
)
from tests.packets import opt

A_RECORD = b"\x01a\0" + struct.pack("!HHIH", 1, 1, 300, 4) + bytes(4)
KEY = b"\x03key\0"
ALGORITHM = b"\x0bhmac-sha256\0"
SIGNED = ALGORITHM + struct.pack("!6sHH", b"\0\0time", 300, 32) + bytes(32) + struct.pack("!3H", 0xBEEF, 0, 0)


def tsig(rdata: bytes = SIGNED, *, owner: bytes = KEY) -> bytes:
    return owner + struct.pack("!HHIH", 250, 255, 0, len(rdata)) + rdata


COOKIE = pack_option(10, bytes(8))
PLAIN = Opt(size=4096, version=0, do=False, options=frozenset())

READ: dict[str, tuple[bytes, int, Opt | None]] = {
    "nothing": (b"", 0, None),
    "a plain OPT": (opt(), 1, PLAIN),
    "a size": (opt(size=0), 1, Opt(0, 0, False, frozenset())),
    "a later version": (opt(version=255), 1, Opt(4096, 255, False, frozenset())),
    "DO": (opt(flags=0x8000), 1, Opt(4096, 0, True, frozenset())),
    "every Z bit": (opt(flags=0x7FFF), 1, PLAIN),
    "an extended rcode is ignored": (opt(rcode=255), 1, PLAIN),
    "options": (opt(options=COOKIE + pack_option(3, b"")), 1, Opt(4096, 0, False, frozenset({3, 10}))),
    "an unknown option": (opt(options=pack_option(65_001, b"x" * 200)), 1, Opt(4096, 0, False, frozenset({65_001}))),
    "an option twice": (opt(options=COOKIE * 2), 1, Opt(4096, 0, False, frozenset({10}))),
    "another record alone": (A_RECORD, 1, None),
    "OPT after another record": (A_RECORD + opt(), 2, PLAIN),
    "OPT before TSIG": (opt() + tsig(), 2, PLAIN),
    "a record owned by a pointer": (b"\xc0\x0c" + A_RECORD[3:], 1, None),
    "a record owned by labels and a pointer": (b"\x01a\xc0\x0c" + A_RECORD[3:], 1, None),
}


@pytest.mark.parametrize(("records", "count", "expected"), READ.values(), ids=READ.keys())
def test_read(records: bytes, count: int, expected: Opt | None) -> None:
    assert parse_additional(records, count).opt == expected


MALFORMED = {
    "no record": (b"", 1),
    "fewer records than counted": (opt(), 2),
    "more records than counted": (opt() + A_RECORD, 1),
    "records that are not counted": (opt(), 0),
    "one octet too many": (opt() + b"\0", 1),
    "a second OPT": (opt() + opt(), 2),
    "a second OPT after another record": (opt() + A_RECORD + opt(), 3),
    "OPT owned by a name": (opt(owner=b"\x01a\0"), 1),
    "OPT owned by a pointer": (opt(owner=b"\xc0\x0c"), 1),
    "an owner of a reserved label type": (b"\x40" + A_RECORD, 1),
    "an owner of another reserved label type": (b"\x80" + A_RECORD, 1),
    "an owner without end": (b"\x01a" * 20, 1),
    "data longer than the message": (opt()[:-2] + b"\xff\xff", 1),
    "an option without its length": (opt(options=b"\0\x0a\0"), 1),
    "an option longer than its OPT": (opt(options=b"\0\x0a\0\x09" + bytes(8)), 1),
    "TSIG before OPT": (tsig() + opt(), 2),
    "two TSIGs": (tsig() * 2, 2),
    "TSIG owned by a pointer": (tsig(owner=b"\xc0\x0c"), 1),
    "TSIG without data": (tsig(b""), 1),
    "TSIG of an algorithm alone": (tsig(ALGORITHM), 1),
    "TSIG cut in its MAC": (tsig(SIGNED[:-20]), 1),
    "TSIG without its last octet": (tsig(SIGNED[:-1]), 1),
    "TSIG with an octet too many": (tsig(SIGNED + b"\0"), 1),
    "TSIG with other data that is not there": (tsig(SIGNED[:-2] + b"\0\x06"), 1),
    "an option that ends in the next record": (opt(options=b"\0\x0a\0\x04" + bytes(3)) + A_RECORD, 2),
}


@pytest.mark.parametrize(("records", "count"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(records: bytes, count: int) -> None:
    with pytest.raises(WireError):
        parse_additional(records, count)


@pytest.mark.parametrize("kept", range(len(A_RECORD + opt(options=COOKIE))))
def test_cut_anywhere(kept: int) -> None:
    with pytest.raises(WireError):
        parse_additional((A_RECORD + opt(options=COOKIE))[:kept], 2)


def test_signed_query_gets_badkey() -> None:
    """RFC 8945 §5.2.1, §5.3.2: BADKEY, unsigned, otherwise as in the query."""
    expected = ALGORITHM + struct.pack("!6sHH3H", b"\0\0time", 300, 0, 0xBEEF, 17, 0)
    assert parse_additional(opt() + tsig(), 2).unknown_key == tsig(expected)
    assert parse_additional(opt(), 1).unknown_key == b""


PACKED = {
    "plain": (pack_opt(do=False), 0, 0, {}),
    "DO": (pack_opt(do=True), 0, 0x8000, {}),
    "an extended rcode": (pack_opt(do=False, rcode=BADVERS), 16, 0, {}),
    "options": (
        pack_opt(do=False, options=pack_option(3, b"id") + pack_extended_error(20)),
        0,
        0,
        {3: b"id", 15: b"\0\x14"},
    ),
}


@pytest.mark.parametrize(("packed", "rcode", "flags", "options"), PACKED.values(), ids=PACKED.keys())
def test_packed(packed: bytes, rcode: int, flags: int, options: dict[int, bytes]) -> None:
    message = dns.message.from_wire(struct.pack("!6H", 1, 0x8000, 0, 0, 0, 1) + packed)
    assert (message.edns, message.payload, message.ednsflags & 0xFFFF) == (0, OUR_UDP_SIZE, flags)
    assert message.rcode() == dns.rcode.Rcode(rcode)
    assert {int(option.otype): option.to_wire() for option in message.options} == options
