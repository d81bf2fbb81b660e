"""Explanations of answers, in words: the steps that the answering code took, and the maps that it used.

Nothing is looked up a second time: each step is explained from the data that was used in it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dnsd.engine.content import neighbours
from dnsd.engine.derive import Step, Trace, answer_at
from dnsd.engine.node import UNVERIFIED_NODE, Alias, Edge, Flattened, Node, Redirection
from dnsd.engine.respond import find, opt_for, pack, parse
from dnsd.engine.snapshot import Snapshot
from dnsd.model.dataset import Dataset
from dnsd.model.maps import MissingFamily, considered
from dnsd.model.zones import Zone
from dnsd.wire.message import IN, NXDOMAIN, RD
from dnsd.wire.names import ASTERISK, ancestors, name_text
from dnsd.wire.rdata import ANY, NS

NO_STEP = "-"


@dataclass(frozen=True, slots=True)
class MapVerdict:
    """One address map in the search for addresses."""

    map: str  # key
    step: str  # zone, account, immutable; NO_STEP if it does not cover the zone
    taken: bool
    why: str


@dataclass(frozen=True, slots=True)
class NameExplained:
    """One name on the way to the answer."""

    name: str
    zone: str | None  # the zone that answered for the name, and its state
    zone_id: str | None
    account: str | None
    node: str  # how the name was matched
    between: str | None  # the neighbours of a name that does not exist, in the order of its zone
    served: str  # how the answer was decided
    maps: tuple[MapVerdict, ...]  # in order of precedence; empty if no map was consulted


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reply to a question, and the names on the way to it."""

    reply: bytes
    names: tuple[NameExplained, ...]


def explain(
    snapshot: Snapshot, dataset: Dataset, name: bytes, qtype: int, missing_family: MissingFamily
) -> Explanation:
    """Explain the reply to a question over TCP, from the same answer that is packed."""
    query = struct.pack("!HHHHHH", 0, RD, 1, 0, 0, 0) + name + struct.pack("!HH", qtype, IN)
    asked = parse(snapshot, query)
    assert asked is not None, "the query is well-formed"
    shape, qname, _, _, node, _ = asked
    steps: Trace = []
    if shape.plain:
        answer = answer_at(snapshot, node, qname, qtype, trace=steps)
    else:
        answer = find(snapshot, asked)
        steps.append(Step(qname, node, answer))
    reply = pack(query, asked, answer, opt_for(snapshot, asked, answer), stream=True)
    explainer = _Explainer(snapshot, dataset, qtype, missing_family)
    return Explanation(reply, tuple(map(explainer.explained, steps)))


