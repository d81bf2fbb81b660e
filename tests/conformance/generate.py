"""Zones made from a seed: wildcards, empty non-terminals, cuts with glue, chains, DNAME, child zones, in few names.

The same few labels are used repeatedly, so that records combine in ways that hand-written zones lack. Data that not
all servers load is never made: data below a DNAME, a CNAME with other data or to itself, NS or DNAME at a wildcard.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

LABELS = ("a", "b", "c", "ab", "*", "*", "ns", "x-1", "_u")
ORIGINS = ("gen-1.example.org", "gen-2.example.org", "gen-3.example.net")
OUTSIDE = "outside.example.edu"
NODES = 90
KINDS = ("address", "address", "text", "mail", "mixed", "alias", "alias", "alias", "cut", "cut", "dname")


@dataclass
class Sketch:
    """A zone under construction: relative owner name ("" is the apex) to its lines `TYPE rdata`."""

    origin: str
    lines: dict[str, list[str]] = field(default_factory=dict)
    cuts: set[str] = field(default_factory=set)
    dnames: set[str] = field(default_factory=set)

    def full(self, owner: str) -> str:
        return f"{owner}.{self.origin}." if owner else f"{self.origin}."

    def text(self) -> str:
        head = [f"$ORIGIN {self.origin}.", "$TTL 600"]
        return "\n".join(head + [f"{owner or '@'} {line}" for owner in self.lines for line in self.lines[owner]]) + "\n"


def generated_zones(seed: int) -> dict[str, str]:
    """Zone name to master file text; the same for the same seed."""
    rng = random.Random(seed)
    sketches = [_sketch(rng, origin) for origin in ORIGINS]
    for sketch in sketches:
        _add_targets(rng, sketch, sketches)
    children = [_child(rng, sketch) for sketch in sketches]
    return {sketch.origin: sketch.text() for sketch in [*sketches, *children]}


def _sketch(rng: random.Random, origin: str) -> Sketch:
    sketch = Sketch(origin)
    sketch.lines[""] = [f"SOA ns host {rng.randrange(1, 99)} 3600 600 86400 {rng.choice((60, 600, 3600))}", "NS ns"]
    sketch.lines["ns"] = [f"A {_ipv4(rng)}"]
    for _ in range(NODES):
        owner = ".".join(rng.choice(LABELS) for _ in range(rng.choice((1, 1, 2, 2, 3, 4))))
        if owner not in sketch.lines and not _below_dname(sketch, owner):
            _add_node(rng, sketch, owner)
    return sketch


def _add_node(rng: random.Random, sketch: Sketch, owner: str) -> None:
    kind = rng.choice(KINDS)
    is_wildcard = owner.startswith("*")
    has_children = bool(_below(sketch, owner))
    if kind == "address" or (kind == "cut" and is_wildcard):
        sketch.lines[owner] = [f"A {_ipv4(rng)}" for _ in range(rng.randrange(1, 4))]
    elif kind == "text":
        sketch.lines[owner] = [f'TXT "{owner}"']
    elif kind == "mail":
        sketch.lines[owner] = [f"MX 10 {rng.choice(LABELS)}", "MX 20 mail.example.edu."]
    elif kind == "mixed":
        sketch.lines[owner] = [f"A {_ipv4(rng)}", f"AAAA 2001:db8::{rng.randrange(1, 999):x}", 'TXT "mixed"']
    elif kind == "cut":
        _add_cut(rng, sketch, owner)
    elif kind == "dname" and not is_wildcard and not has_children:
        sketch.dnames.add(owner)
        sketch.lines[owner] = []
    else:
        sketch.lines[owner] = ["CNAME"]


def _add_cut(rng: random.Random, sketch: Sketch, owner: str) -> None:
    sketch.cuts.add(owner)
    servers = {f"ns.{owner}", rng.choice(("ns", _sibling_server(rng, sketch), "ns.example.edu."))}
    sketch.lines[owner] = [f"NS {server}" for server in sorted(servers)]
    if rng.random() < 0.5:
        sketch.lines[owner].append(f"DS {rng.randrange(65536)} 13 2 {rng.getrandbits(256):064x}")
    glue = f"ns.{owner}"
    if glue not in sketch.lines:
        sketch.lines[glue] = [f"A {_ipv4(rng)}", f"AAAA 2001:db8::{rng.randrange(1, 999):x}"]


def _sibling_server(rng: random.Random, sketch: Sketch) -> str:
    """An existing server's name elsewhere in the zone: some peers give no glue for names from a wildcard."""
    name = f"ns.{rng.choice(LABELS[:4])}"
    if _below_dname(sketch, name):
        return "ns"
    sketch.lines.setdefault(name, [f"A {_ipv4(rng)}"])
    return name


