"""Refusals: the reply to what is no question that could be answered. It says what is wrong, and to which question.

FORMERR with nothing but a header means to a resolver that there is no EDNS here (RFC 6891 §7), and to a secondary
nothing at all: so a refusal has the question and an OPT record wherever the query's own can be read.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from dnsd.wire.message import (
    BADVERS,
    CD,
    FORMERR,
    HEADER_SIZE,
    NOTIMP,
    OPCODE,
    QR,
    RD,
    Outline,
    outline_of,
    pack_opt,
)

_HEAD = struct.Struct("!HHHHH")  # flags and the four counts


class Refusal(NamedTuple):
    """A reply, and its rcode with the bits that stand in the OPT record."""

    rcode: int
    reply: bytes


def refuse(message: bytes) -> Refusal | None:
    """FORMERR, NOTIMP or BADVERS, with the question and the OPT as far as they can be read (RFC 6891 §6.1.1, §7).

    None for what is shorter than a header, and for responses, lest two servers talk for ever.
    """
    if len(message) < HEADER_SIZE:
        return None
    flags = int.from_bytes(message[2:4])
    if flags & QR:
        return None
    found = outline_of(message)
    rcode = _rcode(flags, found)
    opt = pack_opt(do=found.do, rcode=rcode) if found.opts else b""
    head = _HEAD.pack(QR | flags & (OPCODE | RD | CD) | rcode & 0xF, bool(found.question), 0, 0, bool(opt))
    return Refusal(rcode, message[:2] + head + found.question + opt)


def _rcode(flags: int, found: Outline) -> int:
    if found.later_version:
        return BADVERS  # RFC 6891 §6.1.3: before all else, as a later version may have changed what else is there
    return NOTIMP if flags & OPCODE else FORMERR
