"""The refusals of tests/refusals.py, live over UDP and TCP, compared with those of NSD, Knot and BIND."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.conformance.client import ask_once, ask_tcp
from tests.conformance.replies import SILENCE, View, view_of
from tests.conformance.servers import Ports
from tests.refusals import CASES, Refused, expected_question

pytestmark = pytest.mark.peers

PEERS = ("nsd", "knot", "bind")

# Cases where all replying peers have one rcode and dnsd intentionally has another.
DIFFERENT = {
    "too many options": "the work for one message is bounded",
    "NOTIFY, signed": "the peers know NOTIFY",
    "NOTIFY, only a header": "the peers know NOTIFY",
    "opcode 11, two questions": "NOTIMP with any contents, like NSD for the opcodes that it answers",
    "opcode 11, a record cut short": "likewise",
}


@pytest.fixture(scope="module")
def views(ports: Ports) -> dict[str, dict[str, View]]:
    """The reply of each server to each message over UDP; of dnsd over TCP, too."""
    messages = [refused.message for refused in CASES.values()]
    replies = {name: ask_once(port, messages) for name, port in ports.items()}
    replies["dnsd over TCP"] = ask_tcp(ports["dnsd"], messages)
    return {
        label: {name: view_of(theirs[index]) for name, theirs in replies.items()} for index, label in enumerate(CASES)
    }


@pytest.mark.parametrize("server", ["dnsd", "dnsd over TCP"])
@pytest.mark.parametrize(("label", "refused"), CASES.items(), ids=CASES.keys())
def test_reply_matches_the_table(
    views: Mapping[str, Mapping[str, View]], server: str, label: str, refused: Refused
) -> None:
    view = views[label][server]
    assert (view.rcode, view.question or b"") == (refused.rcode, expected_question(refused))
    assert view.opt == ((0, 1232, refused.do) if refused.opt else None)
    assert view.answer == view.authority == ()
    assert {rr.rtype for rr in view.additional} <= {"TSIG"}


@pytest.mark.parametrize("label", CASES)
def test_rcode_is_the_peers_where_they_agree(views: Mapping[str, Mapping[str, View]], label: str) -> None:
    rcodes = {views[label][peer].rcode for peer in PEERS if views[label][peer] != SILENCE}
    if label in DIFFERENT:
        assert rcodes != {CASES[label].rcode}, "this difference no longer exists"
    elif len(rcodes) == 1:
        assert rcodes == {CASES[label].rcode}, views[label]


@pytest.mark.parametrize("label", CASES)
def test_no_peer_repeats_more_of_the_message(views: Mapping[str, Mapping[str, View]], label: str) -> None:
    """If a peer refuses in the same way, our reply has everything that the peer could read, too."""
    ours = views[label]["dnsd"]
    for theirs in (views[label][peer] for peer in PEERS):
        if theirs.rcode == ours.rcode:
            assert ours.question == theirs.question or theirs.question is None, views[label]
            assert ours.opt or theirs.opt is None, views[label]
