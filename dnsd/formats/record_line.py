"""Records as lines of master files (RFC 1035 §5.1): names in full, so that a line means the same wherever it stands."""

from __future__ import annotations

import dns.exception

from dnsd.formats.comments import comment_text
from dnsd.model.records import GENERIC, Record
from dnsd.wire.names import name_text
from dnsd.wire.rdata import pack_rdata, parse_rdata_text, type_text


def record_line(record: Record, *, identity: bool = True) -> str:
    """The line of a record, without its end; with tags that say its identity, where it has one and it is wanted."""
    said = (full_name(record.owner), str(record.ttl), "IN", type_text(record.rtype), data_text(record))
    comment = comment_text(record, identity=identity)
    return "\t".join(said) + (f" ; {comment}" if comment else "")


def full_name(name: bytes) -> str:
    """A name with its final dot."""
    return name_text(name).removesuffix(".") + "."


def data_text(record: Record) -> str:
    """The data in presentation form; as octets (RFC 3597 §5) where it would not be read as the same data again."""
    try:
        text = record.content
        if pack_rdata(parse_rdata_text(record.rtype, text)) == record.rdata:
            return text
    except (dns.exception.DNSException, ValueError):
        pass
    return f"{GENERIC} {len(record.rdata)} {record.rdata.hex()}".rstrip()