@dataclass(frozen=True)
class _Explainer:
    """The data to explain the steps to one answer."""

    snapshot: Snapshot
    dataset: Dataset
    qtype: int
    missing_family: MissingFamily

    def explained(self, step: Step) -> NameExplained:
        apex = step.node.apex
        zone = self.dataset.zones[apex.zone_id] if apex else self.dataset.zone_of(step.name)
        maps = tuple(self._verdicts(zone)) if zone and self._consults_maps(step) else ()
        return NameExplained(
            name=name_text(step.name),
            zone=f"{zone.name_text} ({_state(self.dataset, zone)})" if zone else None,
            zone_id=zone.id if zone else None,
            account=self.dataset.accounts[zone.account_id].key if zone else None,
            node=self._matched(step),
            between=self._between(step),
            served=self._served(step, zone),
            maps=maps,
        )

    def _consults_maps(self, step: Step) -> bool:
        """Whether the zone's address map decided the answer."""
        rule, answer = step.node.rule, step.answer
        return isinstance(rule, Edge) and self.qtype in rule.keys and answer is not step.node.answers.get(self.qtype)

    def _matched(self, step: Step) -> str:
        """How the name was found (RFC 1034 §4.3.2 step 3, RFC 4592 §3.3.1)."""
        name, node = step.name, step.node
        if node is UNVERIFIED_NODE:
            return "not looked up: its zone belongs to another account and is not verified"
        if node.apex is None:
            return "not in a served zone"
        if _is_referral(node):
            where = node.otherwise.authority[0].owner or name
            return "a delegation" if where == name else f"below the delegation of {name_text(where)}"
        find = self._nodes(step)
        closest = next((part for part in (name, *ancestors(name)) if find(part)), name)
        if closest == name:
            return "exact" if node.answers or node.rule else "an empty non-terminal"
        if isinstance(node.rule, Redirection):
            return f"below the DNAME at {name_text(closest)}"
        if find(ASTERISK + closest):
            return f"matched by the wildcard {name_text(ASTERISK + closest)}"
        return f"no such name; the closest encloser is {name_text(closest)}"

    def _between(self, step: Step) -> str | None:
        """The neighbours of an absent name in the canonical order of its zone (RFC 4034 §6.1)."""
        apex = step.node.apex
        if apex is None or step.node.otherwise.rcode != NXDOMAIN:
            return None
        before, after = neighbours(self.snapshot.names.table, apex.name, step.name)
        return f"{name_text(before or apex.name)} and {name_text(after) if after else 'the end of the zone'}"

    def _nodes(self, step: Step) -> Callable[[bytes], Node | None]:
        """The nodes by name among which a step's was found: those of the parent zone, for the DS at a zone cut."""
        names, apex = self.snapshot.names, step.node.apex
        return names.get if apex is None or self.snapshot.search(step.name).apex is apex else names.nodes_in(apex)

    def _served(self, step: Step, zone: Zone | None) -> str:
        """How the answer was decided."""
        node, answer, rule = step.node, step.answer, step.node.rule
        if node.apex is None or zone is None:
            return "refused"
        if answer is None:
            return self._alias(step)
        if self._consults_maps(step):
            return self._proxied(step, zone)
        if answer is node.otherwise:
            return "proxied: no data of this type" if isinstance(rule, Edge) else _denied(node)
        if answer is not node.answers.get(self.qtype):
            return "refused: not a query for records"
        if not self.dataset.applies_maps(zone) and any(record.proxied for record in zone.records.at(step.name)):
            return "as stored: proxied, but address maps do not apply in the zone's state"
        return "RFC 8482: one HINFO record for ANY" if self.qtype == ANY else "as stored"

    def _proxied(self, step: Step, zone: Zone) -> str:
        edge = step.answer.edge if step.answer else None
        source = edge or self.snapshot.addresses(zone.id, zone.account_id).sources[0]
        supplier = "its map" if source.map else "the default pool"
        if step.answer is step.node.otherwise:
            return (
                f"proxied: no data, as {supplier} has no address of the family (missing_family: {self.missing_family})"
            )
        return f"proxied: addresses of {supplier}"

    def _alias(self, step: Step) -> str:
        """How an alias was answered, and whether it was followed."""
        match step.node.rule:
            case Alias(target=target):
                return f"as stored: a CNAME to {name_text(target)}, which is {self._outcome(step)}"
            case Flattened(target=target):
                served = f"a CNAME flattened to the addresses of {name_text(target)}"
                return served if self._is_followed(step) else f"{served}, which is {self._outcome(step)}"
            case Redirection(target=target):
                return f"a DNAME to {name_text(target)}, which is {self._outcome(step)}"
        raise AssertionError("a step without an answer is an alias")

    def _is_followed(self, step: Step) -> bool:
        return step.target_node is not None and step.target_node is not UNVERIFIED_NODE

    def _outcome(self, step: Step) -> str:
        if self._is_followed(step):
            return "followed"
        if step.end:
            return f"not followed: {step.end.value}"
        zone = self.dataset.zone_of(step.target or step.name)
        what = f"the zone {zone.name_text}" if zone else "its target's zone"
        return f"not followed: {what} belongs to another account and is not verified by the operator"

    def _verdicts(self, zone: Zone) -> Iterator[MapVerdict]:
        """The verdict on each map of the zone's account, in order of precedence."""
        sources = {source.map for source in self.snapshot.addresses(zone.id, zone.account_id).sources}
        maps = [address_map for address_map in self.dataset.maps.values() if address_map.account_id == zone.account_id]
        decisive = None
        for candidate in considered(maps, zone.account_id, zone.id):
            step = str(candidate.step) if candidate.step else NO_STEP
            taken = candidate.map.key in sources
            if candidate.skipped:
                why = candidate.skipped
            elif taken and decisive:
                why = "it has a family that the first map lacks"
            elif taken:
                decisive, why = candidate, "it is the first usable map for the zone"
            else:
                why = f"{decisive.map.key} takes precedence" if decisive else "it has no address of the family"
            yield MapVerdict(candidate.map.key, step, taken, why)


def _state(dataset: Dataset, zone: Zone) -> str:
    states = [str(zone.status)]
    if zone.paused:
        states.append("paused")
    elif dataset.accounts[zone.account_id].settings.enforce_dns_only:
        states.append("its account enforces DNS-only")
    if not zone.verified:
        states.append("not verified")
    return ", ".join(states)


def _denied(node: Node) -> str:
    return "a referral" if _is_referral(node) else "no data"


def _is_referral(node: Node) -> bool:
    return any(rrset.rtype == NS for rrset in node.otherwise.authority)
