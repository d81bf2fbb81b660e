"""No section has a record twice, and chains that return to themselves end: DNAMEs, CNAMEs back below them.

The expected answers are those of NSD 4.6.1, except for the limit of 8 CNAMEs; tests/conformance/test_dnames.py asks it.
"""

from __future__ import annotations

import pathlib
import random

import dns.message
import dns.rdatatype
import pytest

from dnsd.app import load
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from tests.reference import Reference
from tests.worlds import AccountFiles, World, write_world

ONE = """\
one.test. 3600 IN SOA ns1.one.test. h.one.test. 1 2 3 4 300
one.test. 3600 IN NS ns1.one.test.
ns1.one.test. 3600 IN A 192.0.2.53
self.one.test. 600 IN DNAME self.one.test.
grow.one.test. 600 IN DNAME s.grow.one.test.
to-grow.one.test. 600 IN CNAME x.grow.one.test.
shrink.one.test. 600 IN DNAME one.test.
left.one.test. 600 IN DNAME right.one.test.
right.one.test. 600 IN DNAME left.one.test.
p.one.test. 600 IN DNAME q.one.test.
x.q.one.test. 600 IN CNAME y.p.one.test.
y.q.one.test. 600 IN CNAME z.p.one.test.
z.q.one.test. 600 IN A 192.0.2.1
back.q.one.test. 600 IN CNAME back.p.one.test.
to-p.one.test. 600 IN CNAME x.p.one.test.
aa.one.test. 600 IN DNAME bb.one.test.
bb.one.test. 600 IN DNAME cc.one.test.
x.cc.one.test. 600 IN CNAME y.aa.one.test.
y.cc.one.test. 600 IN CNAME z.bb.one.test.
z.cc.one.test. 600 IN A 192.0.2.3
over.one.test. 600 IN DNAME over.two.test.
m.one.test. 600 IN DNAME m.two.test.
inner.one.test. 600 IN DNAME outer.one.test.
s.outer.one.test. 600 IN DNAME inner.one.test.
"""
TWO = """\
two.test. 3600 IN SOA ns1.one.test. h.one.test. 1 2 3 4 300
two.test. 3600 IN NS ns1.one.test.
over.two.test. 600 IN DNAME over.one.test.
x.m.two.test. 600 IN CNAME y.m.one.test.
y.m.two.test. 600 IN CNAME z.m.one.test.
z.m.two.test. 600 IN A 198.51.100.9
n.two.test. 600 IN DNAME p.one.test.
mm.two.test. 600 IN CNAME x.n.two.test.
"""
ZONES = {"one.test": ONE, "two.test": TWO}

