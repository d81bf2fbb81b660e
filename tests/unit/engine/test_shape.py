"""Shapes: the contents of a query without its id and name, shared by equal queries."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from dnsd.engine.answer import head_index
from dnsd.engine.shape import MAX_CACHED, Shape, shape_of
from dnsd.errors import WireError
from dnsd.wire.message import CD, RD, pack_opt
from tests.packets import NSID_OPTION, opt


def key(
    qtype: int = 1,
    qclass: int = 1,
    *,
    flags: int = 0,
    counts: tuple[int, int, int, int] | None = None,
    after: bytes = b"",
) -> bytes:
    return struct.pack("!7H", flags, *(counts or (1, 0, 0, bool(after))), qtype, qclass) + after


NO_EDNS: dict[str, Any] = {"room": 512, "opt": b"", "do": False, "nsid": False, "version": 0}
EDNS: dict[str, Any] = {"room": 1232, "opt": pack_opt(do=False), "do": False, "nsid": False, "version": 0}
PADDING = struct.pack("!HH", 12, 500) + bytes(500)

READ: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": (key(), {"qtype": 1, "qclass": 1, "head": 0, "plain": True, **NO_EDNS}),
    "any type": (key(65_535), {"qtype": 65_535, "plain": True}),
    "class CH": (key(16, 3), {"qclass": 3, "plain": False}),
    "class ANY": (key(1, 255), {"qclass": 255, "plain": False}),
    "AXFR": (key(252), {"plain": False}),
    "IXFR": (key(251), {"plain": False}),
    "RD": (key(flags=RD), {"head": head_index(RD, edns=False)}),
    "CD": (key(flags=CD), {"head": head_index(CD, edns=False)}),
    "flags that mean nothing in a query": (key(flags=0x06EF), {"head": 0, "plain": True}),
    "an rcode": (key(flags=0x000F), {"head": 0, "plain": True}),
    "EDNS": (key(after=opt()), {"head": head_index(0, edns=True), "plain": True, **EDNS}),
    "DO": (key(after=opt(flags=0x8000)), {"opt": pack_opt(do=True), "do": True}),
    "Z bits": (key(after=opt(flags=0x7FFF)), EDNS),
    "NSID": (key(after=opt(options=NSID_OPTION)), {**EDNS, "nsid": True}),
    "padding": (key(after=opt(options=PADDING)), EDNS),
    "a later version": (key(after=opt(version=1)), {"version": 1, "plain": False}),
    "another record": (key(after=b"\0" + struct.pack("!HHIH", 1, 1, 0, 0)), {"plain": True, **NO_EDNS}),
    **{
        f"a size of {size}": (key(after=opt(size=size)), {"room": room})
        for size, room in ((0, 512), (511, 512), (512, 512), (513, 513), (1232, 1232), (1233, 1232), (65_535, 1232))
    },
}


@pytest.mark.parametrize(("octets", "expected"), READ.values(), ids=READ.keys())
def test_read(octets: bytes, expected: dict[str, Any]) -> None:
    shape = shape_of(octets)
    assert {name: getattr(shape, name) for name in expected} == expected


MALFORMED = {
    "nothing": b"",
    "no type": key()[:10],
    "no class": key()[:13],
    "a response": key(flags=0x8000),
    **{f"opcode {opcode}": key(flags=opcode << 11) for opcode in range(1, 16)},
    "no question": key(counts=(0, 0, 0, 0)),
    "two questions": key(counts=(2, 0, 0, 0)),
    "an answer": key(counts=(1, 1, 0, 0)),
    "an authority record": key(counts=(1, 0, 1, 0)),
    "65,535 questions": key(counts=(65_535, 0, 0, 0)),
    "an additional record that is not there": key(counts=(1, 0, 0, 1)),
    "trailing octets": key(counts=(1, 0, 0, 0), after=b"\0"),
    "trailing octets after OPT": key(counts=(1, 0, 0, 1), after=opt() + b"\0"),
    "two OPTs": key(counts=(1, 0, 0, 2), after=opt() * 2),
}


@pytest.mark.parametrize("octets", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(octets: bytes) -> None:
    for _ in range(2):  # refusals are not cached
        with pytest.raises(WireError):
            shape_of(octets)


def test_cut_anywhere() -> None:
    whole = key(after=opt(options=NSID_OPTION))
    for size in range(len(whole)):
        with pytest.raises(WireError):
            shape_of(whole[:size])


def test_equal_queries_share_a_shape() -> None:
    assert shape_of(key(after=opt())) is shape_of(bytes(key(after=opt())))
    assert isinstance(shape_of(key()), Shape)


def test_long_shapes_are_not_kept() -> None:
    """Attackers could fill the memory with them."""
    octets = key(after=opt(options=PADDING))
    assert len(octets) > MAX_CACHED
    assert shape_of(octets) is not shape_of(octets)
    assert shape_of(octets).qtype == shape_of(octets).qtype
