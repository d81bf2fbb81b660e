"""The effect of a change on answers: the names that end at the edge before or after it, and end differently.

It starts from the zones that changed, and goes back along the aliases that lead into them: to CNAMEs, flattened or not,
and to DNAMEs, of any zone. Each ending comes from the answering code (`compile/endings.py`). Names are counted, and a
few of each kind are kept: one edit of a map may move a million. It is work in steps, so that others get their turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from dnsd.compile.endings import Ending, EndKind, ending
from dnsd.compile.moved import Moved
from dnsd.compile.moves import changed_zones
from dnsd.compile.nearby import Nearby
from dnsd.compile.zone_names import existing_names, names_of, names_with_rule, names_with_rules
from dnsd.engine.node import Alias, Edge, Flattened, Node, Redirection, is_followed
from dnsd.engine.snapshot import OWN_HTTPS, BuiltZone, Snapshot
from dnsd.engine.verdict import MAX_NAMES
from dnsd.wire.names import ASTERISK, MAX_NAME, ancestors, is_below
from dnsd.wire.rdata import HTTPS

if TYPE_CHECKING:
    from dnsd.model.record_parts import Steps

MAX_SAMPLE = 10  # names kept of each group
MAX_GROUPS = 50  # of one zone
MAX_SINGLE = 1_000  # names of one zone to which aliases are traced back one by one; beyond, to all of its names
MAX_DNAMES = 8  # in a chain
MAX_QUESTIONS, MAX_EXAMINED = 5_000, 500_000  # for names below the DNAMEs of an account, and candidates for them
MAX_LISTED = 16  # zones whose names are kept for the next DNAME that leads to them
STEP = 16  # names compared in a step
MAX_KNOWN = 100_000  # comparisons kept for names with the same nodes

Pair = tuple[Ending, Ending]  # before, after


@dataclass(slots=True)
class _Effort:
    """The work for names below the DNAMEs of one account: those of another must not use it up."""

    account_id: str
    questions: int = 0
    examined: int = 0


class Effects:
    """The effect of replacing the snapshot `old` with `new`, once compared; both know their zones."""

    def __init__(self, old: Snapshot, new: Snapshot) -> None:
        self.old, self.new = old, new
        self._known: dict[tuple[object, ...], Pair | None] = {}  # by the essence of two nodes
        self._groups: dict[str, dict[tuple[object, ...], Moved]] = {}  # by zone id
        self._efforts: dict[str, _Effort] = {}  # for names below DNAMEs, by account
        self._names: list[bytes] = []  # names that moved, except those of `_whole`
        self._many: list[bytes] = []  # names that moved with others of their zone, the first MAX_NAMES
        self._whole = Nearby[BuiltZone]()  # zones with many names that moved
        self._zones = Nearby[BuiltZone]()  # all zones, before and after, once a DNAME is new
        self._dnames = Nearby[tuple[Redirection, bool]]()  # and all DNAMEs: each, and whether it counts as new
        self._is_indexed = False
        self._listed: dict[int, Iterable[bytes]] = {}  # names of zones around DNAMEs, by the id of the zone
        self._suffixes: set[bytes] = set()  # names at or below which names moved, found in the last round
        self._seen: set[bytes] = set()  # aliases that were compared
        self._redirected: set[bytes] = set()  # owners of DNAMEs with moved names
        self._moved_dnames = Nearby[tuple[Redirection, bool]]()  # these DNAMEs; is new
        self.compared: set[str] = set()  # ids of zones with names that moved, found without following aliases
        self.cut: set[str] = set()  # accounts with too many names below DNAMEs: some that moved may be missing

    @property
    def moved(self) -> list[Moved]:
        """The names that moved, in groups, the largest first."""
        return sorted((one for of in self._groups.values() for one in of.values()), key=lambda one: -one.names_total)

    @property
    def names(self) -> list[bytes]:
        """The names that moved; of those in zones where many did, the first MAX_NAMES."""
        return [*self._names, *self._many]

    def __contains__(self, qname: object) -> bool:
        """Whether answers to questions for a canonical name move; also for names below wildcards and DNAMEs.

        The owner of a DNAME stands for the names below it.
        """
        return (
            isinstance(qname, bytes) and qname != b"" and (qname in self._redirected or self._pair(qname) is not None)
        )

    def compare(self) -> Steps[None]:
        """Find the names that move."""
        old, new = self.old.zones, self.new.zones
        changed = changed_zones(self.old, self.new) | (new.keys() - old.keys())
        apexes = {built.zone.name for of in (old, new) for built in of.values()} if changed else set()
        parents = {part for apex in apexes for part in ancestors(apex) if part in apexes}
        for zone_id in sorted(changed):  # the same names, if not all can be compared
            zones = [built for of in (old, new) if (built := of.get(zone_id))]
            is_parent = not parents.isdisjoint(built.zone.name for built in zones)
            if zones[0] is zones[-1] and len(zones) == 2 and not is_parent:
                yield from self._compare_rules(zones[0])
            else:
                yield from self._compare_names(zone_id, zones, is_parent=is_parent)
        while self._suffixes:
            yield from self._trace_back()

    def _compare_rules(self, built: BuiltZone) -> Steps[None]:
        """Compare the names of a zone that is the same except for its edge addresses: once for each rule."""
        for rule, count in built.edges.items():
            names = names_with_rule(built, rule)
            yield
            if rule & OWN_HTTPS:
                for name in names:
                    yield
                    if pair := self._pair(name):
                        self.compared.add(built.zone.id)
                        self._add(built.zone.id, pair, name, is_single=False)
            elif pair := self._pair(next(names)):
                self.compared.add(built.zone.id)
                group = self._group(built.zone.id, pair)
                group.names_total += count
                group.names += islice(names_with_rule(built, rule), MAX_SAMPLE - len(group.names))
                self._many += islice(names_with_rule(built, rule), MAX_NAMES - len(self._many))
        if built.zone.id in self.compared:
            self._whole.add(built.zone.name, built)
            self._suffixes.add(built.zone.name)

    def _compare_names(self, zone_id: str, both: Sequence[BuiltZone], *, is_parent: bool) -> Steps[None]:
        """Compare the names of a zone, before and after, one by one; unchanged aliases are left for `_trace_back`."""
        is_same = len(both) == 2 and _standing(both[0]) == _standing(both[1])
        moved = 0
        names = yield from (names_of(both) if is_parent else names_with_rules(both))
        for number, name in enumerate(names):
            if number % STEP == 0:
                yield
            before, after = self.old.search(name), self.new.search(name)
            if (before.rule is None and after.rule is None) or (is_same and _is_same_alias(before, after)):
                continue
            if self._zone_of(name, zone_id) == zone_id:
                if isinstance(after.rule, Alias | Flattened):
                    self._seen.add(name)
                if pair := self._of_nodes(name, before, after):
                    moved += 1
                    self._add(zone_id, pair, name, is_single=moved <= MAX_SINGLE)
        if moved:
            self.compared.add(zone_id)
        if not is_same or moved > MAX_SINGLE:
            for built in both:
                self._whole.add(built.zone.name, built)
                self._suffixes.add(built.zone.name)
        rules = [{rule.owner: rule for rule in built.redirections} for built in both]
        for owner in sorted({owner for of in rules for owner in of}):
            known = [of.get(owner) for of in rules]
            if not is_same or known[0] != known[1]:
                yield from self._index()
                yield from self._compare_below(zone_id, owner, [rule for rule in known if rule], is_new=True)

    def _index(self) -> Steps[None]:
        """Note all zones and DNAMEs by name, before and after."""
        if self._is_indexed:
            return
        self._is_indexed = True
        for of in (self.old.zones, self.new.zones):
            for zone_id, built in of.items():
                yield
                if of is self.old.zones or self.old.zones.get(zone_id) is not built:
                    self._zones.add(built.zone.name, built)
                    for rule in built.redirections:
                        self._dnames.add(rule.owner, (rule, True))

    def _trace_back(self) -> Steps[None]:
        """Compare the aliases and DNAMEs that lead to names found in the last round."""
        reached, self._suffixes = self._suffixes, set()
        above: set[bytes] = set()
        for name in reached:
            yield
            above.update(ancestors(name))
        for zone_id, built in self.new.zones.items():
            yield
            if not built.leads_to.isdisjoint(reached):
                for number, (name, rule) in enumerate(built.aliases()):
                    if number % STEP == 0:
                        yield
                    if (
                        name not in self._seen
                        and not reached.isdisjoint((rule.target, *ancestors(rule.target)))
                        and self._zone_of(name, zone_id) == zone_id
                    ):
                        self._seen.add(name)
                        if pair := self._pair(name):
                            self._add(zone_id, pair, name)
            for dname in built.redirections:
                yield
                if dname.target in above or not reached.isdisjoint((dname.target, *ancestors(dname.target))):
                    yield from self._compare_below(zone_id, dname.owner, [dname], is_new=False)

    def _compare_below(self, zone_id: str, owner: bytes, rules: list[Redirection], *, is_new: bool) -> Steps[None]:
        """Compare the names below a DNAME: all of them count as one name."""
        if owner in self._redirected or self._zone_of(owner, zone_id) != zone_id:
            return
        built = self.new.zones.get(zone_id) or self.old.zones[zone_id]
        effort = self._efforts.setdefault(built.zone.account_id, _Effort(built.zone.account_id))
        for rule in rules:
            for name in self._below(rule, effort, is_new=is_new):
                yield
                if name is None:
                    continue
                effort.questions += 1
                if pair := self._pair(name):
                    self._redirected.add(owner)
                    self._moved_dnames.add(owner, (rule, is_new))
                    self._add(zone_id, pair, ASTERISK + owner)
                    return

    def _below(self, rule: Redirection, effort: _Effort, *, is_new: bool, depth: int = 1) -> Iterator[bytes | None]:
        """Names below a DNAME that may have moved; of a DNAME that is new, all that lead to an existing name.

        None is a pause.
        """
        yield ASTERISK + rule.owner
        for name in chain.from_iterable(self._leads(rule, effort, is_new=is_new, depth=depth)):
            if effort.questions >= MAX_QUESTIONS or effort.examined >= MAX_EXAMINED:
                self.cut.add(effort.account_id)
                return
            if name is None:
                yield None
                continue
            effort.examined += 1
            fits = is_below(name, rule.target) and len(name) - len(rule.target) + len(rule.owner) <= MAX_NAME
            yield name.removesuffix(rule.target) + rule.owner if fits else None

    def _leads(
        self, rule: Redirection, effort: _Effort, *, is_new: bool, depth: int
    ) -> Iterator[Iterable[bytes | None]]:
        """Names to which a DNAME may lead, of zones and below other DNAMEs: of those that moved, or of all."""
        yield self._names
        for built in (self._zones if is_new else self._whole).around(rule.target):
            yield self._names_in(built)
        if depth < MAX_DNAMES:
            for other, is_other_new in (self._dnames if is_new else self._moved_dnames).around(rule.target):
                yield self._below(other, effort, is_new=is_other_new, depth=depth + 1)

    def _names_in(self, built: BuiltZone) -> Iterator[bytes | None]:
        """The existing names of a zone, listed once for many DNAMEs that lead to them. None is a pause."""
        found = self._listed.get(id(built))
        if found is None:
            if len(self._listed) >= MAX_LISTED:
                self._listed.clear()
            found = self._listed[id(built)] = yield from existing_names(built.zone)
        yield from found

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
        elif len(self._many) < MAX_NAMES:
            self._many.append(name)

    def _group(self, zone_id: str, pair: Pair) -> Moved:
        """The group of names with these endings; beyond MAX_GROUPS of a zone, of names with the same fate."""
        groups = self._groups.setdefault(zone_id, {})
        key: tuple[object, ...] = (pair[0].shown, pair[1].shown)
        if key not in groups and len(groups) >= MAX_GROUPS:
            key = (Moved(zone_id, *pair).fate,)
        return groups.get(key) or groups.setdefault(key, Moved(zone_id, *pair, is_mixed=len(key) == 1))


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
