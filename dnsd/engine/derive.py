"""Answers that depend on more than their own name: edge addresses, CNAME chains, flattening and DNAME.

The functions can record their steps for `explain`, so that the rules of chains exist only once.
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
FOLLOWED = (Alias, Redirection)  # rules that lead to another name

# Answers of a flattened CNAME without addresses: its target is outside of the zones served here, or the chain loops.
TARGET_OUTSIDE = build_answer(rcode=SERVFAIL, aa=False, option=pack_extended_error(EDE_NETWORK_ERROR))
TARGET_CIRCULAR = build_answer(rcode=SERVFAIL, aa=False)

Trail = tuple[bytes, ...]  # aliases, canonical
AliasRule = Alias | Flattened | Redirection


class End(Enum):
    """The reason that an alias is not followed to its target."""

    WANTED = "the query asks for the CNAME"
    CIRCLE = "it leads back to an earlier name of the chain"
    ITSELF = "its target is below its own owner name"
    COUNT = f"the chain has {MAX_CHAIN} aliases already"
    TOO_LONG = "the target name would be too long"


class Step(NamedTuple):
    """One name on the way to an answer."""

    name: bytes  # canonical
    node: Node  # that answers for the name; for the DS at a zone cut, the parent zone's
    answer: Answer | None  # of the node; None for an alias
    target: bytes | None = None  # of an alias, canonical; None if not examined, or too long
    target_node: Node | None = None  # the node that answers for the target, if the alias was followed
    end: End | None = None  # the reason if it was not followed


Trace = list[Step]  # in order


def answer_at(
    snapshot: Snapshot, node: Node, name: bytes, qtype: int, trail: Trail = (), trace: Trace | None = None
) -> Answer:
    """The answer of `node` to a question for canonical `name` and `qtype`.

    `trail` has the aliases so far while a name is being flattened, else it is empty. The chain stops at a repeated
    alias, and at MAX_CHAIN aliases. `trace` receives all steps; the cache is then not used.
    """
    node = _side(node, qtype)
    answer = node.answers.get(qtype)
    if answer is None:
        rule = node.rule
        if rule is None:
            answer = node.otherwise
        elif isinstance(rule, Edge):
            answer = _edge_answer(snapshot, node, rule.keys.get(qtype))
        # Only answers to the original question are cached: within a flattening, the trail may cut them short.
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
    """The node on the side of a zone cut that answers: for DS, the parent's."""
    return node.parent if qtype == DS and node.parent is not None else node


def _target_node(snapshot: Snapshot, node: Node, target: bytes, qtype: int) -> Node:
    """The node that answers for canonical `target`, the target of `node`; UNVERIFIED_NODE if it may not be followed."""
    found = _side(snapshot.search(target), qtype)
    there, here = found.apex, node.apex
    if there is here or there is None or here is None or is_followed(there, here):
        return found
    return UNVERIFIED_NODE


def _edge_answer(snapshot: Snapshot, node: Node, key: int | None) -> Answer:
    apex = node.apex
    if key is None or apex is None:
        return node.otherwise
    # The chosen map decides both families: a missing family is NODATA, never answered from another map or the pool.
    return snapshot.addresses(apex.zone_id, apex.account_id).answers.get(key) or node.otherwise


