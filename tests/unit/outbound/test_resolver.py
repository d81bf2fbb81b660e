"""Questions to resolvers that are honest, lie, are slow, cut their answers, or answer late."""

from __future__ import annotations

import asyncio
import copy
import socket
import time
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.name
import dns.rcode
import pytest

from dnsd.outbound.protocol import AnswerKind, OutsideAnswer, OutsideQuestion
from dnsd.outbound.resolver import MAX_RDATAS, ROUNDS, look_up
from dnsd.process.link import MAX_REQUEST
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import NS, TXT
from tests.fake_resolver import Behaviour, FakeResolver, Sent, fake_resolver, framed, honest

NAME = "cloudflare-verify.shop.test"
TRUE = OutsideAnswer(AnswerKind.DATA, (b"\x04true",))
NO_ANSWER = OutsideAnswer(AnswerKind.NO_ANSWER)
WAIT_S = 0.3


@pytest.fixture
def resolver() -> Iterator[FakeResolver]:
    with fake_resolver() as resolver:
        resolver.answers = {(f"{NAME}.", "TXT"): ['"true"']}
        yield resolver


def asked(*resolvers: FakeResolver | tuple[str, int], rtype: int = TXT, timeout_s: float = WAIT_S) -> OutsideAnswer:
    addresses = tuple(one.address if isinstance(one, FakeResolver) else one for one in resolvers)
    return asyncio.run(look_up(OutsideQuestion(parse_name_text(NAME), rtype, addresses), timeout_s=timeout_s))


def forged(reply: dns.message.Message, change: Callable[[dns.message.Message], object]) -> bytes:
    false = copy.deepcopy(reply)
    for rrset in false.answer:
        false.answer = [dns.rrset.from_text(rrset.name, 60, "IN", "TXT", '"false"')]
    change(false)
    return false.to_wire()


def other_id(reply: dns.message.Message) -> None:
    reply.id ^= 1


def other_name(reply: dns.message.Message) -> None:
    reply.question[0].name = dns.name.from_text("other.test.")


def no_reply(reply: dns.message.Message) -> None:
    reply.flags &= ~dns.flags.QR


