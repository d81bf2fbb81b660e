"""A zone in canonical order: its RRsets as DNS answers them, and the neighbours of a name.

The RRsets are what a secondary server would have to serve: proxied names have the addresses of their map, flattened
CNAMEs those of their targets. Delegations, and the records below them, among which is the glue, are as stored: the
table has no origins.
"""

from __future__ import annotations

from collections.abc import Iterator

from dnsd.engine.answer import Rrset
from dnsd.engine.derive import answer_at
from dnsd.engine.edge_rules import FLATTENED, edge_rule
from dnsd.engine.entry import CUT, EMPTY, OCCLUDED, SHADOWED, NameEntry, is_within
from dnsd.engine.names import rule_number, unpacked_rrset
from dnsd.engine.snapshot import Snapshot
from dnsd.engine.table import Table
from dnsd.wire.names import ancestors
from dnsd.wire.rdata import AAAA, CNAME, DS, A

NO_OWNER = EMPTY | OCCLUDED


def answered_rrsets(snapshot: Snapshot, zone: bytes) -> Iterator[Rrset]:
    """The RRsets of the zone with this name, each with its owner; none if it is not served.

    Names that a zone below this one answers for are left out, but for the delegation to it and its glue.
    """
    alike: dict[int, list[Rrset]] = {}  # of names without RRsets of their own, by kind
    for entry in _own_entries(snapshot.names.table, zone):
        rrsets = None if entry.sets else alike.get(entry.kind)
        if rrsets is None:
            rrsets = list(_rrsets(snapshot, entry, is_apex=entry.name == zone))
            if not entry.sets:
                alike[entry.kind] = rrsets
        for rrset in rrsets:
            yield rrset._replace(owner=entry.name)


def _own_entries(table: Table, zone: bytes) -> Iterator[NameEntry]:
    """The entries of a zone that are not in place of those of a zone below it."""
    children = {*table.zones(zone)} - {zone}
    cut = b""
    for entry in table.walk(zone):
        name = entry.name
        if entry.flags & OCCLUDED:
            if not cut or not is_within(name, cut):
                continue
        elif entry.flags & SHADOWED:
            between = (above for above in ancestors(name) if len(above) > len(zone))
            if not entry.flags & CUT or not children.isdisjoint(between):
                continue
        if entry.flags & CUT:
            cut = name
        yield entry


def _rrsets(snapshot: Snapshot, entry: NameEntry, *, is_apex: bool) -> Iterator[Rrset]:
    """The RRsets at one name, without an owner; none in a zone that is not set up."""
    rule = rule_number(entry.kind)
    is_flattened, edge = rule == FLATTENED, edge_rule(rule)
    stored = {rtype for rtype, _, _ in entry.sets}
    for rtype, _, body in entry.sets:
        if not (rtype == CNAME and is_flattened) and not (rtype == DS and is_apex and _has_parent(snapshot, entry)):
            yield unpacked_rrset(rtype, body)
    node = snapshot.names.get(entry.name) if edge or is_flattened else None
    if node is not None:
        for rtype in edge.keys if edge else (A, AAAA):
            if rtype not in stored:
                found = answer_at(snapshot, node, entry.name, rtype).answer
                yield from (rrset for rrset in found if rrset.owner is None and rrset.rtype == rtype)


def _has_parent(snapshot: Snapshot, apex: NameEntry) -> bool:
    """Whether the zone around this one is served and answers for its DS records (RFC 4035 §3.1.4.1)."""
    return DS not in snapshot.names[apex.name].answers


def neighbours(table: Table, zone: bytes, name: bytes) -> tuple[bytes | None, bytes | None]:
    """The owner names before and after a name of a zone, which may exist or not.

    Empty non-terminals and the names below delegations are none (RFC 4034 §4.1.1).
    """
    before = table.before(zone, name)
    while before is not None and before.flags & NO_OWNER:
        before = _cut_above(table, zone, before) or table.before(zone, before.name)
    after = next(_owners_after(table, zone, name), None)
    return before and before.name, after


def _owners_after(table: Table, zone: bytes, name: bytes) -> Iterator[bytes]:
    entries = table.walk(zone, name)
    while (entry := next(entries, None)) is not None:
        if not entry.flags & NO_OWNER:
            if entry.name != name:
                yield entry.name
        elif (cut := _cut_above(table, zone, entry)) is not None:  # it may have a million names below it
            entries = table.walk(zone, cut.name, True)


def _cut_above(table: Table, zone: bytes, entry: NameEntry) -> NameEntry | None:
    """The delegation that occludes an entry."""
    if not entry.flags & OCCLUDED:
        return None
    found = (table.find_in(zone, above) for above in ancestors(entry.name) if is_within(above, zone))
    return next((above for above in found if above is not None and above.flags & CUT), None)