def _follow(snapshot: Snapshot, first: Node, name: bytes, qtype: int, trail: Trail, trace: Trace | None) -> Answer:
    """The chain of aliases from `first`, and the answer of its last name (RFC 1034 §4.3.2 step 3a)."""
    steps = _steps(snapshot, first, name, qtype, trail)
    if trace is not None:
        trace += steps
    _, _, _, target, node, end = steps[-1]
    if target is None or node is None:
        if end is End.TOO_LONG:
            return _chain(first, steps, rcode=YXDOMAIN)  # RFC 6672 §2.2
        return TARGET_CIRCULAR if trail else _chain(first, steps)
    # The answer of a flattened name at the end does not depend on the chain before it, except within a flattening.
    passed = (*trail, *(step.name for step in steps)) if trail else ()
    last = answer_at(snapshot, node, target, qtype, passed, trace)
    if last.rcode == SERVFAIL:
        return last
    if last.rcode == REFUSED:  # not our zone: the resolver continues from here
        return TARGET_OUTSIDE if trail else _chain(first, steps)
    # All types that a name lacks lead to the same negative answer.
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
    # With a DNAME or within a flattening, the answer depends on the query name or the trail, so it is not cached.
    if not trail and all(isinstance(step.node.rule, Alias) for step in steps):
        snapshot.chains.keep(first, qtype if last.answer else last, answer)
    return answer


def _steps(snapshot: Snapshot, node: Node, name: bytes, qtype: int, trail: Trail) -> list[Step]:
    """The chain of aliases that starts at an alias, as far as it is followed."""
    steps = []
    while isinstance(rule := node.rule, FOLLOWED) and qtype not in node.answers:
        target, end = _target(rule, name, qtype, trail)
        if target is None or end is not None:
            steps.append(Step._make((name, node, None, target, None, end)))
            break
        target_node = _target_node(snapshot, node, target, qtype)
        steps.append(Step._make((name, node, None, target, target_node, None)))
        trail = (*trail, name)
        name, node = target, target_node
    return steps


def _target(rule: AliasRule, name: bytes, qtype: int, trail: Trail) -> tuple[bytes | None, End | None]:
    """The target of an alias at `name`, and the reason if it is not followed."""
    if len(trail) == MAX_CHAIN:
        return None, End.COUNT
    if not isinstance(rule, Redirection):
        target = rule.target
    elif len(target := substitute(rule, name)) > MAX_NAME:
        return None, End.TOO_LONG
    elif qtype == CNAME:
        return target, End.WANTED
    elif is_below(target, rule.owner):  # as would be all further targets; NSD stops here, too
        return target, End.ITSELF
    return target, End.CIRCLE if target == name or target in trail else None


def substitute(rule: Redirection, name: bytes) -> bytes:
    """Canonical `name` with the DNAME's owner replaced by its target (RFC 6672 §2.2), of any length."""
    return name[: len(name) - len(rule.owner)] + rule.target


def _chain(first: Node, steps: Sequence[Step], end: Iterable[Rrset] = (), **rest: Any) -> Answer:
    """The answer with the chain of aliases from `first` and the records at its end."""
    return build_answer(_once(steps, end), below=first.apex.name if first.apex else ROOT, **rest)


def _once(steps: Sequence[Step], end: Iterable[Rrset]) -> Iterator[Rrset]:
    """The records of the aliases and of the end, without duplicates: a DNAME is included at its first use only."""
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
    """The addresses at the end of the target's chain, owned by `name`, with the lowest TTL of the chain."""
    target, end = _target(rule, name, qtype, trail)
    if target is None or end is not None:
        trace.append(Step(name, node, None, target, None, end))
        return TARGET_CIRCULAR
    target_node = _target_node(snapshot, node, target, qtype)
    trace.append(Step(name, node, None, target, target_node))
    found = answer_at(snapshot, target_node, target, qtype, (*trail, name), trace)
    if found.answer and found.answer[-1].rtype == qtype:
        ttl = min(rule.ttl, *(rrset.ttl for rrset in found.answer))
        answer = build_answer([Rrset(None, qtype, ttl, found.answer[-1].rdatas)], edge=found.edge)
    elif found.rcode == YXDOMAIN or any(rrset.rtype == SOA for rrset in found.authority):
        answer = node.otherwise
    else:  # the chain has no end, or it leaves the zones that are served here or may be followed
        return found if found.rcode == SERVFAIL else TARGET_OUTSIDE
    if not trail and answer is not node.otherwise:
        snapshot.chains.keep(node, qtype, answer)
    return answer