LIES: dict[str, Behaviour] = {
    "another id": lambda reply: [forged(reply, other_id)],
    "another question": lambda reply: [forged(reply, other_name)],
    "a query": lambda reply: [forged(reply, no_reply)],
    "junk": lambda reply: [b"", b"x", bytes(11), bytes(12), b"\xff" * 300, forged(reply, other_id)[:20]],
    "pointers in a circle": lambda reply: [reply.to_wire()[:12] + b"\xc0\x0c\0\x10\0\1"],
    "a flood": lambda reply: [forged(reply, other_id)] * 300,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_lies_are_ignored(resolver: FakeResolver, lie: Behaviour) -> None:
    resolver.udp = lie
    assert asked(resolver) == NO_ANSWER
    assert len(resolver.asked) <= ROUNDS
    resolver.udp = lambda reply: [*list(lie(reply))[:50], *honest(reply)]
    assert asked(resolver, timeout_s=5) == TRUE


def test_datagrams_of_others_are_ignored(resolver: FakeResolver) -> None:
    with fake_resolver() as other:

        def from_elsewhere(reply: dns.message.Message) -> Sent:
            client = ("127.0.0.1", resolver.asked[-1].port)
            other._datagram.sendto(forged(reply, lambda reply: None), client)
            return honest(reply)

        resolver.udp = from_elsewhere
        assert asked(resolver, timeout_s=5) == TRUE


def truncated(reply: dns.message.Message) -> Sent:
    return [forged(reply, lambda reply: setattr(reply, "flags", reply.flags | dns.flags.TC))]


def cut(reply: dns.message.Message) -> Sent:
    """Truncated in the middle of a record."""
    return [next(iter(truncated(reply)))[:-3]]


STREAMS: dict[str, tuple[Behaviour, OutsideAnswer]] = {
    "honest": (framed, TRUE),
    "in octets": (lambda reply: [bytes([octet]) for octet in b"".join(framed(reply))], TRUE),
    "truncated again": (lambda reply: [len(one).to_bytes(2) + one for one in truncated(reply)], NO_ANSWER),
    "another id": (lambda reply: [len(one).to_bytes(2) + one for one in LIES["another id"](reply)], NO_ANSWER),
    "closed": (lambda reply: [], NO_ANSWER),
    "closed in the middle": (lambda reply: [b"".join(framed(reply))[:-3]], NO_ANSWER),
}


@pytest.mark.parametrize("udp", [truncated, cut])
@pytest.mark.parametrize(("tcp", "expected"), STREAMS.values(), ids=STREAMS.keys())
def test_truncated_answer_is_asked_for_over_tcp(
    resolver: FakeResolver, udp: Behaviour, tcp: Behaviour, expected: OutsideAnswer
) -> None:
    resolver.udp, resolver.tcp = udp, tcp
    assert asked(resolver, timeout_s=2) == expected


def test_late_answer_is_not_taken_for_a_later_one(resolver: FakeResolver) -> None:
    def late(reply: dns.message.Message) -> Sent:
        time.sleep(2 * WAIT_S)
        return [forged(reply, lambda reply: None)]

    with fake_resolver(late) as slow:
        slow.answers = resolver.answers
        assert asked(slow, resolver) == TRUE
        assert asked(slow) == NO_ANSWER


RCODES = [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR, dns.rcode.NOTIMP]


@pytest.mark.parametrize("rcode", RCODES, ids=map(dns.rcode.to_text, RCODES))
def test_failed_resolver_leaves_the_question_to_the_next(resolver: FakeResolver, rcode: dns.rcode.Rcode) -> None:
    with fake_resolver() as failing:
        failing.rcodes = {(f"{NAME}.", "TXT"): rcode}
        assert asked(failing, resolver) == TRUE
        assert asked(failing) == NO_ANSWER


def test_closed_port_costs_no_time(resolver: FakeResolver) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept:  # from other tests; connected, it hears no others
        kept.bind(("127.0.0.1", 0))
        closed = kept.getsockname()
        kept.connect(resolver.address)
        assert asked(closed, resolver, timeout_s=60) == TRUE
        assert asked(closed, timeout_s=60) == NO_ANSWER
    assert asked() == NO_ANSWER


def test_only_data_at_the_name_itself_counts(resolver: FakeResolver) -> None:
    def aliased(reply: dns.message.Message) -> Sent:
        alias = dns.rrset.from_text(f"{NAME}.", 60, "IN", "CNAME", "else.where.")
        reply.answer = [alias, dns.rrset.from_text("else.where.", 60, "IN", "TXT", '"false"')]
        return [reply.to_wire()]

    resolver.udp = aliased
    assert asked(resolver) == OutsideAnswer(AnswerKind.NO_DATA)


def test_referral_is_no_answer(resolver: FakeResolver) -> None:
    resolver.udp = lambda reply: [forged(reply, lambda one: setattr(one, "flags", one.flags & ~dns.flags.RA))]
    assert asked(resolver) == NO_ANSWER


def test_answers_that_deny_and_answers_of_many_records(resolver: FakeResolver) -> None:
    assert asked(resolver, rtype=NS) == OutsideAnswer(AnswerKind.NO_DATA)
    resolver.answers = {}
    assert asked(resolver) == OutsideAnswer(AnswerKind.NO_NAME)
    resolver.answers = {(f"{NAME}.", "NS"): [f"Ns{number}.shop.test." for number in range(MAX_RDATAS + 9)]}
    found = asked(resolver, rtype=NS, timeout_s=5)
    assert len(found.rdatas) == MAX_RDATAS
    assert found.rdatas[0].lower().endswith(b"\x04shop\x04test\0")


def test_longest_answer_fits_into_a_message_to_control(resolver: FakeResolver) -> None:
    text = " ".join([f'"{"x" * 255}"'] * 2)
    resolver.udp, resolver.tcp = truncated, framed
    resolver.answers = {(f"{NAME}.", "TXT"): [f'"{number}" {text}' for number in range(100)]}
    found = asked(resolver, timeout_s=5)
    assert len(found.rdatas) > 10
    assert len(found.packed(2**63)) <= MAX_REQUEST


def test_ports_and_ids_are_random(resolver: FakeResolver) -> None:
    for _ in range(20):
        assert asked(resolver, timeout_s=5) == TRUE
    assert len({one.id for one in resolver.asked}) > 15
    assert len({one.port for one in resolver.asked}) > 10
