"""After each of many random changes of zones, the names equal those built from nothing: entries and answers.

Delegations, glue, aliases, wildcards, DNAMEs and proxied names come and go, in zones inside each other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.names import rule_number
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.model.dataset import Dataset
from dnsd.model.records import RecordFields
from dnsd.model.zones import Zone
from tests.limits import examples
from tests.models import record, resolved, zone
from tests.packets import query

OPTIONS = Options((ip_address("198.51.100.10"), ip_address("2001:db8:f::10")))
CHANGES = examples(125, 1_000)  # of each seed
ZONES = ("example.com", "sub.example.com", "a.sub.example.com", "www.example.com", "example.net")
NAMES = ("@", "*", "a", "b", "www", "sub", "a.sub", "*.sub", "x.y.sub", "b.a", "*.b.a", "ns.sub", "_tcp.www")
HOSTS = ("ns.sub.example.com", "a.example.com", "b.example.net", "ns.elsewhere.example")
POINTING = ("CNAME", "DNAME")
ASKED = tuple(dict.fromkeys(f"{label}.{name}" for name in ZONES for label in (*NAMES[1:], "none", "d.none")))
TYPES = ("A", "AAAA", "NS", "DS", "CNAME", "TXT", "ANY")
EXCLUSIVE = ("CNAME", "DNAME", "NS")  # a name has records of one of these types, or of the others


def some_records(rng: random.Random, name: str) -> Iterator[RecordFields]:
    """The records of one name."""
    kind = rng.choice(("A", "A", "A", "AAAA", "TXT", "MX", "NS", "CNAME", "DNAME"))
    if name == "@" and kind in EXCLUSIVE:
        return
    host = rng.choice([host for host in HOSTS if kind not in POINTING or not host.startswith(f"{name}.")])
    match kind:
        case "A" | "AAAA":
            address = f"192.0.2.{rng.randrange(9)}" if kind == "A" else f"2001:db8::{rng.randrange(9)}"
            yield record(f"{name} {kind} {address}", proxied=rng.random() < 0.4, ttl=1)
            if rng.random() < 0.2:
                yield record(f"{name} HTTPS 1 . alpn=h3")
        case "NS":
            yield record(f"{name} NS {host}.")
            if rng.random() < 0.3:
                yield record(f"{name} DS 12345 13 2 {rng.randbytes(32).hex()}")
        case "CNAME":
            yield record(f"{name} CNAME {host}", settings={"flatten_cname": rng.random() < 0.3})
        case "DNAME":
            yield record(f"{name} DNAME {host}")
        case "MX":
            yield record(f"{name} MX 10 {host}")
        case "TXT":
            yield record(f"{name} TXT {'x' * rng.choice((1, 200))}")


class World:
    """Zones, and changes of them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.names: dict[str, dict[str, list[RecordFields]]] = {"example.com": {}}
        self.zones: dict[str, Zone] = {}

    def changed(self) -> Dataset:
        """The dataset after a change that breaks no rule."""
        while True:
            names, zones = {name: {**of} for name, of in self.names.items()}, {**self.zones}
            self._change()
            found, problems = resolved({"a1": {}, "a2": {}}, self.zones.values(), {})
            if all(problem.warning for problem in problems):
                return found
            self.names, self.zones = names, zones

    def _change(self) -> None:
        """Change a few names of a zone, or a zone as a whole."""
        rng = self.rng
        name = rng.choice(ZONES)
        kind = rng.random()
        if kind < 0.1:
            self.names.pop(name, None)
            self.zones.pop(name, None)
        else:
            names = self.names.setdefault(name, {})
            for owner in rng.sample(NAMES, rng.choice((1, 1, 2, 5))):
                names[owner] = [*some_records(rng, owner)]
            account = "a2" if name == "sub.example.com" else "a1"
            made = zone(name, [one for records in names.values() for one in records], account=account)
            status = "initializing" if kind < 0.15 else "active"
            self.zones[name] = replace(made, status=type(made.status)(status), paused=kind < 0.3, verified=kind < 0.8)


@pytest.mark.parametrize("seed", range(8))
def test_changed_names_equal_those_built_from_nothing(seed: int) -> None:
    world = World(random.Random(seed))
    snapshot = build_snapshot(world.changed(), OPTIONS)
    for number in range(CHANGES):
        data = world.changed()
        snapshot, fresh = build_snapshot(data, OPTIONS, snapshot), build_snapshot(data, OPTIONS)
        assert stored(snapshot) == stored(fresh), number
        assert len(snapshot.names) == len(fresh.names) == len(list(fresh.names))
        for name in world.rng.sample(ASKED, 30):
            asked = query(name, world.rng.choice(TYPES))
            assert respond(snapshot, asked, stream=True) == respond(fresh, asked, stream=True), (number, name)


def stored(snapshot: Snapshot) -> list[object]:
    """All entries, with names of zones in place of their numbers."""
    names = snapshot.names
    return [
        (names.apex(entry).name, rule_number(entry.kind), entry.flags, entry.name, entry.sets)
        for entry in names.table.entries()
    ]
