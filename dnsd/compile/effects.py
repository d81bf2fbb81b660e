"""The effect of a change on answers: the names that end at the edge before or after it, and end differently.

It starts from the zones that changed, and goes back along the aliases that lead into them: to CNAMEs, flattened or not,
and to DNAMEs, of any zone. Each ending comes from the answering code (`compile/endings.py`). Names are counted, and a
few of each kind are kept: one edit of a map may move a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from dnsd.compile.endings import Ending, EndKind, ending
from dnsd.compile.moves import Fate, changed_zones
from dnsd.compile.zone import existing_names
from dnsd.engine.node import Alias, Edge, Flattened, Node, Redirection, is_followed
from dnsd.engine.snapshot import OWN_HTTPS, BuiltZone, Snapshot
from dnsd.wire.names import ASTERISK, MAX_NAME, ancestors, is_below
from dnsd.wire.rdata import HTTPS

MAX_SAMPLE = 10  # names kept of each group
MAX_GROUPS = 50  # of one zone
MAX_SINGLE = 1_000  # names of one zone to which aliases are traced back one by one; beyond, to all of its names
MAX_DNAMES = 8  # in a chain
MAX_QUESTIONS, MAX_EXAMINED = 50_000, 2_000_000  # for names below DNAMEs, and candidates for them; then no more
MAX_KNOWN = 100_000  # comparisons kept for names with the same nodes

Pair = tuple[Ending, Ending]  # before, after


@dataclass(slots=True)
class Moved:
    """Names of one zone with the same endings before and after a change."""

    zone_id: str
    old: Ending
    new: Ending
    names_total: int = 0
    is_mixed: bool = False  # these are the endings of the first name; the other names have similar ones
    names: list[bytes] = field(default_factory=list)  # a sample; `*.d` stands for all names below a DNAME at d

    @property
    def fate(self) -> Fate | None:
        """What happens to these names; None if they did not end at the edge before."""
        if self.old.kind is not EndKind.EDGE:
            return None
        if self.new.kind is not EndKind.EDGE:
            return Fate.OPENED if self.new.kind is EndKind.STORED else Fate.GONE
        return Fate.POOLED if _is_pool(self.new) and not _is_pool(self.old) else Fate.READDRESSED

    @property
    def ttl_s(self) -> int:
        """The highest TTL of the RRsets that are answered no longer (caches keep each by itself: RFC 2181 §5.2)."""
        return max((rrset.ttl for rrset in self.old.rrsets - self.new.rrsets), default=0)


def _is_pool(found: Ending) -> bool:
    sources = [source for source in (found.v4_source, found.v6_source) if source]
    return bool(sources) and not any(source.map for source in sources)


class Effects:
    """The effect of replacing the snapshot `old` with `new`; both know their zones."""

    def __init__(self, old: Snapshot, new: Snapshot) -> None:
        self.old, self.new = old, new
        self._known: dict[tuple[object, ...], Pair | None] = {}  # by the essence of two nodes
        self._groups: dict[str, dict[tuple[object, ...], Moved]] = {}  # by zone id
        self._questions = self._examined = 0  # for names below DNAMEs
        self._names: list[bytes] = []  # names that moved, except those of `_whole`
        self._whole: list[BuiltZone] = []  # zones with many names that moved
        self._suffixes: set[bytes] = set()  # names at or below which names moved, found in the last round
        self._seen: set[bytes] = set()  # aliases that were compared
        self._redirected: dict[bytes, tuple[Redirection, bool]] = {}  # DNAMEs with moved names, by owner; is new
        self._compare()

    @property
    def moved(self) -> list[Moved]:
        """The names that moved, in groups, the largest first."""
        return sorted((one for of in self._groups.values() for one in of.values()), key=lambda one: -one.names_total)

    def __contains__(self, qname: object) -> bool:
        """Whether answers to questions for a canonical name move; also for names below wildcards and DNAMEs.

        The owner of a DNAME stands for the names below it.
        """
        return (
            isinstance(qname, bytes) and qname != b"" and (qname in self._redirected or self._pair(qname) is not None)
        )

    def _compare(self) -> None:
        old, new = self.old.zones, self.new.zones
        changed = changed_zones(self.old, self.new) | (new.keys() - old.keys())
        apexes = {built.zone.name for of in (old, new) for built in of.values()} if changed else set()
        parents = {part for apex in apexes for part in ancestors(apex) if part in apexes}
        for zone_id in changed:
            zones = [built for of in (old, new) if (built := of.get(zone_id))]
            is_parent = not parents.isdisjoint(built.zone.name for built in zones)
            if zones[0] is zones[-1] and len(zones) == 2 and not is_parent:
                self._compare_rules(zones[0])
            else:
                self._compare_names(zone_id, zones, is_parent=is_parent)
        while self._suffixes:
            self._trace_back()

    def _compare_rules(self, built: BuiltZone) -> None:
        """Compare the names of a zone that is the same except for its edge addresses: once for each rule."""
        has_moved = False
        for rule, count in built.edges.items():
            names = _names_with(built, rule)
            if rule & OWN_HTTPS:
                moving = [(pair, name) for name in names if (pair := self._pair(name))]
                for pair, name in moving:
                    self._add(built.zone.id, pair, name, is_single=False)
                has_moved = has_moved or bool(moving)
            elif pair := self._pair(next(names)):
                has_moved = True
                group = self._group(built.zone.id, pair)
                group.names_total += count
                group.names += islice(_names_with(built, rule), MAX_SAMPLE - len(group.names))
        if has_moved:
            self._whole.append(built)
            self._suffixes.add(built.zone.name)

    def _compare_names(self, zone_id: str, both: Sequence[BuiltZone], *, is_parent: bool) -> None:
        """Compare the names of a zone, before and after, one by one; unchanged aliases are left for `_trace_back`."""
        is_same = len(both) == 2 and _standing(both[0]) == _standing(both[1])
        moved = 0
        for name in _names_of(both) if is_parent else _names_with_rules(both):
            before, after = self.old.search(name), self.new.search(name)
            if (before.rule is None and after.rule is None) or (is_same and _is_same_alias(before, after)):
                continue
            if self._zone_of(name, zone_id) == zone_id:
                if isinstance(after.rule, Alias | Flattened):
                    self._seen.add(name)
                if pair := self._of_nodes(name, before, after):
                    moved += 1
                    self._add(zone_id, pair, name, is_single=moved <= MAX_SINGLE)
        if not is_same or moved > MAX_SINGLE:
            self._whole += both
            self._suffixes.update(built.zone.name for built in both)
        rules = [{rule.owner: rule for rule in built.redirections} for built in both]
        for owner in {owner for of in rules for owner in of}:
            known = [of.get(owner) for of in rules]
            if not is_same or known[0] != known[1]:
                self._compare_below(zone_id, owner, [rule for rule in known if rule], is_new=True)

    def _trace_back(self) -> None:
        """Compare the aliases and DNAMEs that lead to names found in the last round."""
        reached, self._suffixes = self._suffixes, set()
        above = {part for name in reached for part in ancestors(name)}
        for zone_id, built in self.new.zones.items():
            if not built.leads_to.isdisjoint(reached):
                for name, rule in built.aliases():
                    if (
                        name not in self._seen
                        and not reached.isdisjoint((rule.target, *ancestors(rule.target)))
                        and self._zone_of(name, zone_id) == zone_id
                    ):
                        self._seen.add(name)
                        if pair := self._pair(name):
                            self._add(zone_id, pair, name)
            for dname in built.redirections:
                if dname.target in above or not reached.isdisjoint((dname.target, *ancestors(dname.target))):
                    self._compare_below(zone_id, dname.owner, [dname], is_new=False)

    def _compare_below(self, zone_id: str, owner: bytes, rules: list[Redirection], *, is_new: bool) -> None:
        """Compare the names below a DNAME: all of them count as one name."""
        if owner in self._redirected or self._zone_of(owner, zone_id) != zone_id:
            return
        for rule in rules:
            for name in self._below(rule, is_new=is_new):
                self._questions += 1
                if pair := self._pair(name):
                    self._redirected[owner] = rule, is_new
                    self._add(zone_id, pair, ASTERISK + owner)
                    return

    def _below(self, rule: Redirection, *, is_new: bool, depth: int = 1) -> Iterator[bytes]:
        """Names below a DNAME that may have moved; of a DNAME that is new, all that lead to an existing name."""
        yield ASTERISK + rule.owner
        others = [(other, True) for other in self._redirections()] if is_new else tuple(self._redirected.values())
        found = [iter(self._names), self._names_around(rule.target, is_new=is_new)]
        if depth < MAX_DNAMES:
            found += [
                self._below(other, is_new=is_other_new, depth=depth + 1)
                for other, is_other_new in others
                if is_below(rule.target, other.owner)
                or is_below(other.owner, rule.target)
                or other.owner == rule.target
            ]
        for name in chain.from_iterable(found):
            self._examined += 1
            if self._questions >= MAX_QUESTIONS or self._examined >= MAX_EXAMINED:
                return
            if is_below(name, rule.target) and len(name) - len(rule.target) + len(rule.owner) <= MAX_NAME:
                yield name.removesuffix(rule.target) + rule.owner

    def _names_around(self, target: bytes, *, is_new: bool) -> Iterator[bytes]:
        """The names of zones below or around `target`: of those that moved as a whole, or of all."""
        zones = (*self.old.zones.values(), *self.new.zones.values()) if is_new else self._whole
        around = {target, *ancestors(target)}
        for built in zones:
            if built.zone.name in around or is_below(built.zone.name, target):
                yield from existing_names(built.zone)

    def _redirections(self) -> list[Redirection]:
        """All DNAMEs, before and after."""
        return [rule for of in (self.old.zones, self.new.zones) for built in of.values() for rule in built.redirections]

    def _pair(self, name: bytes) -> Pair | None:
        return self._of_nodes(name, self.old.search(name), self.new.search(name))

    def _of_nodes(self, name: bytes, old: Node, new: Node) -> Pair | None:
        """The endings of a name before and after; None if it does not move."""
        if old.rule is None and new.rule is None:
            return None
        # Only the names below a DNAME have different answers from the same node.
        if isinstance(old.rule, Redirection) or isinstance(new.rule, Redirection):
            return self._compared(name, old, new)
        is_same = old.rule == new.rule
        key = is_same, _essence(self.old, old, is_same=is_same), _essence(self.new, new, is_same=is_same)
        if key not in self._known:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = self._compared(name, old, new)
        return self._known[key]

    def _compared(self, name: bytes, old: Node, new: Node) -> Pair | None:
        before, after = ending(self.old, old, name), ending(self.new, new, name)
        is_edge = EndKind.EDGE in (before.kind, after.kind)
        return (before, after) if is_edge and before.addresses != after.addresses else None

    def _zone_of(self, name: bytes, zone_id: str) -> str:
        """The zone for which a name of a zone is counted: the one that answers for it, or did; else none.

        A name may lie in two zones, of which one hides the other's.
        """
        found = [node for of in (self.new, self.old) if (node := of.names.get(name)) is not None]
        apex = next((node.apex for node in found if node.apex is not None), None)
        return apex.zone_id if apex else zone_id if found else ""

    def _add(self, zone_id: str, pair: Pair, name: bytes, *, is_single: bool = True) -> None:
        """Count a name; with `is_single`, aliases that lead to it are traced back."""
        group = self._group(zone_id, pair)
        group.names_total += 1
        if len(group.names) < MAX_SAMPLE:
            group.names.append(name)
        if is_single:
            self._names.append(name)
            self._suffixes.add(name.removeprefix(ASTERISK))

    def _group(self, zone_id: str, pair: Pair) -> Moved:
        """The group of names with these endings; beyond MAX_GROUPS of a zone, of names with the same fate."""
        groups = self._groups.setdefault(zone_id, {})
        key: tuple[object, ...] = (pair[0].shown, pair[1].shown)
        if key not in groups and len(groups) >= MAX_GROUPS:
            key = (Moved(zone_id, *pair).fate,)
        return groups.get(key) or groups.setdefault(key, Moved(zone_id, *pair, is_mixed=len(key) == 1))


def _names_with(built: BuiltZone, rule: int) -> Iterator[bytes]:
    """The proxied names of a zone with this rule."""
    place = built.rules.find(rule)
    while place >= 0:
        yield built.proxied_names[place]
        place = built.rules.find(rule, place + 1)


def _names_of(zones: Iterable[BuiltZone]) -> Iterable[bytes]:
    return dict.fromkeys(name for built in zones for name in existing_names(built.zone))


def _names_with_rules(zones: Sequence[BuiltZone]) -> Iterator[bytes]:
    """The names of a zone, before and after, that may have a rule: proxied names, aliases, and names that came or went.

    A name that came or went may lie below a wildcard on the other side. No other zone may lie inside this one.
    """
    names = [existing_names(built.zone) for built in zones]
    wanted = {name for built in zones for name in built.proxied_names}
    wanted.update(name for built in zones for name, _ in built.aliases())
    wanted |= names[0].keys() ^ names[-1].keys() if len(names) > 1 else names[0].keys()
    return filter(wanted.__contains__, dict.fromkeys(chain.from_iterable(names)))


def _standing(built: BuiltZone) -> tuple[object, ...]:
    """The properties of a zone on which aliases from and into it depend."""
    return built.zone.account_id, built.zone.verified, built.zone.name


def _is_same_alias(old: Node, new: Node) -> bool:
    """Whether a name is the same alias as before, so that only its target can change its ending."""
    return (
        isinstance(new.rule, Alias | Flattened) and old.rule == new.rule and HTTPS not in {*old.answers, *new.answers}
    )


def _essence(snapshot: Snapshot, node: Node, *, is_same: bool) -> object:
    """Everything on which the ending of a name with this node depends; equal for names of many zones.

    With `is_same`, an alias is left as it is, and its own record does not count.
    """
    rule = node.rule
    if HTTPS in node.answers or node.apex is None:
        return node
    if isinstance(rule, Edge):
        return id(rule), id(snapshot.addresses(node.apex.zone_id, node.apex.account_id))
    if isinstance(rule, Alias | Flattened):
        target = snapshot.search(rule.target)
        if target.apex is not None and (target.rule is None or isinstance(target.rule, Edge)):
            alias = (type(rule), _ttl(rule)) if is_same else rule
            return alias, is_followed(target.apex, node.apex), _essence(snapshot, target, is_same=is_same)
    return node


def _ttl(rule: Alias | Flattened) -> int:
    return rule.rrset.ttl if isinstance(rule, Alias) else rule.ttl
