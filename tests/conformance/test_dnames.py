"""DNAMEs that lead back to themselves: the same records as NSD in the same order, without duplicates."""

from __future__ import annotations

from collections.abc import Iterator

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.conformance.peers import KINDS, Peer
from tests.limits import HANG_S
from tests.unit.engine.test_no_record_twice import CASES, ZONES, lines

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def nsd(peers_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    (kind,) = (kind for kind in KINDS if kind.name == "nsd")
    with Peer(kind, ZONES, tmp_path_factory.mktemp("dnames")) as peer:
        yield peer


@pytest.mark.parametrize("question", CASES)
def test_nsd_answers_as_in_the_table(nsd: Peer, question: str) -> None:
    query = dns.message.make_query(*question.split())
    reply = dns.query.tcp(query, "127.0.0.1", port=nsd.port, timeout=HANG_S, one_rr_per_rrset=True)
    assert (lines(reply), dns.rcode.to_text(reply.rcode())) == CASES[question]
