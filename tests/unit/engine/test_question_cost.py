"""One question costs the same, whatever else stands at its name, at the name servers of a referral, or below."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest

from dnsd.engine import plain_table
from dnsd.engine.answer import POOL
from dnsd.engine.edge_rules import AS_STORED
from dnsd.engine.entry import PLAIN, SPECIAL, row
from dnsd.engine.names import NameTable, kind_of
from dnsd.engine.node import REFUSED_NODE, Apex
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Addresses, Snapshot
from dnsd.engine.table import Table, packed_table
from dnsd.wire.message import IN, RECORD_FIXED
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import NS, SOA, TXT, A
from tests.limits import growth
from tests.packets import query

APEX = parse_name_text("big.test")
KIND = kind_of(0, AS_STORED)
QUESTIONS = 40
RECORDS = 20  # of each further type
FIRST = 65_280  # of the further types
HOSTS = [parse_name_text(f"h{number}.big.test") for number in range(10)]
TABLES: list[Any] = [Table, plain_table.EntryTable]


def body(rtype: int, *rdatas: bytes) -> tuple[int, int, bytes]:
    parts = [b"\xc0\x0c" + RECORD_FIXED.pack(rtype, IN, 300, len(rdata)) + rdata for rdata in rdatas]
    return rtype, len(parts), b"".join(parts)


@lru_cache
def further(types: int) -> list[tuple[int, int, bytes]]:
    return [body(FIRST + one, *(bytes((one, number)) for number in range(RECORDS))) for one in range(types)]


@lru_cache
def snapshot(table: type, types: int) -> Snapshot:
    """A name, a delegation and its hosts, with so many further types."""
    rows = [
        row(SPECIAL, KIND, APEX, [body(SOA, bytes(22))]),
        row(PLAIN, KIND, parse_name_text("t.big.test"), [*further(types), body(TXT, b"\x01x")]),
        row(SPECIAL, KIND, parse_name_text("*.w.big.test"), [*further(types), body(TXT, b"\x01x")]),
        row(SPECIAL, KIND, parse_name_text("g.big.test"), [body(NS, *HOSTS)]),
        *(row(PLAIN, KIND, host, [*further(types), body(A, bytes(4))]) for host in HOSTS),
    ]
    names = NameTable(
        table(packed_table({APEX: (KIND, b"".join(rows))}).octets), [Apex("z1", "a1", APEX, verified=True)]
    )
    return Snapshot(names, {}, {}, Addresses((), (POOL, POOL), {}), REFUSED_NODE, {}, b"", 1, {})


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("name", "qtype"),
    [("t", "TXT"), ("t", "MX"), ("x.t", "TXT"), ("x.w", "TXT"), ("x.g", "A")],
)
def test_question_for_a_node_that_is_not_kept(table: type, name: str, qtype: str) -> None:
    asked = query(f"{name}.big.test", qtype)

    def work_of(types: int) -> Callable[[], object]:
        served = snapshot(table, types)

        def ask_all() -> None:
            for _ in range(QUESTIONS):
                served.names._nodes.clear()
                served.names._nodes._old.clear()
                assert respond(served, asked)

        return ask_all

    assert growth(work_of, 1, 100, enough=4) <= 4
