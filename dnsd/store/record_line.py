"""Records as lines of master files (RFC 1035 §5.1): names in full, so that a line means the same wherever it stands."""

from __future__ import annotations

from dataclasses import replace

import dns.exception

from dnsd.model.records import DEFAULT_SETTINGS, GENERIC, Record
from dnsd.store.comments import bare_comment, comment_text
from dnsd.wire.names import name_text
from dnsd.wire.rdata import pack_rdata, parse_rdata_text, type_text


def record_line(record: Record, *, identity: bool = True) -> str:
    """The line of a record, without its end; with tags that say its identity, where it has one and it is wanted.

    What a line cannot say is left out; `in_master_file` says what that is.
    """
    said = (full_name(record.owner), str(record.ttl), "IN", type_text(record.rtype), data_text(record))
    comment = comment_text(record, identity=identity)
    return "\t".join(said) + (f" ; {comment}" if comment else "")


def in_master_file(record: Record) -> Record:
    """The record as it is read from its line again: settings and tags have no place there, a comment is one line."""
    return replace(record, settings=DEFAULT_SETTINGS, comment=bare_comment(record.comment), tags=())


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
