"""Record data in Cloudflare's API, `content` and `data`: conversion from the wire form and to the model's form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

import dns.name
import dns.rdata

from dnsd.api.records.parts import PARTS, STYLE
from dnsd.model.contents import GENERIC, WITH_PRIORITY, pack_content
from dnsd.model.records import Record
from dnsd.wire.rdata import AAAA, HTTPS, MX, SRV, URI, A, pack_rdata, parse_type_text, unpack_rdata
from dnsd.wire.rdata_types import Names

CERT, LOC, NAPTR, SVCB = map(parse_type_text, ("CERT", "LOC", "NAPTR", "SVCB"))
DOTTED = frozenset({HTTPS, SVCB, NAPTR})  # types whose names Cloudflare writes with a final dot
OF_PARTS = frozenset({CERT, LOC})  # dnspython writes mnemonics and units; Cloudflare writes numbers
UNDOTTED_STYLE = dns.rdata.RdataStyle(hex_chunk_size=0, base64_chunk_size=0, omit_final_dot=True)

# Content that begins with the priority, which Cloudflare has in a field of its own.
WITH_ITS_PRIORITY = {
    MX: re.compile(r"\d+\s+\S"),
    SRV: re.compile(r"\d+\s+\d+\s+\d+\s+\S"),
    URI: re.compile(r"\d+\s+\d+\s+\S"),
}


class DataError(ValueError):
    """Missing or wrong parts of `data`: pairs of a part's name and a message."""

    def __init__(self, wrong: Mapping[str, str]) -> None:
        self.wrong = tuple(wrong.items())
        super().__init__("; ".join(f"{name} {message}" for name, message in self.wrong))


class ShownData(NamedTuple):
    """Record data in a response of the API."""

    content: str
    priority: int | None
    data: dict[str, Any] | None  # None: the type has no `data`, or JSON cannot express these octets


def shown_data(rtype: int, wire: bytes) -> ShownData:
    """The data of a record as the API shows it; the model rebuilds the same data from content and priority."""
    if rtype == A:  # most records of large zones
        return ShownData(address_text(wire), None, None)
    if rtype == AAAA:
        return ShownData(str(ip_address(wire)), None, None)
    rdata = unpack_rdata(rtype, wire)
    if rtype in OF_PARTS:
        content = " ".join(part.text(part.get(rdata)) for part in PARTS[rtype])
    else:
        content = rdata.to_styled_text(STYLE if rtype in DOTTED else UNDOTTED_STYLE).rstrip()
    priority = None
    if rtype in WITH_PRIORITY:
        first, _, content = content.partition(" ")
        priority = int(first)
    return ShownData(content, priority, _data(rtype, rdata))


def address_text(wire: bytes) -> str:
    """An IPv4 address as text."""
    return f"{wire[0]}.{wire[1]}.{wire[2]}.{wire[3]}"


def shown_record(record: Record) -> ShownData:
    """The data of a record as the API shows it: names in lower case, the rest as written."""
    return _as_written(record, shown_data(record.rtype, in_lower_case(record.rtype, record.rdata)))


def kept_data(record: Record) -> ShownData:
    """The data of a record in the same form but with names as stored, for edits that leave the data alone."""
    return _as_written(record, shown_data(record.rtype, record.rdata))


def in_lower_case(rtype: int, wire: bytes) -> bytes:
    """The data with its names in lower case; DNS answers keep them as written."""
    if rtype in (A, AAAA) or wire.lower() == wire:
        return wire
    rdata = unpack_rdata(rtype, wire)
    slots = (name for kind in type(rdata).__mro__ for name in getattr(kind, "__slots__", ()))
    values = {slot: getattr(rdata, slot) for slot in slots}
    names: dict[str, Any] = {slot: one.canonicalize() for slot, one in values.items() if isinstance(one, dns.name.Name)}
    if isinstance(rdata, Names):
        names = {"names": tuple(name.canonicalize() for name in rdata.names)}
    return pack_rdata(rdata.replace(**names)) if names else wire


def _as_written(record: Record, shown: ShownData) -> ShownData:
    """The shown data, spelled as it was written wherever clients see a difference."""
    if record.identity.written is None:
        return shown
    if shown.data is None:
        return shown._replace(content=record.written_content)
    return shown._replace(data=data_as_written(record.rtype, shown.data, record.written_content))


def _data(rtype: int, rdata: Any) -> dict[str, Any] | None:
    if rtype not in PARTS or rtype == MX:
        return None
    first = {"priority": int(rdata.priority)} if rtype == SRV else {}
    try:
        return first | {part.name: part.get(rdata) for part in PARTS[rtype]}
    except ValueError:
        return None


def data_as_written(rtype: int, data: Mapping[str, Any], content: str) -> dict[str, Any]:
    """`data` with hexadecimal digits in the content's case: clients compare them with the digits they sent."""
    parts = PARTS[rtype]
    digits = "".join(content.split()[len(parts) - 1 :])
    name = parts[-1].name
    return {**data, name: digits} if digits.lower() == data[name] else {**data}


def data_text(rtype: int, data: Mapping[str, Any]) -> str:
    """The content that `data` stands for, without the priority; unknown parts are ignored.

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


def read_content(rtype: int, content: str) -> tuple[bytes, bool]:
    """The rdata of content, and whether the content is complete: the priority may be missing. Raises ValueError."""
    has_its_priority = rtype not in WITH_PRIORITY or has_priority(rtype, content)
    return pack_content(rtype, content, None if has_its_priority else 0), has_its_priority


def has_priority(rtype: int, content: str) -> bool:
    """Whether content of MX, SRV or URI begins with the priority."""
    return content.startswith(GENERIC) or bool(WITH_ITS_PRIORITY[rtype].match(content.lstrip()))
