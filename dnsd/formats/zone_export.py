"""Zones as text in Cloudflare's export format: master files, readable by this and other servers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

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
    lines: dict[int, list[str]] = defaultdict(list)
    for number, record in enumerate(zone.records, 1):
        lines[record.rtype].append(record_line(record, identity=identities))
        if number % STEP == 0:
            yield
    types = sorted(lines, key=lambda rtype: (rtype != SOA, rtype != NS, type_text(rtype)))
    header = HEADER.format(name=full_name(zone.name), now=now.astimezone(UTC))
    return header + "\n".join(_section(rtype, lines[rtype]) for rtype in types)


def export_answered(name: bytes, rrsets: Iterable[AnsweredSet], now: datetime) -> Steps[str]:
    """A zone as DNS answers it: a master file with its RRsets in their order. The header shows `now`."""
    lines = [ANSWERED.format(name=full_name(name), now=now.astimezone(UTC))]
    for number, (owner, rtype, ttl, rdatas, _) in enumerate(rrsets, 1):
        head = f"{full_name(owner or name)}\t{ttl}\tIN\t{type_text(rtype)}"
        lines += [f"{head}\t{data_text(rtype, rdata)}\n" for rdata in rdatas]
        if number % STEP == 0:
            yield
    return "".join(lines)


def _section(rtype: int, lines: list[str]) -> str:
    heading = f";; {type_text(rtype)} Record{'' if rtype == SOA else 's'}"
    return "\n".join((heading, *lines, ""))
