"""Refusals: replies to messages that cannot be answered, with the error and, if readable, the question.

A FORMERR with only a header tells resolvers that the server lacks EDNS (RFC 6891 §7), and secondaries nothing at all.
 A refusal therefore has the question and an OPT record whenever those of the query are readable.
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
    """A reply and its rcode, including the bits in the OPT record."""

    rcode: int
    reply: bytes


def refuse(message: bytes) -> Refusal | None:
    """FORMERR, NOTIMP or BADVERS, with the question and an OPT record if readable (RFC 6891 §6.1.1, §7).

    None for messages shorter than a header, and for responses, as two servers could answer each other forever.
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
        return BADVERS  # RFC 6891 §6.1.3: first of all, as a later version may change the rest of the message
    return NOTIMP if flags & OPCODE else FORMERR
