"""The same zones in dnsd, NSD, Knot and BIND: every difference is explained in `compare`."""

from __future__ import annotations

import random

import pytest

from tests.conformance.client import ask
from tests.conformance.compare import EXPLAINED, Case, explanation
from tests.conformance.questions import every_way, pairs_of, question, unusual
from tests.conformance.replies import view_of
from tests.conformance.servers import Ports, compare

pytestmark = pytest.mark.peers

WRITTEN_PAIRS = 4_000  # each asked in four ways
MADE_PAIRS = 2_000
AT_LEAST = 20_000

# qname, qtype, EDNS size: the peers that dnsd agrees with where they differ, by docs/decisions.md or the RFC named
SIDES: list[tuple[str, str, int | None, set[str]]] = [
    ("to-org.example.com.", "A", None, {"nsd"}),  # chains continue in our other zones
    ("to-org-nothing.example.com.", "A", None, {"nsd"}),
    ("to-org-cut.example.com.", "A", None, {"nsd"}),
    ("to-child.example.com.", "A", None, {"nsd"}),
    ("up.child.example.com.", "A", None, {"nsd"}),
    ("www.dname-org.example.com.", "A", None, {"nsd"}),
    ("loop-1.example.com.", "A", None, {"nsd", "knot"}),  # a loop is not a server failure
    ("loop-3.example.com.", "A", None, {"nsd", "knot"}),
    (f"{'l' * 60}.{'l' * 20}.dname-long.example.com.", "A", None, {"nsd", "bind"}),  # RFC 6672 §2.2: YXDOMAIN
    ("x.sub.example.com.", "A", None, {"nsd", "knot"}),  # glue: also authoritative addresses of the zone
    ("c02.example.com.", "NAPTR", 1232, set()),  # longer than our limit: unlike any peer
]


def test_written_and_generated_zones_are_answered_as_the_peers_do(
    ports: Ports, written_zones: dict[str, str], made_zones: dict[str, str]
) -> None:
    rng = random.Random(2308)
    pairs = [*pairs_of(written_zones, rng, WRITTEN_PAIRS), *pairs_of(made_zones, rng, MADE_PAIRS)]
    questions = every_way(pairs)
    assert len(questions) >= AT_LEAST
    tally = compare(ports, questions)
    print(f"\n{tally.table()}")
    if tally.unexplained:
        pytest.fail(tally.report())
    assert tally.counts["agrees with all three"] > len(questions) // 2


def test_unusual_messages_are_answered_as_the_peers_do(ports: Ports) -> None:
    tally = compare(ports, unusual(), once=True)
    print(f"\n{tally.table()}")
    if tally.unexplained:
        pytest.fail(tally.report(most=60))


@pytest.mark.parametrize(("qname", "qtype", "edns", "expected"), SIDES)
def test_dnsd_sides_with_the_named_peers(
    ports: Ports, qname: str, qtype: str, edns: int | None, expected: set[str]
) -> None:
    asked = question(qname, qtype, edns=edns)
    views = {name: view_of(ask(port, [asked.wire], tcp=False)[0]) for name, port in ports.items()}
    case = Case(asked, views.pop("dnsd"), views)
    assert set(case.sides) == expected, case


def test_every_explanation_is_needed(ports: Ports, written_zones: dict[str, str]) -> None:
    """An unused entry would only hide a future bug."""
    names = {entry.name for entry in EXPLAINED}
    tally = compare(ports, [*every_way(pairs_of(written_zones, random.Random(2308), WRITTEN_PAIRS))])
    odd = compare(ports, unusual(), once=True)
    assert names <= set(tally.counts) | set(odd.counts)


def test_explanation_does_not_cover_a_wrong_rcode(ports: Ports) -> None:
    asked = question("www.example.com.", "A")
    wrong = view_of(ask(ports["dnsd"], [question("nope.example.com.", "A").wire], tcp=False)[0])
    peers = {name: view_of(ask(ports[name], [asked.wire], tcp=False)[0]) for name in ("nsd", "knot", "bind")}
    assert explanation(Case(asked, wrong, peers)) is None
