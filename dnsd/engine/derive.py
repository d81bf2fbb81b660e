"""Answers that depend on more than their own name: edge addresses, CNAME chains, flattening and DNAME."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from dnsd.engine.answer import Answer, Rrset, build_answer
from dnsd.engine.snapshot import Alias, Edge, Flattened, Node, Redirection, Snapshot
from dnsd.model.zones import is_followed
from dnsd.wire.message import EDE_NETWORK_ERROR, REFUSED, SERVFAIL, YXDOMAIN, pack_extended_error
from dnsd.wire.names import MAX_NAME, ROOT
from dnsd.wire.rdata import AAAA, CNAME, DS, SOA, A

MAX_CHAIN = 8  # CNAMEs in one answer
FOLLOWED = (Alias, Redirection)  # rules that lead on to another name

# A flattened CNAME without an address to be found: its target leaves the zones served here, or goes in circles.
TARGET_OUTSIDE = build_answer(rcode=SERVFAIL, aa=False, option=pack_extended_error(EDE_NETWORK_ERROR))
TARGET_CIRCULAR = build_answer(rcode=SERVFAIL, aa=False)

Trail = tuple[bytes, ...]  # aliases, canonical


def answer_at(snapshot: Snapshot, node: Node, name: bytes, qtype: int, trail: Trail = ()) -> Answer:
    """What `node` answers when canonical `name` is asked for `qtype`.

    `trail` is not empty where a name is being flattened: the aliases on the way. Following stops when one comes again,
    and at MAX_CHAIN of them.
    """
    node = _side(node, qtype)
    answer = node.answers.get(qtype)
    if answer is not None:
        return answer
    rule = node.rule
    if rule is None:
        return node.otherwise
    if isinstance(rule, Edge):
        return _edge_answer(snapshot, node, rule.keys.get(qtype))
    # Only an answer to what was asked is kept: one on the way of a flattening may be cut short by the trail.
    known = None if trail else snapshot.chains.get((node, qtype))
    if known is not None:
        return known
    if isinstance(rule, Flattened):
        return _flatten(snapshot, node, rule, name, qtype, trail)
    return _follow(snapshot, node, name, qtype, trail)


def _side(node: Node, qtype: int) -> Node:
    """The side of a zone cut that answers: for DS, the parent's."""
    return node.parent if qtype == DS and node.parent is not None else node


def led_to(snapshot: Snapshot, node: Node, target: bytes, qtype: int) -> Node:
    """The node that speaks for canonical `target`, to which `node` leads; that of no zone where it leads outside."""
    found = _side(snapshot.search(target), qtype)
    if found.apex and node.apex and not is_followed(found.apex, node.apex):
        return snapshot.refused
    return found


def _edge_answer(snapshot: Snapshot, node: Node, key: int | None) -> Answer:
    if key is None or node.apex is None:
        return node.otherwise
    # The map that is found decides both families: one it lacks is no data, never another map's or the pool's.
    return snapshot.addresses(node.apex).answers.get(key) or node.otherwise


def _follow(snapshot: Snapshot, first: Node, name: bytes, qtype: int, trail: Trail) -> Answer:
    """The chain of aliases from `first`, and at its end what the last name answers (RFC 1034 §4.3.2 step 3a)."""
    node = first
    is_flattening = bool(trail)
    steps: list[tuple[Rrset, bytes | None]] = []  # with the owner that each gets, should they be needed
    compile_answer = partial(_compile, steps, below=first.apex.name if first.apex else ROOT)

    def broken_off(why: Answer) -> Answer:
        """What there is to say of a chain without an end: the aliases so far, or why there is no address to show."""
        return why if is_flattening else compile_answer()

    while isinstance(rule := node.rule, FOLLOWED) and qtype not in node.answers:
        if len(trail) == MAX_CHAIN:
            return broken_off(TARGET_CIRCULAR)
        trail = (*trail, name)
        owner = name if steps else None
        if isinstance(rule, Alias):
            steps.append((rule.rrset, owner))
            name = rule.target
        else:
            steps.append((rule.rrset, rule.rrset.owner))
            target = substitute(rule, name)
            if target is None:
                return compile_answer(rcode=YXDOMAIN)  # RFC 6672 §2.2
            # RFC 6672 §3.1: the synthesised CNAME has the DNAME's TTL
            steps.append((Rrset(owner, CNAME, rule.rrset.ttl, (target,)), owner))
            if qtype == CNAME:
                return compile_answer()
            name = target
        if name in trail:
            return broken_off(TARGET_CIRCULAR)
        node = led_to(snapshot, node, name, qtype)
    # What a flattened name at the end answers does not depend on who leads to it, unless that is being flattened too.
    last = answer_at(snapshot, node, name, qtype, trail if is_flattening else ())
    if last.rcode == SERVFAIL:
        return last
    if last.rcode == REFUSED:  # not our zone: the resolver goes on from here
        return broken_off(TARGET_OUTSIDE)
    # A DNAME makes the answer depend on the name asked, and so does the trail of a flattening.
    is_fixed = len(trail) == len(steps) and isinstance(first.rule, Alias)
    # All types that a name does not have lead to the same denial.
    if is_fixed and (known := snapshot.chains.get((first, last))):
        return known
    # Rcode and authority are the last name's (RFC 6604 §2.1).
    owned = (rrset if rrset.owner is not None else rrset._replace(owner=name) for rrset in last.answer)
    answer = compile_answer(
        owned,
        authority=last.authority,
        optional_glue=last.additional,
        rcode=last.rcode,
        edge=last.edge,
    )
    if is_fixed:
        snapshot.remember(first, qtype if last.answer else last, answer)
    return answer


def _compile(steps: list[tuple[Rrset, bytes | None]], end: Iterable[Rrset] = (), **rest: Any) -> Answer:
    """The answer of the aliases on the way, each with its owner, and of what is at the end."""
    return build_answer((*(rrset._replace(owner=owner) for rrset, owner in steps), *end), **rest)


def substitute(rule: Redirection, name: bytes) -> bytes | None:
    """Canonical `name` with the DNAME's owner replaced by its target (RFC 6672 §2.2); None when it gets too long."""
    replaced = name[: len(name) - len(rule.owner)] + rule.target
    return replaced if len(replaced) <= MAX_NAME else None


def _flatten(snapshot: Snapshot, node: Node, rule: Flattened, name: bytes, qtype: int, trail: Trail) -> Answer:
    """The addresses at the end of the target's chain, as if they stood at `name`; its TTL is the lowest on the way."""
    if qtype not in (A, AAAA):
        return node.otherwise
    if len(trail) == MAX_CHAIN or name in trail:
        return TARGET_CIRCULAR
    target = led_to(snapshot, node, rule.target, qtype)
    found = answer_at(snapshot, target, rule.target, qtype, (*trail, name))
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
