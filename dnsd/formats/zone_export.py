"""Zones as text in Cloudflare's export format: master files, readable by this and other servers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice

from dnsd.formats.record_line import data_text, full_name, record_line
from dnsd.model.record_parts import Steps
from dnsd.model.zones import Zone
from dnsd.wire.rdata import NS, SOA, type_text

STEP = 200  # records, or RRsets
HEADER = """\
;;
;; Domain:     {name}
;; Exported:   {now:%Y-%m-%d %H:%M:%S}
;;
;; This file is intended for use for informational and archival
;; purposes ONLY and MUST be edited before use on a production
;; DNS server.  In particular, you must:
;;   -- update the SOA record with the correct authoritative name server
;;   -- update the SOA record with the contact e-mail address information
;;   -- update the NS record(s) with the authoritative name servers for this domain.
;;
;; Use at your own risk.
"""

ANSWERED = """\
;;
;; Domain:     {name}
;; Answered:   {now:%Y-%m-%d %H:%M:%S}
;;
;; The zone as DNS answers it now: proxied names with the addresses of
;; their map, flattened CNAMEs with those of their targets.
;;
"""


AnsweredSet = tuple[bytes | None, int, int, tuple[bytes, ...], int]  # owner, type, TTL, data, class


def export(zone: Zone, now: datetime, *, identities: bool = False) -> Steps[str]:
    """A zone as a master file: SOA, NS, then all other types by name, each in the zone's order.

    The header shows `now`. If `identities`, tags hold the ids and times of records.
    """
    texts: dict[int, list[str]] = {}  # by type; each of a step's records
    records = iter(zone.records)
    while some := list(islice(records, STEP)):
        lines: dict[int, list[str]] = defaultdict(list)
        for record in some:
            lines[record.rtype].append(f"{record_line(record, identity=identities)}\n")
        for rtype, of_type in lines.items():
            texts.setdefault(rtype, [_heading(rtype)]).append("".join(of_type))
        yield
    types = sorted(texts, key=lambda rtype: (rtype != SOA, rtype != NS, type_text(rtype)))
    header = HEADER.format(name=full_name(zone.name), now=now.astimezone(UTC))
    return header + "\n".join("".join(texts[rtype]) for rtype in types)


def export_answered(name: bytes, rrsets: Iterable[AnsweredSet], now: datetime) -> Steps[str]:
    """A zone as DNS answers it: a master file with its RRsets in their order. The header shows `now`."""
    texts = [ANSWERED.format(name=full_name(name), now=now.astimezone(UTC))]  # then one of a step's RRsets each
    rest = iter(rrsets)
    while some := list(islice(rest, STEP)):
        lines = []
        for owner, rtype, ttl, rdatas, _ in some:
            head = f"{full_name(owner or name)}\t{ttl}\tIN\t{type_text(rtype)}"
            lines += [f"{head}\t{data_text(rtype, rdata)}\n" for rdata in rdatas]
        texts.append("".join(lines))
        yield
    return "".join(texts)


def _heading(rtype: int) -> str:
    return f";; {type_text(rtype)} Record{'' if rtype == SOA else 's'}\n"
