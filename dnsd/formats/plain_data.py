"""Read plain record data of common types fast: one form of each part, printable ASCII, no escapes.

All other data is left to the full reader (zone_entries.py); data that is plain has the same wire form there.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import dns.exception
import dns.ipv6
import dns.ttl

from dnsd.wire.rdata import (
    AAAA,
    CAA,
    CNAME,
    DNAME,
    DS,
    HTTPS,
    MX,
    NAPTR,
    NS,
    PTR,
    SOA,
    SRV,
    SSHFP,
    SVCB,
    TLSA,
    TXT,
    A,
)

ParseName: TypeAlias = Callable[[str], bytes | None]  # a plain name -> wire form, case kept; None for any other name
Parse: TypeAlias = Callable[[str, ParseName], bytes | None]  # data -> wire form; None unless it is plain

MAX_PLAIN = 10_000  # characters
GAP = r"[ \t]++"
NAME = r"[-\w*.]++|@"
HEX = rf"[0-9A-Fa-f]++(?:{GAP}[0-9A-Fa-f]++)*+"
QUOTED = r'"[ !#-\[\]-~]*+"'  # a character-string, RFC 1035 §5.1
STRING = rf"{QUOTED}|[!#-'*-:<-\[\]-~]++"
PLAIN_NAME = re.compile(NAME, re.ASCII)
ONE_STRING = re.compile(STRING)
STRINGS = re.compile(rf"(?:{STRING})(?:{GAP}(?:{STRING}))*+")
TAG_AND_VALUE = rf"[A-Za-z0-9]{{1,255}}+{GAP}(?:{STRING})"
PARAMETER = rf"[a-z0-9-]++(?:=(?:{STRING}))?+"  # RFC 9460 §2.1
ONE_PARAMETER = re.compile(PARAMETER)
SOA_DATA = re.compile(rf"({NAME}){GAP}({NAME}){GAP}(\d++(?:{GAP}\w++){{4}})", re.ASCII)
MAX_NUMBER = 2**32 - 1
ALPN, NO_DEFAULT_ALPN, PORT, IPV4_HINT, IPV6_HINT = 1, 2, 3, 4, 6  # RFC 9460 §14.3.2


def parse_plain(rtype: int) -> Parse | None:
    """The reader of plain data of a type, if there is one. It raises ValueError for some data that is not plain."""
    return PARSERS.get(rtype)


def _ipv4(text: str, parse_name: ParseName) -> bytes | None:
    address = bytes(map(int, text.split(".")))
    # Python also accepts numbers such as 007 and 1_0, which are not valid in an address.
    return address if len(address) == 4 and ".".join(map(str, address)) == text else None


def _ipv6(text: str, parse_name: ParseName) -> bytes | None:
    try:
        return dns.ipv6.inet_aton(text)
    except dns.exception.SyntaxError:
        return None


def _name(text: str, parse_name: ParseName) -> bytes | None:
    return parse_name(text) if PLAIN_NAME.fullmatch(text) else None


def _texts(text: str, parse_name: ParseName) -> bytes | None:
    return b"".join(map(_string, ONE_STRING.findall(text))) if STRINGS.fullmatch(text) else None


def _string(text: str) -> bytes:
    octets = _content(text)
    return bytes((len(octets),)) + octets


def _content(text: str) -> bytes:
    return (text[1:-1] if text.startswith('"') else text).encode()


def _hex(text: str, parse_name: ParseName) -> bytes:
    return bytes.fromhex(text)


def _tag_and_value(text: str, parse_name: ParseName) -> bytes:
    tag, value = text.split(None, 1)
    return _string(tag) + _content(value)


def _rule(text: str, parse_name: ParseName) -> bytes | None:
    """The strings and the name of a NAPTR, RFC 3403 §4.1."""
    *strings, _ = ONE_STRING.findall(text)
    name = parse_name(text.split()[-1])
    return None if name is None else b"".join(map(_string, strings)) + name


def _service(text: str, parse_name: ParseName) -> bytes | None:
    """The target and the parameters of an SVCB or HTTPS, RFC 9460 §2."""
    target, *_ = text.split(None, 1)
    name = parse_name(target)
    given = ONE_PARAMETER.findall(text, len(target))
    values = dict(map(_parameter, given))
    if name is None or len(values) != len(given) or (NO_DEFAULT_ALPN in values and ALPN not in values):
        return None
    return name + b"".join(struct.pack("!HH", key, len(values[key])) + values[key] for key in sorted(values))


def _parameter(text: str) -> tuple[int, bytes]:
    """The number and the packed value of one parameter. Raises ValueError unless it is plain."""
    key, equals, value = text.partition("=")
    if key == "no-default-alpn" and not equals:
        return NO_DEFAULT_ALPN, b""
    number, parse = PARAMETERS.get(key, (0, None))
    values = value.strip('"').split(",")
    packed = [parse(one) for one in values] if parse and all(values) else [None]
    if None in packed or (number == PORT and len(packed) > 1):
        raise ValueError(f"{key} is not plain")
    return number, b"".join(filter(None, packed))


PARAMETERS: Mapping[str, tuple[int, Callable[[str], bytes | None]]] = {
    "alpn": (ALPN, _string),
    "port": (PORT, lambda text: bytes(divmod(int(text), 256)) if text.isdecimal() and len(text) <= 5 else None),
    "ipv4hint": (IPV4_HINT, lambda text: _ipv4(text, lambda _: None)),
    "ipv6hint": (IPV6_HINT, lambda text: _ipv6(text, lambda _: None)),
}


def _soa(text: str, parse_name: ParseName) -> bytes | None:
    match = SOA_DATA.fullmatch(text)
    if not match:
        return None
    mname, rname = parse_name(match[1]), parse_name(match[2])
    serial, *times = match[3].split()
    if mname is None or rname is None or len(serial) > 10 or int(serial) > MAX_NUMBER:
        return None
    try:
        return mname + rname + struct.pack("!5I", int(serial), *map(_seconds, times))
    except dns.ttl.BadTTL:
        return None


@lru_cache(maxsize=256)  # the same in most zones
def _seconds(text: str) -> int:
    return dns.ttl.from_text(text)


@dataclass(frozen=True, slots=True)
class Numbered:
    """The form of data that begins with numbers: their sizes, and the reader of the text after them."""

    numbers: struct.Struct
    form: re.Pattern[str]
    parse: Parse
    sizes: Mapping[int, int] = field(default_factory=dict)  # last number, a kind of digest -> octets of the rest

    def __call__(self, text: str, parse_name: ParseName) -> bytes | None:
        """The wire form of data; None, or ValueError, unless it is plain."""
        match = self.form.fullmatch(text)
        if not match:
            return None
        *numbers, rest = match.groups()
        tail = self.parse(rest, parse_name)
        if tail is None or (self.sizes and self.sizes.get(int(numbers[-1])) != len(tail)):
            return None
        try:
            return self.numbers.pack(*map(int, numbers)) + tail
        except struct.error:  # a number is too large
            return None


NUMBER = rf"(\d{{1,5}}+){GAP}"
SERVICE = rf"(?:{NAME})(?:{GAP}{PARAMETER})*+"
RULE = rf"(?:(?:{STRING}){GAP}){{3}}+(?:{NAME})"
DIGESTS = {1: 20, 2: 32, 4: 48}  # octets by type of digest: RFC 3658 §2.4, RFC 4509, RFC 6605
PARSERS: Mapping[int, Parse] = {
    A: _ipv4,
    AAAA: _ipv6,
    **dict.fromkeys((NS, CNAME, DNAME, PTR), _name),
    TXT: _texts,
    SOA: _soa,
    MX: Numbered(struct.Struct("!H"), re.compile(rf"{NUMBER}({NAME})", re.ASCII), _name),
    SRV: Numbered(struct.Struct("!HHH"), re.compile(rf"{NUMBER}{NUMBER}{NUMBER}({NAME})", re.ASCII), _name),
    CAA: Numbered(struct.Struct("!B"), re.compile(rf"{NUMBER}({TAG_AND_VALUE})", re.ASCII), _tag_and_value),
    DS: Numbered(struct.Struct("!HBB"), re.compile(rf"{NUMBER}{NUMBER}{NUMBER}({HEX})", re.ASCII), _hex, DIGESTS),
    SSHFP: Numbered(struct.Struct("!BB"), re.compile(rf"{NUMBER}{NUMBER}({HEX})", re.ASCII), _hex, {1: 20, 2: 32}),
    TLSA: Numbered(struct.Struct("!BBB"), re.compile(rf"{NUMBER}{NUMBER}{NUMBER}({HEX})", re.ASCII), _hex),
    NAPTR: Numbered(struct.Struct("!HH"), re.compile(rf"{NUMBER}{NUMBER}({RULE})", re.ASCII), _rule),
    **dict.fromkeys(
        (SVCB, HTTPS), Numbered(struct.Struct("!H"), re.compile(rf"{NUMBER}({SERVICE})", re.ASCII), _service)
    ),
}
