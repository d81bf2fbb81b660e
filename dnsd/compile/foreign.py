"""Names of barred accounts (`pool: never`) that lead into zones of other accounts.

Such a name is answered with the addresses of the other account, which may be the default pool's: the holder of the
name has to know, as no rule on its own account can prevent it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from dnsd.engine.derive import Trace, answer_at
from dnsd.engine.node import Edge, is_followed
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import Problem
from dnsd.model.dataset import Dataset
from dnsd.model.zones import Zone
from dnsd.wire.names import name_text
from dnsd.wire.rdata import CNAME, DNAME, A

MAX_ALIASES = 10_000  # examined in a zone


def foreign_answers(dataset: Dataset, snapshot: Snapshot) -> Iterator[Problem]:
    """A warning for each zone of a barred account with such names."""
    for zone in dataset.zones_by_name.values() if dataset.barred else ():
        if zone.account_id not in dataset.barred:
            continue
        found = [*_leading_away(dataset, snapshot, zone)]
        if found:
            owner = name_text(zone.records.owners[found[0]])
            more = f", like {len(found) - 1:,} more of this zone," if len(found) > 1 else ""
            message = f"{owner}{more} leads to a proxied name of another account, and is answered with that account's"
            message += " addresses, be they the default pool's, though this account is barred from it"
            yield Problem(zone.key, ("records", found[0], "content"), message, warning=True)


def _leading_away(dataset: Dataset, snapshot: Snapshot, zone: Zone) -> Iterator[int]:
    """The indexes of a zone's aliases that lead to proxied names of other accounts."""
    applies_maps = dataset.applies_maps(zone)
    for index in islice(zone.records.of_types({CNAME, DNAME}), MAX_ALIASES):
        record = zone.records[index]
        there = snapshot.search(record.target).apex
        if there is None or there.account_id == zone.account_id or not is_followed(there, zone):
            continue
        if record.proxied and applies_maps:  # answered with edge addresses itself
            continue
        if record.rtype == DNAME or _ends_at_edge(snapshot, record.target, but_not=zone.account_id):
            yield index


def _ends_at_edge(snapshot: Snapshot, target: bytes, *, but_not: str) -> bool:
    """Whether a name leads to a proxied name, of any account but one."""
    steps: Trace = []
    answer_at(snapshot, snapshot.search(target), target, A, trace=steps)
    nodes = (step.node for step in steps)
    return any(isinstance(node.rule, Edge) and node.apex and node.apex.account_id != but_not for node in nodes)
