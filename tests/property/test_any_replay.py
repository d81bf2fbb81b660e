"""Replays of random changes, compared with replies of the server before and after them, as dnspython reads these."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import dns.message
import dns.rcode
from dns.rdatatype import AAAA, CNAME, HTTPS, NS, SOA, TXT, A

from dnsd.compile.meant import MeantByChange
from dnsd.engine.replay import AnswerChange
from dnsd.engine.respond import find, parse, respond
from dnsd.engine.snapshot import Snapshot
from dnsd.engine.verdict import LEAST_QUESTIONS, MAX_NAMES, Replay, judged
from dnsd.model.record_parts import finished
from dnsd.questions import Question
from dnsd.wire.names import ASTERISK
from tests.limits import examples
from tests.mutations import question
from tests.property.test_any_plan import changes, compared

RUNS = examples(12, 400)
MOST_SAME = examples(60, 10**9)  # questions of one change without a difference that are asked of the server
TYPES = (A, AAAA, HTTPS, CNAME, TXT, NS, SOA)
BELOW = b"\x02q1"  # of a name that does not exist, or lies below a wildcard or a DNAME
SERIAL = 2  # of the parts of an SOA's data in presentation form

Told = tuple[str, frozenset[tuple[str, int, str]]]


def told(snapshot: Snapshot, qname: bytes, qtype: int) -> Told:
    """The rcode and all records of a reply, without serials, in no order."""
    reply = respond(snapshot, question(qname, qtype), stream=True)
    assert reply
    message = dns.message.from_wire(reply)
    records = set()
    for section in (message.answer, message.authority, message.additional):
        for rrset in section:
            for rdata in rrset:
                parts = rdata.to_text().split()
                if rrset.rdtype == SOA:
                    parts[SERIAL] = "-"
                records.add((f"{rrset.name} {rrset.rdtype}", rrset.ttl, " ".join(parts)))
    return dns.rcode.to_text(message.rcode()), frozenset(records)


def asked_for(*snapshots: Snapshot) -> list[bytes]:
    """All names before and after, and one below each."""
    names = [*dict.fromkeys(name for snapshot in snapshots for name in snapshot.names)]
    names += [BELOW + name for name in names if len(name) < 200 and not name.startswith(ASTERISK)]
    return names


def edge_of(snapshot: Snapshot, qname: bytes, qtype: int) -> str | None:
    """The key of the map whose addresses are in an answer; empty for the pool, None for other answers."""
    parsed = parse(snapshot, question(qname, qtype))
    assert parsed
    edge = find(snapshot, parsed).edge
    return edge.map if edge else None


def expected(old: Snapshot, new: Snapshot, qname: bytes, qtype: int) -> AnswerChange | None:
    """The change by the replies alone, and the maps."""
    (was, records), (now, others) = told(old, qname, qtype), told(new, qname, qtype)
    if (was, records) == (now, others):
        return None
    if now in ("SERVFAIL", "REFUSED") and now != was:
        return AnswerChange(now.lower())
    had, has = (is_data(old, qname, qtype), is_data(new, qname, qtype))
    if had and not has:
        return AnswerChange.NXDOMAIN if now == "NXDOMAIN" else AnswerChange.NO_DATA
    before, after = edge_of(old, qname, qtype), edge_of(new, qname, qtype)
    if before and after == "":
        return AnswerChange.ONTO_POOL
    return AnswerChange.INTO_OPEN if before is not None and after is None and has else AnswerChange.OTHER


def is_data(snapshot: Snapshot, qname: bytes, qtype: int) -> bool:
    reply = respond(snapshot, question(qname, qtype), stream=True)
    assert reply
    message = dns.message.from_wire(reply)
    is_denial = any(rrset.rdtype == SOA for rrset in message.authority)
    return message.rcode() == 0 and bool(message.answer or message.authority) and not is_denial


def test_replay_is_exact(tmp_path: Path) -> None:
    seen: Counter[AnswerChange | None] = Counter()
    for seed in range(RUNS):
        for before, after in changes(1_000 + seed, tmp_path / str(seed)):
            old, new = before.snapshot, after.snapshot
            asked = [(name, int(qtype)) for name in asked_for(old, new) for qtype in TYPES]
            replay = Replay(old, new, lambda apex: True)
            for one in asked:
                replay.ask(*one)
            found = {pair.replayed[:2]: pair.replayed.change for pair in replay.changed}
            same = [one for one in asked if one not in found]
            for qname, qtype in (*found, *random.Random(seed).sample(same, min(len(same), MOST_SAME))):
                change = expected(old, new, qname, qtype)
                assert found.get((qname, qtype)) == change, (seed, qname, qtype)
                seen[change] += 1
    assert all(seen[change] for change in (None, *AnswerChange)), seen


def test_a_verdict_holds_what_its_replay_shows(tmp_path: Path) -> None:
    """By random samples: it counts each question once, halts only for a reason, and never for a change of nothing."""
    halts = 0
    for seed in range(RUNS):
        rng = random.Random(seed)
        for before, after in changes(2_000 + seed, tmp_path / str(seed)):
            old, new = before.snapshot, after.snapshot
            names = rng.sample(asked_for(old, new), 30) if len(asked_for(old, new)) > 30 else asked_for(old, new)
            sample = [sampled(old, rng.choice(names), int(rng.choice(TYPES))) for _ in range(rng.choice((0, 50, 500)))]
            effects = compared(before, after)
            meant = MeantByChange(before.dataset, after.dataset, effects)
            verdict = finished(judged(old, new, sample, effects.names, meant))
            counted = [one for one in sample if is_in_a_zone(one, old, new)]
            assert verdict.recent.all.questions == len(counted)
            assert verdict.names.all.questions <= MAX_NAMES * 4
            for halt in verdict.halts:
                assert sum(halt.figures.unmeant.values()) <= sum(halt.figures.changes.values())
                assert halt.by_names or halt.figures.questions >= LEAST_QUESTIONS
            halts += bool(verdict.halts)
            same = finished(judged(old, old, sample, effects.names, MeantByChange(before.dataset, before.dataset)))
            assert (same.recent.changed, same.names.changed, same.halts) == ([], [], [])
    assert halts


def sampled(snapshot: Snapshot, qname: bytes, qtype: int) -> Question:
    return Question(qname, qtype, *snapshot.place_of(qname), 1.0)


def is_in_a_zone(one: Question, *snapshots: Snapshot) -> bool:
    nodes = (parse(snapshot, question(one.qname, one.qtype)) for snapshot in snapshots)
    return any(found is not None and found[4].apex is not None for found in nodes)
