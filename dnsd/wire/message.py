"""The header and the OPT record of DNS messages (RFC 1035 §4.1.1, RFC 6891): flags, codes, and their octets."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from dnsd.errors import WireError
from dnsd.wire.names import MAX_LABEL, MAX_NAME, ROOT, name_end

HEADER_SIZE = 12  # octets, RFC 1035 §4.1.1
QUESTION_TAIL = 4  # octets of type and class after the question's name

QR, OPCODE, AA, TC, RD, CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0010
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, NOTAUTH, BADVERS = 0, 1, 2, 3, 4, 5, 6, 9, 16
IN, CH, ANY_CLASS = 1, 3, 255

MIN_UDP_SIZE = 512  # octets, RFC 1035 §4.2.1
OUR_UDP_SIZE = 1232  # octets: fits every path without fragmentation (DNS flag day 2020)
MAX_MESSAGE_SIZE = 65_535  # octets, RFC 1035 §4.2.2

DO = 0x8000  # RFC 3225
OPT, TSIG = 41, 250
MAX_ADDITIONAL = 3  # records in a query; OPT and TSIG are two
MAX_OPTIONS = 16  # in a query; resolvers send two or three
MAX_OUTLINED = 32  # limit on the questions, and on the records, of a refused message searched for its OPT
BADKEY = 17  # RFC 8945 §3
NSID, COOKIE, EDE = 3, 10, 15  # option codes: RFC 5001, RFC 7873, RFC 8914
CLIENT_COOKIE_SIZE = 8  # octets, RFC 7873 §4.1
COOKIE_SIZES = frozenset((CLIENT_COOKIE_SIZE, *range(16, 41)))  # octets of the option, RFC 7873 §4
EDE_NOT_AUTHORITATIVE, EDE_PROHIBITED, EDE_NETWORK_ERROR = 20, 18, 23  # RFC 8914 §4

_OPT = struct.Struct("!BHHBBHH")  # root owner, type, size, extended rcode, version, flags, length of the options
_COUNTS = struct.Struct("!HHHH")  # questions, answers, authority and additional records
RECORD_FIXED = struct.Struct("!HHIH")  # type, class, ttl, length of the record data
_OPTION = struct.Struct("!HH")
# An owner name and its final pointer, if any: a loop over the labels would take longer than all other work.
_LABEL = b"|".join(re.escape(bytes([size])) + b".{%d}" % size for size in range(1, MAX_LABEL + 1))
_OWNER = re.compile(b"(?:%s){0,127}+(?:\\0|([\xc0-\xff].))" % _LABEL, re.DOTALL)
_TSIG = struct.Struct("!6sHH")  # time signed, fudge, length of the MAC


@dataclass(frozen=True, slots=True)
class Opt:
    """The contents of a client's OPT record."""

    size: int  # octets that the client can receive over UDP
    version: int
    do: bool
    options: frozenset[int]  # codes


def pack_opt(*, do: bool, rcode: int = NOERROR, options: bytes = b"") -> bytes:
    """Pack our OPT record, with the upper eight bits of `rcode`, version 0 and clear Z bits (RFC 6891 §6.1.3)."""
    return _OPT.pack(0, OPT, OUR_UDP_SIZE, rcode >> 4, 0, DO if do else 0, len(options)) + options


def pack_option(code: int, data: bytes) -> bytes:
    """Pack an EDNS option."""
    return _OPTION.pack(code, len(data)) + data


def pack_extended_error(code: int) -> bytes:
    """Pack an Extended DNS Error option (RFC 8914 §2), without extra text."""
    return pack_option(EDE, code.to_bytes(2))


@dataclass(frozen=True, slots=True)
class Additional:
    """The relevant contents of a query's additional section."""

    opt: Opt | None = None
    unknown_key: bytes = b""  # the TSIG record for the reply if the query is signed: we have no keys


class MessageRecord(NamedTuple):
    """A record of a message, with its names unchanged."""

    owner: re.Match[bytes]  # [0]: the owner; [1]: its final pointer, or None
    rtype: int
    rclass: int
    ttl: int
    rdata: bytes
    end: int  # offset just past the record


def records_in(message: bytes, start: int, count: int) -> Iterator[MessageRecord]:
    """Yield the `count` records from `start` on.

    Raises WireError at the first record that is malformed or runs past the end, after yielding the records before it.
    """
    position = start
    for _ in range(count):
        owner = _owner_at(message, position)
        position = owner.end() + RECORD_FIXED.size
        if position > len(message):
            raise WireError("a record runs past the end of the message")
        rtype, rclass, ttl, length = RECORD_FIXED.unpack_from(message, owner.end())
        rdata_start, position = position, position + length
        if position > len(message):
            raise WireError("record data runs past the end of the message")
        yield MessageRecord(owner, rtype, rclass, ttl, message[rdata_start:position], position)


