"""Answers that depend on more than their own name: edge addresses, CNAME chains, flattening and DNAME.

What is done with each name on the way can be had as steps: there is no second account of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, NamedTuple

from dnsd.engine.answer import Answer, Rrset, build_answer
from dnsd.engine.node import UNVERIFIED_NODE, Alias, Edge, Flattened, Node, Redirection, is_followed
from dnsd.engine.snapshot import Snapshot
from dnsd.wire.message import EDE_NETWORK_ERROR, REFUSED, SERVFAIL, YXDOMAIN, pack_extended_error
from dnsd.wire.names import MAX_NAME, ROOT, is_below
from dnsd.wire.rdata import AAAA, CNAME, DNAME, DS, SOA, A

MAX_CHAIN = 8  # CNAMEs in one answer
FOLLOWED = (Alias, Redirection)  # rules that lead on to another name

# A flattened CNAME without an address to be found: its target leaves the zones served here, or goes in circles.
TARGET_OUTSIDE = build_answer(rcode=SERVFAIL, aa=False, option=pack_extended_error(EDE_NETWORK_ERROR))
TARGET_CIRCULAR = build_answer(rcode=SERVFAIL, aa=False)

Trail = tuple[bytes, ...]  # aliases, canonical
Leading = Alias | Flattened | Redirection


class End(Enum):
    """Why an alias is not followed to its target."""

    WANTED = "it is what was asked for"
    CIRCLE = "it leads back to a name on the way"
    ITSELF = "it leads below its own owner"
    COUNT = f"there are {MAX_CHAIN} on the way already"
    TOO_LONG = "its target would be too long for a name"


class Step(NamedTuple):
    """What was done with one name on the way to an answer."""

    name: bytes  # canonical
    node: Node  # that spoke for the name: for the DS at a cut, that of the zone above
    answer: Answer | None  # what it answered; None for an alias
    target: bytes | None = None  # of an alias, canonical; None where it was not looked at, or would be too long
    led: Node | None = None  # the node that speaks for the target, where the alias was followed
    end: End | None = None  # else why it was not


Trace = list[Step]  # in the order in which they were taken


def answer_at(
    snapshot: Snapshot, node: Node, name: bytes, qtype: int, trail: Trail = (), trace: Trace | None = None
) -> Answer:
    """What `node` answers when canonical `name` is asked for `qtype`.

    `trail` is not empty where a name is being flattened: the aliases on the way. Following stops when one comes again,
    and at MAX_CHAIN of them. A `trace` is given all steps; nothing is taken from memory for it.
    """
    node = _side(node, qtype)
    answer = node.answers.get(qtype)
    if answer is None:
        rule = node.rule
        if rule is None:
            answer = node.otherwise
        elif isinstance(rule, Edge):
            answer = _edge_answer(snapshot, node, rule.keys.get(qtype))
        # Only an answer to what was asked is kept: one on the way of a flattening may be cut short by the trail.
        elif trail or trace is not None or (answer := snapshot.chains.get((node, qtype))) is None:
            if not isinstance(rule, Flattened):
                return _follow(snapshot, node, name, qtype, trail, trace)
            if qtype in (A, AAAA):
                return _flatten(snapshot, node, rule, name, qtype, trail, [] if trace is None else trace)
            answer = node.otherwise
    if trace is not None:
        trace.append(Step(name, node, answer))
    return answer


def _side(node: Node, qtype: int) -> Node:
    """The side of a zone cut that answers: for DS, the parent's."""
    return node.parent if qtype == DS and node.parent is not None else node


def _led_to(snapshot: Snapshot, node: Node, target: bytes, qtype: int) -> Node:
    """The node that speaks for canonical `target`, to which `node` leads; that of no zone where it leads outside."""
    found = _side(snapshot.search(target), qtype)
    there, here = found.apex, node.apex
    if there is here or there is None or here is None or is_followed(there, here):
        return found
    return UNVERIFIED_NODE


def _edge_answer(snapshot: Snapshot, node: Node, key: int | None) -> Answer:
    apex = node.apex
    if key is None or apex is None:
        return node.otherwise
    # The map that is found decides both families: one it lacks is no data, never another map's or the pool's.
    return snapshot.addresses(apex.zone_id, apex.account_id).answers.get(key) or node.otherwise


