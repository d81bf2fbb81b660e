"""Record data in Cloudflare's API, `content` and `data`: from the wire form, and back to what the model takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer

from dnsd.api.record_parts import PARTS, STYLE, quoted_text
from dnsd.model.records import GENERIC, MAX_STRING, WITH_PRIORITY, pack_content
from dnsd.wire.rdata import AAAA, HTTPS, MX, SRV, TXT, URI, A, parse_type_text, reason

CERT, LOC, NAPTR, SPF, SVCB = map(parse_type_text, ("CERT", "LOC", "NAPTR", "SPF", "SVCB"))
TEXT_TYPES = frozenset({TXT, SPF})
DOTTED = frozenset({HTTPS, SVCB, NAPTR})  # types of whose names Cloudflare writes the final dot
OF_PARTS = frozenset({CERT, LOC})  # dnspython writes mnemonics and units, where Cloudflare has numbers
UNDOTTED_STYLE = dns.rdata.RdataStyle(hex_chunk_size=0, base64_chunk_size=0, omit_final_dot=True)

# Content that holds the priority, too, which Cloudflare has beside it.
WITH_ITS_PRIORITY = {
    MX: re.compile(r"\d+\s+\S"),
    SRV: re.compile(r"\d+\s+\d+\s+\d+\s+\S"),
    URI: re.compile(r"\d+\s+\d+\s+\S"),
}
ALTITUDE = re.compile(r"(?<=[EW]\s)\s*[+-]?\d+\.\d+(?=m?(?:\s|$))")  # of a LOC


class DataError(ValueError):
    """What is missing or wrong in `data`: names of parts, each with a sentence."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        self.wrong = tuple(wrong.items())
        super().__init__("; ".join(f"{name} {message}" for name, message in self.wrong))


class Shown(NamedTuple):
    """Record data in an answer of the API."""

    content: str
    priority: int | None
    data: dict[str, Any] | None  # None: the type has none, or JSON cannot say these octets


def shown_data(rtype: int, wire: bytes) -> Shown:
    """The data of a record as the API shows it; of the content and the priority, the model makes the same data."""
    if rtype in (A, AAAA):  # most records of large zones
        return Shown(str(ip_address(wire)), None, None)
    rdata = _parsed(rtype, wire)
    if rdata is None:
        return Shown(f"{GENERIC} {len(wire)} {wire.hex()}", None, None)
    if rtype in OF_PARTS:
        content = " ".join(part.text(part.get(rdata)) for part in PARTS[rtype])
    else:
        content = rdata.to_styled_text(STYLE if rtype in DOTTED else UNDOTTED_STYLE).rstrip()
    priority = None
    if rtype in WITH_PRIORITY:
        first, _, content = content.partition(" ")
        priority = int(first)
    return Shown(content, priority, _data(rtype, rdata))


def is_readable(rtype: int, wire: bytes) -> bool:
    """Whether the data can be read again: dnspython packs a latitude of 90° 30′, but does not unpack it."""
    return _parsed(rtype, wire) is not None


def _parsed(rtype: int, wire: bytes) -> Any:
    try:
        return dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.RdataType.make(rtype), wire, 0, len(wire))
    except Exception:  # of various kinds
        return None


def _data(rtype: int, rdata: Any) -> dict[str, Any] | None:
    if rtype not in PARTS or rtype == MX:
        return None
    first = {"priority": int(rdata.priority)} if rtype == SRV else {}
    try:
        return first | {part.name: part.get(rdata) for part in PARTS[rtype]}
    except ValueError:
        return None


def data_text(rtype: int, data: Mapping[str, Any]) -> str:
    """The content that `data` means, without the priority; what is no part of the type is ignored.

    Raises DataError.
    """
    texts: list[str] = []
    wrong: dict[str, str] = {}
    for part in PARTS[rtype]:
        value = data.get(part.name)
        value = part.default if value is None else value
        try:
            if value is None:
                raise ValueError("is missing")
            texts.append(part.text(value))
        except ValueError as error:
            wrong[part.name] = str(error)
    if wrong:
        raise DataError(wrong)
    return " ".join(texts)


def model_text(rtype: int, content: str) -> str:
    """Content in the form in which the model takes it for what it says. Raises ValueError."""
    if rtype == SPF or (rtype == TXT and _is_quoted(content)):
        return " ".join(_cut(octets) for octets in character_strings(content))
    if rtype == LOC:
        # dnspython takes 1.13 m for 112.99999999999999 cm, and then for 112; with a little more, it is 113.
        return ALTITUDE.sub(lambda found: f"{found[0]}001", content)
    return content


def read_content(rtype: int, content: str) -> tuple[bytes, bool]:
    """The data that content means, and whether it holds a priority, where the type has one. Raises ValueError."""
    has_its_priority = rtype not in WITH_PRIORITY or has_priority(rtype, content)
    return pack_content(rtype, model_text(rtype, content), None if has_its_priority else 0), has_its_priority


def has_priority(rtype: int, content: str) -> bool:
    """Whether content of MX, SRV or URI begins with the priority."""
    return content.startswith(GENERIC) or bool(WITH_ITS_PRIORITY[rtype].match(content.lstrip()))


def character_strings(content: str) -> list[bytes]:
    """The strings of text data, however long; without quotes it is one. Raises ValueError."""
    if not _is_quoted(content):
        return [content.encode()]
    if "\n" in content.strip():
        raise ValueError("has more than one line; record data is one")
    tokenizer, strings = dns.tokenizer.Tokenizer(content), []
    try:
        while not (token := tokenizer.get(want_comment=True)).is_eol_or_eof():
            if token.is_comment():
                raise ValueError("a semicolon begins a comment in record data; put the text in double quotes")
            strings.append(token.unescape_to_bytes().value)
    except dns.exception.DNSException as error:
        raise ValueError(f"not valid text data: {reason(error)}") from None
    return strings


def _is_quoted(content: str) -> bool:
    return content.lstrip().startswith('"')


def _cut(octets: bytes) -> str:
    """Character-strings of 255 octets at most."""
    starts = range(0, len(octets), MAX_STRING) or (0,)
    return " ".join(quoted_text(octets[start : start + MAX_STRING]) for start in starts)
