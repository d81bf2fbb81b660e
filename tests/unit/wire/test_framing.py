"""Messages in a stream: found in chunks of any size."""

from __future__ import annotations

import random

import pytest

from dnsd.wire.framing import FrameReader, frame
from dnsd.wire.message import MAX_MESSAGE_SIZE

STREAMS = {
    "one": [b"abc"],
    "several": [b"a", b"bc" * 100, b"d"],
    "of no octets": [b""],
    "of no octets between others": [b"", b"x", b"", b"", b"y"],
    "longest": [b"a" * MAX_MESSAGE_SIZE],
    "longest between others": [b"x", b"a" * MAX_MESSAGE_SIZE, b"y"],
    "octets that look like lengths": [b"\0\0", b"\xff\xff", b"\0\x01"],
}


def stream(messages: list[bytes]) -> bytes:
    return b"".join(map(frame, messages))


@pytest.mark.parametrize("messages", STREAMS.values(), ids=STREAMS.keys())
def test_whole(messages: list[bytes]) -> None:
    assert FrameReader().feed(stream(messages)) == messages


@pytest.mark.parametrize("messages", STREAMS.values(), ids=STREAMS.keys())
def test_byte_by_byte(messages: list[bytes]) -> None:
    reader = FrameReader()
    assert [message for octet in stream(messages) for message in reader.feed(bytes([octet]))] == messages


@pytest.mark.parametrize("messages", STREAMS.values(), ids=STREAMS.keys())
def test_cut_at_random(messages: list[bytes]) -> None:
    rng, octets = random.Random(1), stream(messages)
    for _ in range(20):
        reader, found, position = FrameReader(), [], 0
        while position < len(octets):
            size = rng.choice((0, 1, 2, 3, 7, 1000, 40_000))
            found += reader.feed(octets[position : position + size])
            position += size
        assert found == messages


def test_each_message_is_returned_as_soon_as_it_is_complete() -> None:
    reader = FrameReader()
    assert reader.feed(b"\0") == []
    assert reader.feed(b"\x02a") == []
    assert reader.feed(b"b\0\x01") == [b"ab"]
    assert reader.feed(b"") == []
    assert reader.feed(b"c\0") == [b"c"]


def test_unfinished_message_is_kept_back() -> None:
    for missing in range(1, 6):
        assert FrameReader().feed((frame(b"ab") + frame(b"cde"))[:-missing]) == [b"ab"]


def test_longest_frame() -> None:
    assert frame(b"a" * MAX_MESSAGE_SIZE)[:3] == b"\xff\xffa"
    with pytest.raises(OverflowError):
        frame(b"a" * (MAX_MESSAGE_SIZE + 1))