# question -> the answer section, as `owner type data`, and the rcode
CASES: dict[str, tuple[list[str], str]] = {
    "x.self.one.test A": (
        ["self.one.test. DNAME self.one.test.", "x.self.one.test. CNAME x.self.one.test."],
        "NOERROR",
    ),
    "x.grow.one.test A": (
        ["grow.one.test. DNAME s.grow.one.test.", "x.grow.one.test. CNAME x.s.grow.one.test."],
        "NOERROR",
    ),
    "x.grow.one.test DNAME": (
        ["grow.one.test. DNAME s.grow.one.test.", "x.grow.one.test. CNAME x.s.grow.one.test."],
        "NOERROR",
    ),
    "to-grow.one.test TXT": (
        [
            "to-grow.one.test. CNAME x.grow.one.test.",
            "grow.one.test. DNAME s.grow.one.test.",
            "x.grow.one.test. CNAME x.s.grow.one.test.",
        ],
        "NOERROR",
    ),
    "shrink.shrink.one.test DNAME": (
        ["shrink.one.test. DNAME one.test.", "shrink.shrink.one.test. CNAME shrink.one.test."],
        "NOERROR",
    ),
    "x.shrink.one.test A": (["shrink.one.test. DNAME one.test.", "x.shrink.one.test. CNAME x.one.test."], "NXDOMAIN"),
    "x.left.one.test A": (
        [
            "left.one.test. DNAME right.one.test.",
            "x.left.one.test. CNAME x.right.one.test.",
            "right.one.test. DNAME left.one.test.",
            "x.right.one.test. CNAME x.left.one.test.",
        ],
        "NOERROR",
    ),
    "x.p.one.test A": (
        [
            "p.one.test. DNAME q.one.test.",
            "x.p.one.test. CNAME x.q.one.test.",
            "x.q.one.test. CNAME y.p.one.test.",
            "y.p.one.test. CNAME y.q.one.test.",
            "y.q.one.test. CNAME z.p.one.test.",
            "z.p.one.test. CNAME z.q.one.test.",
            "z.q.one.test. A 192.0.2.1",
        ],
        "NOERROR",
    ),
    "to-p.one.test A": (
        [
            "to-p.one.test. CNAME x.p.one.test.",
            "p.one.test. DNAME q.one.test.",
            "x.p.one.test. CNAME x.q.one.test.",
            "x.q.one.test. CNAME y.p.one.test.",
            "y.p.one.test. CNAME y.q.one.test.",
            "y.q.one.test. CNAME z.p.one.test.",
            "z.p.one.test. CNAME z.q.one.test.",
            "z.q.one.test. A 192.0.2.1",
        ],
        "NOERROR",
    ),
    "x.p.one.test CNAME": (["p.one.test. DNAME q.one.test.", "x.p.one.test. CNAME x.q.one.test."], "NOERROR"),
    "p.p.one.test DNAME": (["p.one.test. DNAME q.one.test.", "p.p.one.test. CNAME p.q.one.test."], "NXDOMAIN"),
    "back.p.one.test A": (
        [
            "p.one.test. DNAME q.one.test.",
            "back.p.one.test. CNAME back.q.one.test.",
            "back.q.one.test. CNAME back.p.one.test.",
        ],
        "NOERROR",
    ),
    "x.aa.one.test A": (
        [
            "aa.one.test. DNAME bb.one.test.",
            "x.aa.one.test. CNAME x.bb.one.test.",
            "bb.one.test. DNAME cc.one.test.",
            "x.bb.one.test. CNAME x.cc.one.test.",
            "x.cc.one.test. CNAME y.aa.one.test.",
            "y.aa.one.test. CNAME y.bb.one.test.",
            "y.bb.one.test. CNAME y.cc.one.test.",
            "y.cc.one.test. CNAME z.bb.one.test.",
            "z.bb.one.test. CNAME z.cc.one.test.",
            "z.cc.one.test. A 192.0.2.3",
        ],
        "NOERROR",
    ),
    "x.over.one.test A": (
        [
            "over.one.test. DNAME over.two.test.",
            "x.over.one.test. CNAME x.over.two.test.",
            "over.two.test. DNAME over.one.test.",
            "x.over.two.test. CNAME x.over.one.test.",
        ],
        "NOERROR",
    ),
    "x.m.one.test A": (
        [
            "m.one.test. DNAME m.two.test.",
            "x.m.one.test. CNAME x.m.two.test.",
            "x.m.two.test. CNAME y.m.one.test.",
            "y.m.one.test. CNAME y.m.two.test.",
            "y.m.two.test. CNAME z.m.one.test.",
            "z.m.one.test. CNAME z.m.two.test.",
            "z.m.two.test. A 198.51.100.9",
        ],
        "NOERROR",
    ),
    "mm.two.test A": (
        [
            "mm.two.test. CNAME x.n.two.test.",
            "n.two.test. DNAME p.one.test.",
            "x.n.two.test. CNAME x.p.one.test.",
            "p.one.test. DNAME q.one.test.",
            "x.p.one.test. CNAME x.q.one.test.",
            "x.q.one.test. CNAME y.p.one.test.",
            "y.p.one.test. CNAME y.q.one.test.",
            "y.q.one.test. CNAME z.p.one.test.",
            "z.p.one.test. CNAME z.q.one.test.",
            "z.q.one.test. A 192.0.2.1",
        ],
        "NOERROR",
    ),
    "y.s.inner.one.test A": (
        [
            "inner.one.test. DNAME outer.one.test.",
            "y.s.inner.one.test. CNAME y.s.outer.one.test.",
            "s.outer.one.test. DNAME inner.one.test.",
            "y.s.outer.one.test. CNAME y.inner.one.test.",
            "y.inner.one.test. CNAME y.outer.one.test.",
        ],
        "NXDOMAIN",
    ),
}
# Two that grow in turns: NSD continues to its own limit, we to ours of 8 CNAMEs.
TURNS = """\
turns.test. 3600 IN SOA ns1.one.test. h.one.test. 1 2 3 4 300
turns.test. 3600 IN NS ns1.one.test.
a.turns.test. 600 IN DNAME s.b.turns.test.
b.turns.test. 600 IN DNAME s.a.turns.test.
"""


