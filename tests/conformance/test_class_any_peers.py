"""QCLASS ANY over the written zones: the same replies as NSD."""

from __future__ import annotations

import random

import pytest

from tests.conformance.client import ask
from tests.conformance.questions import pairs_of, question
from tests.conformance.replies import View, view_of
from tests.conformance.servers import Ports

pytestmark = pytest.mark.peers

PAIRS = 3_000
TRANSFERS = ("AXFR", "IXFR")


def test_replies_equal_those_of_nsd(ports: Ports, written_zones: dict[str, str]) -> None:
    """If the replies in class IN are equal, too. Over TCP, so not truncated; without type ANY, one HINFO here."""
    pairs = [pair for pair in pairs_of(written_zones, random.Random(1035), PAIRS) if pair[1] not in ("ANY", *TRANSFERS)]
    of_in = [question(*pair, tcp=True, edns=1232).wire for pair in pairs]
    of_any = [wire.replace(b"\0\1\0\0\x29", b"\0\xff\0\0\x29") for wire in of_in]
    assert all(wire != other for wire, other in zip(of_in, of_any, strict=True))
    alike, different = 0, []
    for pair, in_ours, in_theirs, ours, theirs in zip(
        pairs,
        *(views(ports[name], of_in) for name in ("dnsd", "nsd")),
        *(views(ports[name], of_any) for name in ("dnsd", "nsd")),
        strict=True,
    ):
        assert "AA" not in ours.flags, pair
        assert (ours.rcode, ours.answer) == (in_ours.rcode, in_ours.answer), pair
        if in_ours == in_theirs and ours != theirs and not is_chain_to_cut(ours, theirs):
            different.append(f"{pair}\n  dnsd: {ours}\n  nsd:  {theirs}")
        alike += ours == theirs
    assert not different, "\n".join(different[:10])
    assert alike > 0.9 * len(pairs)


def views(port: int, wires: list[bytes]) -> list[View]:
    return list(map(view_of, ask(port, wires, tcp=True)))


def is_chain_to_cut(ours: View, theirs: View) -> bool:
    """NSD then sets AA, also in class ANY."""
    return (
        bool(ours.answer) and ours.is_referral and theirs.flags - ours.flags == {"AA"} and ours.answer == theirs.answer
    )
