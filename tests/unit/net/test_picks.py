"""Picks of questions for the sample: the same in the compiled and the portable loop."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from dnsd.net import udp
from dnsd.net.picks import MAX_PICKED, PICKS, Picked, Picks
from dnsd.net.reply import DnsReply
from tests.mutations import mutations, question, seeds
from tests.packets import query

Pass = Callable[[Sequence[bytes]], Picked]  # passes queries, and returns the picks


def portable(picks: Picks) -> Pass:
    def passed(queries: Sequence[bytes]) -> Picked:
        for one in queries:
            picks.note(one)
        return picks.take()

    return passed


@pytest.fixture(name="picked", params=["portable", "compiled"])
def _picked(request: pytest.FixtureRequest) -> Iterator[Pass]:
    if request.param == "portable":
        yield portable(Picks())
        return
    if not udp.IS_BUILT:
        pytest.skip("the compiled loop was not built: no C compiler")
    from dnsd.net._batch import Batch

    server, client = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with server, client:
        server.setblocking(False)
        batch = Batch(server.fileno(), lambda one, peer: DnsReply(None), lambda reply: None, False, 16)

        def passed(queries: Sequence[bytes]) -> Picked:
            for one in queries:
                client.send(one)
                batch.exchange()
            return batch.picked()

        yield passed


LONGEST = b"\x3f" + b"\xff" * 63 + (b"\x3f" + b"B" * 63) * 2 + b"\x3d" + b"c" * 61 + b"\0"
WWW = b"\3wWw\7example\3com\0"
CASES = {
    "a question": (query("www.example.com"), b"\3www\7example\3com\0\0\1"),
    "in its letter case": (question(WWW, 28), WWW + b"\0\x1c"),
    "the root": (query(".", "NS"), b"\0\0\2"),
    "255 octets, no UTF-8": (question(LONGEST, 65_535), LONGEST + b"\xff\xff"),
    "dots and zeros in labels": (question(b"\4.\0.a\3com\0", 1), b"\4.\0.a\3com\0\0\1"),
    "an unknown class": (question(WWW, 1, 77), WWW + b"\0\1"),
    "with records after it": (question(WWW, 1, opt=bytes(100)), WWW + b"\0\1"),
    "a name of 256 octets": (question(b"\1a" + LONGEST, 1), b""),
    "a compressed name": (question(b"\xc0\x0c", 1), b""),
    "a response": (question(WWW, 1, flags=0x8100), b""),
    "an update": (question(WWW, 1, flags=0x2800), b""),
    "two questions": (query("a.", counts=(2, 0, 0, 0)), b""),
    "no question": (query("a.", counts=(0, 0, 0, 0)), b""),
    "cut in the name": (question(WWW, 1)[:20], b""),
    "cut in the class": (question(WWW, 1)[:-1], b""),
    "only a header": (question(WWW, 1)[:12], b""),
    "nothing": (b"", b""),
    "the longest query": (question(WWW, 1).ljust(MAX_PICKED, b"\0"), WWW + b"\0\1"),
    "a longer query": (question(WWW, 1).ljust(MAX_PICKED + 1, b"\0"), b""),
}


@pytest.mark.parametrize(("octets", "expected"), CASES.values(), ids=CASES.keys())
def test_name_and_type_are_picked(picked: Pass, octets: bytes, expected: bytes) -> None:
    assert picked([octets]) == ([expected], 1)


def test_both_loops_pick_the_same_from_damaged_queries(picked: Pass) -> None:
    rng = random.Random(5)
    damaged = mutations(rng, seeds([WWW, LONGEST, b"\0"]))
    for _ in range(2_000):
        octets = next(damaged)[:4_096]
        assert picked([octets]) == portable(Picks())([octets])


def test_few_queries_are_all_picked_and_only_once(picked: Pass) -> None:
    queries = [question(bytes([1, ord("a") + number % 26]) + b"\0", number) for number in range(PICKS)]
    assert picked(queries) == ([one[12:-2] for one in queries], PICKS)
    assert picked([]) == ([], 0)


def test_repeated_questions_are_picked_again(picked: Pass) -> None:
    octets, passed = picked([query("www.example.com")] * 20)
    assert (len(octets), passed) == (20, 20)


@pytest.mark.parametrize("total", [PICKS + 1, 2_000, 30_000])
def test_many_queries_are_counted_and_evenly_picked(picked: Pass, total: int) -> None:
    quarters: Counter[int] = Counter()
    every = [question(bytes([1, ord("a") + number * 4 // total]) + b"\0", 1) for number in range(total)]
    for _ in range(4):
        octets, passed = picked(every)
        assert passed == total
        assert PICKS / 8 < len(octets) <= PICKS
        quarters.update(one[1] for one in octets)
    shares = [count / sum(quarters.values()) for count in quarters.values()]
    assert len(shares) == 4
    assert max(shares) < 0.35


def test_clients_cannot_fall_into_step_with_the_interval(picked: Pass) -> None:
    """Two names in turn: a fixed even interval would pick only one of them."""
    found: Counter[bytes] = Counter()
    for _ in range(8):
        found.update(picked([query("a."), query("b.")] * 2_000)[0])
    assert min(found.values()) / sum(found.values()) > 0.35
    assert len(found) == 2
