"""Shapes: the contents of a query without its id and name, parsed once for all equal queries."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from dnsd.engine.answer import head_index
from dnsd.errors import WireError
from dnsd.wire.message import (
    IN,
    MIN_UDP_SIZE,
    NSID,
    OPCODE,
    OUR_UDP_SIZE,
    QR,
    pack_opt,
    parse_additional,
    records_in,
)
from dnsd.wire.rdata import IXFR, SOA, TRANSFER_TYPES

MAX_CACHED = 128  # octets; longer shapes are rare, and attackers could fill the cache's memory with them

MIN_SOA = 22  # octets of its data: two names, five numbers

_KEY = struct.Struct("!HHHHHHH")  # flags, four counts, type, class


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A well-formed query without its id and name."""

    qtype: int
    qclass: int
    head: int  # index of an answer's heads
    room: int  # limit on the octets of a UDP reply
    opt: bytes  # the OPT record for the reply, or empty
    do: bool
    nsid: bool  # whether the client requests the NSID (RFC 5001)
    version: int  # of EDNS
    unknown_key: bytes  # the TSIG record for the reply if the query is signed and its EDNS version supported
    plain: bool  # answered from a zone: class IN, no zone transfer, EDNS version 0, not signed


def shape_of(key: bytes) -> Shape:
    """The shape of a query; `key` is its header without the id, and everything after its name.

    Raises WireError for unanswerable messages: responses, other opcodes, counts or records that are not allowed in
    queries (RFC 9619, RFC 6891 §6.1.1), missing or left-over octets.
    """
    return _cached_shape(key) if len(key) <= MAX_CACHED else _parse_shape(key)


def without_serial(key: bytes) -> bytes:
    """The query without the SOA record in an IXFR's authority section, which gives the client's version (RFC 1995 §3).

    `key` is as for `shape_of`; queries of other types are returned unchanged. Raises WireError for other records
    in its place.
    """
    if len(key) < _KEY.size:
        return key
    flags, questions, answers, authorities, additional, qtype, qclass = _KEY.unpack_from(key)
    if qtype != IXFR or (answers, authorities) != (0, 1):
        return key
    (record,) = records_in(key, _KEY.size, 1)
    if record.rtype != SOA or len(record.rdata) < MIN_SOA:
        raise WireError("an IXFR whose authority section is not an SOA")
    return _KEY.pack(flags, questions, 0, 0, additional, qtype, qclass) + key[record.end :]


def _parse_shape(key: bytes) -> Shape:
    if len(key) < _KEY.size:
        raise WireError("no type and class")
    flags, questions, answers, authorities, additional, qtype, qclass = _KEY.unpack_from(key)
    if flags & (QR | OPCODE):
        raise WireError("not a query")
    if (questions, answers, authorities) != (1, 0, 0):
        raise WireError("not exactly one question, or records in the answer or authority section")
    extra = parse_additional(key[_KEY.size :], additional)
    opt = extra.opt
    version = opt.version if opt else 0
    return Shape(
        qtype=qtype,
        qclass=qclass,
        head=head_index(flags, edns=opt is not None),
        # RFC 6891 §6.2.3: sizes below 512 mean 512
        room=min(OUR_UDP_SIZE, max(MIN_UDP_SIZE, opt.size)) if opt else MIN_UDP_SIZE,
        opt=pack_opt(do=opt.do) if opt else b"",
        do=opt.do if opt else False,
        nsid=opt is not None and NSID in opt.options,
        version=version,
        unknown_key=b"" if version else extra.unknown_key,
        plain=qclass == IN and qtype not in TRANSFER_TYPES and not version and not extra.unknown_key,
    )


_cached_shape = lru_cache(maxsize=4096)(_parse_shape)