@pytest.fixture(scope="module")
def world() -> World:
    files = {f"{name}.zone": text for name, text in (ZONES | {"turns.test": TURNS}).items()}
    return World(
        {"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.edu"]},
        {"acme": AccountFiles(zones=dict(files))},
    )


@pytest.fixture(scope="module")
def snapshot(world: World, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return load(write_world(world, tmp_path_factory.mktemp("dnames")), {}).snapshot


def asked(snapshot: Snapshot, question: str) -> dns.message.Message:
    """The reply, parsed without grouping its records."""
    reply = respond(snapshot, dns.message.make_query(*question.split()).to_wire(), stream=True)
    return dns.message.from_wire(reply or b"", one_rr_per_rrset=True)


def lines(message: dns.message.Message) -> list[str]:
    return [f"{one.name} {dns.rdatatype.to_text(one.rdtype)} {one[0]}" for one in message.answer]


@pytest.mark.parametrize("question", CASES)
def test_answer(snapshot: Snapshot, question: str) -> None:
    message = asked(snapshot, question)
    assert (lines(message), dns.rcode.to_text(message.rcode())) == CASES[question]


@pytest.mark.parametrize("question", CASES)
def test_reference_agrees_with_the_table(world: World, question: str) -> None:
    expected = Reference(world).expect(*question.split())
    lines = [f"{owner} {dns.rdatatype.to_text(rdtype)} {rdata}" for owner, rdtype, _, rdata in expected.answer]
    assert (lines, dns.rcode.to_text(expected.rcode)) == CASES[question]


def test_names_growing_in_turns_reach_the_cap(snapshot: Snapshot) -> None:
    found = lines(asked(snapshot, "x.a.turns.test A"))
    assert sum(" DNAME " in line for line in found) == 2
    assert sum(" CNAME " in line for line in found) == 8
    assert len(set(found)) == len(found)


def test_no_question_has_a_record_twice(snapshot: Snapshot, tmp_path: pathlib.Path) -> None:
    """Random aliases among few names, so that chains are likely: DNAMEs, CNAMEs and wildcards."""
    rng = random.Random(6672)
    for number in range(40):
        names = [f"{letter}.z.test." for letter in "abcdef"]
        dnames = rng.sample(names, 3)
        text = TURNS.replace("turns.test", "z.test").partition("a.z.test.")[0]
        text += "".join(f"{one} 600 IN DNAME {rng.choice(['', 's.', 't.'])}{rng.choice(names)}\n" for one in dnames)
        for one in set(names) - set(dnames):
            for label in rng.sample(["x", "s", "s.s", "*"], 2):
                text += f"{label}.{one} 600 IN CNAME {rng.choice(['x.', 's.', 's.s.', 'q.'])}{rng.choice(names)}\n"
        files = AccountFiles(zones={"z.test.zone": text})
        world = World({"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.edu"]}, {"acme": files})
        made = load(write_world(world, tmp_path / str(number)), {}).snapshot
        for name in [f"{label}.{one}" for label in ("x", "s", "s.s", "w") for one in names]:
            found = lines(asked(made, f"{name} A"))
            assert len(set(found)) == len(found), (text, name, found)
