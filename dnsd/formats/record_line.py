"""Records as lines of master files (RFC 1035 §5.1), with absolute names, so that a line means the same anywhere."""

from __future__ import annotations

import dns.exception

from dnsd.formats.comments import comment_text
from dnsd.model.contents import GENERIC
from dnsd.model.records import Record
from dnsd.wire.names import name_text
from dnsd.wire.rdata import pack_rdata, parse_rdata_text, rdata_text, type_text


def record_line(record: Record, *, identity: bool = True) -> str:
    """The line of a record, without a line break; if `identity`, with tags for the id and times that it has."""
    words = (
        full_name(record.owner),
        str(record.ttl),
        "IN",
        type_text(record.rtype),
        data_text(record.rtype, record.rdata),
    )
    comment = comment_text(record, identity=identity)
    return "\t".join(words) + (f" ; {comment}" if comment else "")


def full_name(name: bytes) -> str:
    """A name with its final dot."""
    return name_text(name).removesuffix(".") + "."


def data_text(rtype: int, rdata: bytes) -> str:
    """The data in presentation form, or as octets (RFC 3597 §5) if that form would not be read back the same."""
    try:
        text = rdata_text(rtype, rdata)
        if pack_rdata(parse_rdata_text(rtype, text)) == rdata:
            return text
    except (dns.exception.DNSException, ValueError):
        pass
    return f"{GENERIC} {len(rdata)} {rdata.hex()}".rstrip()
