"""Files come back from their values octet for octet; damaged, later and hostile values are refused within bounds."""

from __future__ import annotations

import json
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.fleet.values import (
    LATEST_S,
    MAX_FILE,
    MAX_LINE,
    MAX_VALUE,
    FleetFile,
    LaterValueError,
    ValueFormatError,
    pack_value,
    parse_value,
)

LINE = b'{"v":1,"modified":5}\n'
OCTETS = [
    b"",
    b"\n",
    b"{}",
    b"x\x9c",
    b"\xef\xbb\xbfrecords:\r\n- a\r\n",
    b"a\rb\nc",
    b"\0\xff\xfe",
    b"no newline",
    b"records:\n" + b"- {name: www, type: A, content: 192.0.2.1}\n" * 1000,
    bytes(MAX_FILE),
]
WRONG = {
    "empty": b"",
    "no line": b'{"v":1,"modified":5}',
    "another first octet": b"\n{}",
    "a list": b"x",
    "not JSON": b"{v:1}\n",
    "deep": b'{"v":' + b"[" * 4000 + b"\n",
    "many digits": b'{"v":1,"modified":' + b"9" * 5000 + b"}\n",
    "long line": b'{"v":1,"modified":5,"x":"' + b"x" * MAX_LINE + b'"}\n',
    "no version": b'{"modified":5}\n',
    "version true": b'{"v":true,"modified":5}\n',
    "no time": b'{"v":1}\n',
    "negative time": b'{"v":1,"modified":-1}\n',
    "late": b'{"v":1,"modified":%d}\n' % (LATEST_S + 1),
    "time with a fraction": b'{"v":1,"modified":1.5}\n',
    "too large": LINE + bytes(MAX_FILE + 1),
    "truncated": zlib.compress(LINE + bytes(1000))[:-1],
    "more after the end": zlib.compress(LINE + bytes(1000)) + b"x",
    "two compressed": zlib.compress(LINE) + zlib.compress(b"more"),
    "not compressed": b"x\x9cnothing",
    "raw deflate": zlib.compress(LINE + bytes(1000))[2:-4],
    "bomb": zlib.compress(LINE + bytes(16 * 1024 * 1024)),
    "bomb without a line": zlib.compress(b"{" + b"x" * 16 * 1024 * 1024),
}


@pytest.mark.parametrize("octets", OCTETS, ids=range(len(OCTETS)))
def test_octets_and_time_come_back(octets: bytes) -> None:
    file = FleetFile(octets, 1_764_400_000)
    assert parse_value(pack_value(file)) == file
    assert parse_value(b'{"v":1,"modified":1764400000}\n' + octets) == file


@given(st.binary(max_size=3000), st.integers(0, LATEST_S))
def test_any_file_comes_back(octets: bytes, modified: int) -> None:
    value = pack_value(FleetFile(octets, modified))
    assert parse_value(value) == FleetFile(octets, modified)
    assert len(value) <= len(octets) + len(b'{"v":1,"modified":}\n') + len(str(modified))


def test_a_value_is_compressed_where_that_is_shorter() -> None:
    assert pack_value(FleetFile(b"a", 5)) == b'{"v":1,"modified":5}\na'
    assert len(pack_value(FleetFile(bytes(MAX_FILE), 5))) < 2000


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_refused(value: bytes) -> None:
    with pytest.raises(ValueFormatError):
        parse_value(value)


def test_a_value_is_not_unpacked_beyond_its_limit() -> None:
    bomb = WRONG["bomb"]
    tracemalloc.start()
    with pytest.raises(ValueFormatError, match="more than"):
        parse_value(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MAX_VALUE


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("rest", [b"", b"x" * 5000, bytes(2 * MAX_VALUE)], ids=len)
def test_a_later_version_is_named(rest: bytes, is_compressed: bool) -> None:
    value = json.dumps({"v": 2, "blocks": ["later"]}).encode() + b"\n" + rest
    with pytest.raises(LaterValueError, match="version 2; this version of dnsd reads 1"):
        parse_value(zlib.compress(value) if is_compressed else value)


def test_keys_that_later_versions_add_are_passed_over() -> None:
    assert parse_value(b'{"v":1,"modified":5,"later":[1]}\nx') == FleetFile(b"x", 5)


@pytest.mark.parametrize("file", [FleetFile(bytes(MAX_FILE + 1), 5), FleetFile(b"", -1), FleetFile(b"", LATEST_S + 1)])
def test_a_file_without_a_form_is_refused(file: FleetFile) -> None:
    with pytest.raises(ValueFormatError):
        pack_value(file)


@given(st.binary(max_size=200), st.integers(0, 10))
def test_any_octets_are_read_or_refused(octets: bytes, start: int) -> None:
    for value in (
        octets,
        b"{" + octets,
        LINE[:start] + octets,
        zlib.compress(octets),
        zlib.compress(LINE + octets)[:-1],
    ):
        try:
            parse_value(value)
        except (ValueFormatError, LaterValueError):
            continue
