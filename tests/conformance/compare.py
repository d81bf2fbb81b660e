"""The agreement of servers, and every intended difference between dnsd and its peers.

If the three peers agree, dnsd must agree; if they differ, dnsd must answer like one of them. Any other difference must
match an entry of EXPLAINED, whose predicate describes exactly dnsd's answer. Pure: views in, verdicts out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields

from tests.conformance.questions import Question
from tests.conformance.replies import View


@dataclass(frozen=True, slots=True)
class Case:
    """One question, and the answers of dnsd and the three peers."""

    question: Question
    ours: View
    peers: Mapping[str, View]

    @property
    def unanimous(self) -> bool:
        return len(set(self.peers.values())) == 1

    @property
    def sides(self) -> list[str]:
        """The peers with the same answer as dnsd."""
        return [name for name, view in self.peers.items() if view == self.ours]

    @property
    def kind(self) -> tuple[object, ...]:
        """A key that differences with the same cause are likely to share."""
        views = [self.ours, *self.peers.values()]
        differing = tuple(one.name for one in fields(View) if len({getattr(view, one.name) for view in views}) > 1)
        shapes = tuple((view.rcode, view.flags, len(view.answer), view.is_referral) for view in views)
        return differing, shapes, self.question.tcp, self.question.edns

    def differs_only_in(self, peer: str, *names: str) -> bool:
        theirs = self.peers[peer]
        compared = [one.name for one in fields(View) if one.compare and one.name not in names]
        return all(getattr(self.ours, name) == getattr(theirs, name) for name in compared)

    def __str__(self) -> str:
        lines = [f"{self.question}", f"  dnsd: {self.ours}"]
        return "\n".join(lines + [f"  {name}: {view}" for name, view in self.peers.items()])


@dataclass(frozen=True, slots=True)
class Explained:
    """An intended difference: name, reason, and exact condition."""

    name: str
    reason: str
    applies: Callable[[Case], bool]


def _is_any(case: Case) -> bool:
    """One HINFO instead of the peers' records; a CNAME is data, too, and not followed."""
    is_hinfo = [[(rr.rtype, rr.rdata) for rr in rrset] for rrset in case.ours.answer[-1:]] == [
        [("HINFO", b"\x07RFC8482\x00")]
    ]
    return (
        case.question.qtype == "ANY"
        and is_hinfo
        and case.ours.rcode == "NOERROR"
        and not case.ours.authority
        and all(view.rcode == "NOERROR" for view in case.peers.values())
        and any(view.answer or "TC" in view.flags for view in case.peers.values())
    )


def _is_bare_truncation(case: Case) -> bool:
    """Only header, question and OPT, while a peer sends TC with as many records as fit."""
    ours = case.ours
    return (
        "TC" in ours.flags
        and not (ours.answer or ours.authority or ours.additional)
        and not case.question.tcp
        and any("TC" in view.flags and case.differs_only_in(name, "answer") for name, view in case.peers.items())
    )


def _is_lost_glue(case: Case) -> bool:
    """TC, while the peers leave out glue that is needed to reach the servers of the zone cut."""
    ours = case.ours
    return (
        "TC" in ours.flags
        and not (ours.answer or ours.authority or ours.additional)
        and not case.question.tcp
        and "TC" in case.peers["knot"].flags
        and all(view.is_referral and view.size > case.question.limit - 60 for view in case.peers.values())
    )


def _is_less_glue(case: Case) -> bool:
    """The same name servers in a full reply, with a different choice of glue."""
    return (
        bool(case.ours.glue)
        and not case.question.tcp
        and case.ours.has_ns
        and case.ours.size > case.question.limit - 60
        and any(
            case.differs_only_in(name, "glue") and view.size > case.question.limit - 60
            for name, view in case.peers.items()
        )
    )


def _is_capped_chain(case: Case) -> bool:
    """The first eight CNAMEs of a longer chain that NSD gives in full."""
    steps = [rrset for rrset in case.ours.answer if rrset[0].rtype == "CNAME"]
    whole = case.peers["nsd"].answer
    longer = [rrset for rrset in whole if rrset[0].rtype == "CNAME"]
    return (
        len(steps) == 8 < len(longer)
        and case.ours.answer == whole[: len(case.ours.answer)]
        and case.ours.rcode == "NOERROR"
        and not case.ours.authority
        and not case.ours.additional
    )


def _is_fuller_refusal(case: Case) -> bool:
    """A peer's error, with the question and the OPT if readable: peers leave out one or both."""
    ours = case.ours
    return (
        ours.rcode in ("FORMERR", "NOTIMP")
        and (ours.question is None or case.question.wire[12:].startswith(ours.question))
        and ours.flags <= {"QR", "RD", "CD"}
        and any(case.differs_only_in(name, "question", "opt", "flags") for name in case.peers)
    )


def _is_transfer_over_udp(case: Case) -> bool:
    return (
        case.question.label == "type 252 at the apex"
        and case.ours == _refused(case.question)
        and not any(view.answer for view in case.peers.values())
    )


def _refused(question: Question) -> View:
    return View("REFUSED", frozenset({"QR"}), question.wire[12:], (), (), frozenset(), None, frozenset(), 0)


EXPLAINED = (
    Explained("any-hinfo", "RFC 8482 §4.2: ANY is one HINFO", _is_any),
    Explained("bare-tc", "docs/decisions.md: with TC come header, question and OPT only", _is_bare_truncation),
    Explained("lost-glue-tc", "RFC 9471 §3.1: in-domain glue that does not fit sets TC, as Knot does", _is_lost_glue),
    Explained("less-glue", "RFC 9471 §3.2: which sibling glue is left out is the server's choice", _is_less_glue),
    Explained("fuller-refusal", "RFC 6891 §6.1.1, §7: refusals have the question and the OPT", _is_fuller_refusal),
    Explained("no-transfer", "RFC 5936 §4.2: AXFR is not for UDP, and refused to all anyway", _is_transfer_over_udp),
    Explained("chain-cap", "docs/decisions.md: chains are capped at 8 CNAMEs", _is_capped_chain),
)


def explanation(case: Case) -> str | None:
    """`agrees`, `as nsd+knot`, the name of an entry of EXPLAINED, or None for an unintended difference."""
    sides = case.sides
    if len(sides) == len(case.peers):
        return "agrees with all three"
    if sides and not case.ours.additional - case.ours.glue:
        return f"as {'+'.join(sides)}"
    return next((entry.name for entry in EXPLAINED if entry.applies(case)), None)


@dataclass
class Tally:
    """The outcome of many cases."""

    counts: Counter[str] = field(default_factory=Counter)
    unexplained: list[Case] = field(default_factory=list)

    def add(self, case: Case) -> None:
        found = explanation(case)
        self.counts[found or "unexplained"] += 1
        if found is None:
            self.unexplained.append(case)

    def table(self) -> str:
        rows = [f"{count:8,}  {name}" for name, count in self.counts.most_common()]
        return "\n".join([f"{self.counts.total():8,}  questions", *rows])

    def report(self, most: int = 15) -> str:
        """The table, and one example of each kind of unintended difference."""
        kinds: dict[tuple[object, ...], list[Case]] = {}
        for case in self.unexplained:
            kinds.setdefault(case.kind, []).append(case)
        shown = [f"{len(cases)} like {cases[0]}" for cases in list(kinds.values())[:most]]
        return "\n\n".join([f"\n{self.table()}\n{len(kinds)} kinds of unexplained differences", *shown])