def _add_targets(rng: random.Random, sketch: Sketch, sketches: list[Sketch]) -> None:
    """Targets are chosen after all names of all zones are known, so that most chains lead to existing names."""
    for owner, lines in sketch.lines.items():
        if lines == ["CNAME"]:
            lines[0] = f"CNAME {_target(rng, sketch, sketches, owner)}"
        elif owner in sketch.dnames:
            lines.append(f"DNAME {_tree(rng, sketch, sketches)}")


def _target(rng: random.Random, sketch: Sketch, sketches: list[Sketch], source: str) -> str:
    there = sketch if rng.random() < 0.7 else rng.choice(sketches)
    owner = rng.choice(list(there.lines))
    if rng.random() < 0.3:
        owner = f"{rng.choice(LABELS[:4])}.{owner}" if owner else rng.choice(LABELS[:4])
    if rng.random() < 0.05 or (there is sketch and owner == source):
        return f"{OUTSIDE}."
    return there.full(owner)


def _tree(rng: random.Random, sketch: Sketch, sketches: list[Sketch]) -> str:
    """A DNAME's target outside of all DNAMEs: the hand-written zones cover names that grow with each step."""
    there = sketch if rng.random() < 0.6 else rng.choice(sketches)
    trees = [owner for owner in there.lines if owner and not _below_dname(there, owner) and owner not in there.dnames]
    trees = [tree for tree in trees if not any(dname.endswith("." + tree) for dname in there.dnames)]
    return there.full(rng.choice(trees)) if rng.random() < 0.9 else f"{OUTSIDE}."


def _child(rng: random.Random, parent: Sketch) -> Sketch:
    """A zone of its own at one of the parent's cuts.

    The parent has only glue there: NSD keeps the names of all zones in one tree, and treats a name that only the
    parent has, hidden by the cut, as existing in the child.
    """
    bare = [cut for cut in sorted(parent.cuts) if not _below(parent, cut) - {f"ns.{cut}"}]
    cut = rng.choice(bare)
    child = Sketch(f"{cut}.{parent.origin}")
    child.lines[""] = ["SOA ns host 1 3600 600 86400 300", "NS ns", f"A {_ipv4(rng)}"]
    child.lines["ns"] = [f"A {_ipv4(rng)}"]
    child.lines["a"] = [f"CNAME {parent.full(rng.choice(list(parent.lines)))}"]
    child.lines["*.b"] = [f"A {_ipv4(rng)}"]
    child.lines["c"] = ["NS ns.c"]
    child.lines["ns.c"] = [f"A {_ipv4(rng)}"]
    return child


def _below(sketch: Sketch, owner: str) -> set[str]:
    return {name for name in sketch.lines if name.endswith("." + owner)}


def _below_dname(sketch: Sketch, owner: str) -> bool:
    return any(name in sketch.dnames for name in _ancestors(owner))


def _ancestors(owner: str) -> Iterator[str]:
    labels = owner.split(".")
    return (".".join(labels[i:]) for i in range(1, len(labels)))


def _ipv4(rng: random.Random) -> str:
    return f"{rng.choice(('192.0.2', '198.51.100', '203.0.113'))}.{rng.randrange(1, 255)}"