def _follow(snapshot: Snapshot, first: Node, name: bytes, qtype: int, trail: Trail, trace: Trace | None) -> Answer:
    """The chain of aliases from `first`, and at its end what the last name answers (RFC 1034 §4.3.2 step 3a)."""
    steps = _steps(snapshot, first, name, qtype, trail)
    if trace is not None:
        trace += steps
    _, _, _, target, node, end = steps[-1]
    if target is None or node is None:
        if end is End.TOO_LONG:
            return _chain(first, steps, rcode=YXDOMAIN)  # RFC 6672 §2.2
        return TARGET_CIRCULAR if trail else _chain(first, steps)
    # What a flattened name at the end answers does not depend on who leads to it, unless that is being flattened too.
    passed = (*trail, *(step.name for step in steps)) if trail else ()
    last = answer_at(snapshot, node, target, qtype, passed, trace)
    if last.rcode == SERVFAIL:
        return last
    if last.rcode == REFUSED:  # not our zone: the resolver goes on from here
        return TARGET_OUTSIDE if trail else _chain(first, steps)
    # All types that a name does not have lead to the same denial.
    if not trail and trace is None and (known := snapshot.chains.get((first, last))):
        return known
    # Rcode and authority are the last name's (RFC 6604 §2.1).
    owned = (rrset if rrset.owner is not None else rrset._replace(owner=target) for rrset in last.answer)
    answer = _chain(
        first,
        steps,
        owned,
        authority=last.authority,
        optional_glue=last.additional,
        rcode=last.rcode,
        edge=last.edge,
    )
    # A DNAME makes the answer depend on the name asked, and so does the trail of a flattening.
    if not trail and all(isinstance(step.node.rule, Alias) for step in steps):
        snapshot.remember(first, qtype if last.answer else last, answer)
    return answer


def _steps(snapshot: Snapshot, node: Node, name: bytes, qtype: int, trail: Trail) -> list[Step]:
    """The aliases from a name that is one, as far as they are followed."""
    steps = []
    while isinstance(rule := node.rule, FOLLOWED) and qtype not in node.answers:
        target, end = _target(rule, name, qtype, trail)
        if target is None or end is not None:
            steps.append(Step._make((name, node, None, target, None, end)))
            break
        led = _led_to(snapshot, node, target, qtype)
        steps.append(Step._make((name, node, None, target, led, None)))
        trail = (*trail, name)
        name, node = target, led
    return steps


def _target(rule: Leading, name: bytes, qtype: int, trail: Trail) -> tuple[bytes | None, End | None]:
    """Where an alias leads from `name`, and why it is not followed there, if it is not."""
    if len(trail) == MAX_CHAIN:
        return None, End.COUNT
    if not isinstance(rule, Redirection):
        target = rule.target
    elif len(target := substitute(rule, name)) > MAX_NAME:
        return None, End.TOO_LONG
    elif qtype == CNAME:
        return target, End.WANTED
    elif is_below(target, rule.owner):  # and the next one, too, and so on: NSD goes no further either
        return target, End.ITSELF
    return target, End.CIRCLE if target == name or target in trail else None


def substitute(rule: Redirection, name: bytes) -> bytes:
    """Canonical `name` with the DNAME's owner replaced by its target (RFC 6672 §2.2), however long it gets."""
    return name[: len(name) - len(rule.owner)] + rule.target


def _chain(first: Node, steps: Sequence[Step], end: Iterable[Rrset] = (), **rest: Any) -> Answer:
    """The answer of the aliases on the way from `first`, and of what is at the end."""
    return build_answer(_once(steps, end), below=first.apex.name if first.apex else ROOT, **rest)


def _once(steps: Sequence[Step], end: Iterable[Rrset]) -> Iterator[Rrset]:
    """The records of aliases and of the end, none of them twice: a DNAME stands where it is met first."""
    met: set[bytes | None] = set()
    for place, step in enumerate(steps):
        owner, rule = step.name if place else None, step.node.rule
        if isinstance(rule, Alias) and step.target is not None:
            yield rule.rrset._replace(owner=owner)
        elif isinstance(rule, Redirection) and step.end is not End.COUNT:
            if rule.owner not in met:
                met.add(rule.owner)
                yield rule.rrset
            if step.target is not None:
                # RFC 6672 §3.1: the synthesised CNAME has the DNAME's TTL
                yield Rrset(owner, CNAME, rule.rrset.ttl, (step.target,))
    yield from (rrset for rrset in end if rrset.rtype != DNAME or rrset.owner not in met)


def _flatten(
    snapshot: Snapshot, node: Node, rule: Flattened, name: bytes, qtype: int, trail: Trail, trace: Trace
) -> Answer:
    """The addresses at the end of the target's chain, as if they stood at `name`; its TTL is the lowest on the way."""
    target, end = _target(rule, name, qtype, trail)
    if target is None or end is not None:
        trace.append(Step(name, node, None, target, None, end))
        return TARGET_CIRCULAR
    led = _led_to(snapshot, node, target, qtype)
    trace.append(Step(name, node, None, target, led))
    found = answer_at(snapshot, led, target, qtype, (*trail, name), trace)
    if found.answer and found.answer[-1].rtype == qtype:
        ttl = min(rule.ttl, *(rrset.ttl for rrset in found.answer))
        answer = build_answer([Rrset(None, qtype, ttl, found.answer[-1].rdatas)], edge=found.edge)
    elif found.rcode == YXDOMAIN or any(rrset.rtype == SOA for rrset in found.authority):
        answer = node.otherwise
    else:  # there is no end to it, or a zone that is not served here, or not to this one, knows of it
        return found if found.rcode == SERVFAIL else TARGET_OUTSIDE
    if not trail and answer is not node.otherwise:
        snapshot.remember(node, qtype, answer)
    return answer