def parse_additional(records: bytes, count: int) -> Additional:
    """Parse the OPT and TSIG records among `count` additional records, which must fill `records`.

    Raises WireError for malformed records and left-over bytes, and as required by RFC 6891 §6.1.1 and RFC 8945 §5.1:
    for a second OPT, an OPT whose owner is not the root, and a TSIG that is not the last record.
    """
    if count > MAX_ADDITIONAL:
        raise WireError("too many additional records for a query")
    opt: Opt | None = None
    unknown_key = b""
    end = 0
    for record in records_in(records, 0, count):
        if unknown_key:
            raise WireError("a record after the TSIG")
        if record.rtype == OPT:
            if opt is not None or record.owner[0] != ROOT:
                raise WireError("a second OPT, or an OPT whose owner is not the root")
            opt = Opt(record.rclass, _version(record), _wants_dnssec(record), _option_codes(record.rdata))
        elif record.rtype == TSIG:
            if record.owner[1]:
                raise WireError("a compressed key name")
            unknown_key = _pack_unknown_key(record.owner[0], record.rdata)
        end = record.end
    if end != len(records):
        raise WireError("bytes after the last record")
    return Additional(opt, unknown_key)


@dataclass(frozen=True, slots=True)
class Outline:
    """The readable parts of a message that is refused."""

    question: bytes = b""  # its only question: name, type and class; empty if it has several questions or no question
    opts: int = 0  # number of OPT records; normally one
    do: bool = False  # of the first OPT
    later_version: bool = False  # of EDNS: the only OPT has a version other than 0


def outline_of(message: bytes) -> Outline:
    """The question and the OPT of a message with a header, as far as they precede the first malformed part.

    Never raises. Examines at most MAX_OUTLINED questions and records.
    """
    questions, answers, authorities, additional = _COUNTS.unpack_from(message, HEADER_SIZE - _COUNTS.size)
    found = Outline()
    try:
        position = HEADER_SIZE
        for _ in range(min(questions, MAX_OUTLINED)):
            name = _owner_at(message, position)
            position = name.end() + QUESTION_TAIL
        if position > len(message):
            return found
        if questions == 1:
            if name[1]:
                return found  # compressed, with nothing before it to point to
            found = replace(found, question=message[HEADER_SIZE:position])
        before = answers + authorities
        for index, record in enumerate(records_in(message, position, min(before + additional, MAX_OUTLINED))):
            if record.rtype == OPT and index >= before:
                found = _with_opt(found, record)
    except WireError:
        pass
    return found


def _with_opt(found: Outline, record: MessageRecord) -> Outline:
    if found.opts:
        return replace(found, opts=found.opts + 1, later_version=False)
    is_later = record.owner[0] == ROOT and _version(record) != 0
    return replace(found, opts=1, do=_wants_dnssec(record), later_version=is_later)


def _owner_at(message: bytes, position: int) -> re.Match[bytes]:
    owner = _OWNER.match(message, position)
    if owner is None or owner.end() - position > MAX_NAME:
        raise WireError("a malformed owner name")
    return owner


def _version(opt: MessageRecord) -> int:
    return opt.ttl >> 16 & 0xFF


def _wants_dnssec(opt: MessageRecord) -> bool:
    return bool(opt.ttl & DO)


def _pack_unknown_key(key_name: bytes, rdata: bytes) -> bytes:
    """Pack the unsigned TSIG record with BADKEY that answers a TSIG of this key and data (RFC 8945 §5.2.1, §5.3.2).

    Raises WireError for malformed data.
    """
    end = name_end(rdata, 0)
    if len(rdata) < end + _TSIG.size:
        raise WireError("a TSIG that ends too early")
    time, fudge, mac_size = _TSIG.unpack_from(rdata, end)
    rest = rdata[end + _TSIG.size + mac_size :]  # original id, error, length of other data, other data
    if len(rest) < 6 or len(rest) != 6 + int.from_bytes(rest[4:6]):
        raise WireError("a TSIG whose parts do not match its length")
    reply = rdata[:end] + _TSIG.pack(time, fudge, 0) + rest[:2] + BADKEY.to_bytes(2) + bytes(2)
    return key_name + RECORD_FIXED.pack(TSIG, ANY_CLASS, 0, len(reply)) + reply


def _option_codes(options: bytes) -> frozenset[int]:
    codes: set[int] = set()
    position, end = 0, len(options)
    try:
        for _ in range(MAX_OPTIONS):
            if position >= end:
                break
            code, length = _OPTION.unpack_from(options, position)
            if code == COOKIE and code not in codes and length not in COOKIE_SIZES:
                raise WireError("a COOKIE option of an invalid size")  # RFC 7873 §5.2.2
            codes.add(code)
            position += _OPTION.size + length
    except struct.error:
        raise WireError("an EDNS option without its length") from None
    if position > end:
        raise WireError("an EDNS option longer than its OPT")
    if position < end:
        raise WireError("too many EDNS options for a query")
    return frozenset(codes)
