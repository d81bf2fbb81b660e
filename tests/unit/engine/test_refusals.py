"""A refusal has the question and an OPT record if those of the query are readable (RFC 6891 §6.1.1, §7)."""

from __future__ import annotations

import random
import struct

import dns.flags
import dns.message
import dns.rcode
import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.refuse import refuse
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.log import Log
from dnsd.metrics import Counts
from dnsd.model.fields import parse_ip
from dnsd.net.reply import Scope
from dnsd.wire.addresses import packed_ip
from dnsd.wire.cookies import Cookies
from dnsd.wire.message import MAX_OUTLINED
from dnsd.worker.answering import Answering, Serving
from tests.models import dataset, record, zone
from tests.packets import opt, query
from tests.refusals import APEX, CASES, TRANSFERS, Refused, expected_question, ixfr, option, soa
from tests.refusals import record as wire_record

POOL = ("198.51.100.10", "2001:db8:f::10")
COPIED = dns.flags.RD | dns.flags.CD
PEER = packed_ip("192.0.2.9")


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(dataset([zone(APEX, [record("www A 192.0.2.1")])], {}), Options(tuple(map(parse_ip, POOL))))


def parts(reply: bytes) -> tuple[str, bytes, bool]:
    """The extended rcode, the question's octets, and whether there is an OPT; other records than a TSIG fail."""
    _, flags, questions, answers, authorities, additional = struct.unpack_from("!6H", reply)
    assert (answers, authorities) == (0, 0)
    end = 12
    if questions:
        while length := reply[end]:
            end += 1 + length
        end += 5
    rest = reply[end:]
    has_opt = rest[:3] == b"\0\0\x29"
    assert additional == has_opt + (b"\0\xfa\0\xff" in rest)
    upper = rest[5] if has_opt else 0
    return dns.rcode.to_text(dns.rcode.Rcode(flags & 15 | upper << 4)), reply[12:end] if questions else b"", has_opt


@pytest.mark.parametrize("stream", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("refused", CASES.values(), ids=CASES.keys())
def test_refusal(snapshot: Snapshot, refused: Refused, stream: bool) -> None:
    reply = respond(snapshot, refused.message, stream=stream)
    assert reply is not None
    assert parts(reply) == (refused.rcode, expected_question(refused), refused.opt)
    sent, received = (int.from_bytes(message[2:4]) for message in (refused.message, reply))
    assert received & ~0xF == 0x8000 | sent & (0x7800 | COPIED)
    if refused.opt:
        at = 12 + len(expected_question(refused))
        size, _, version, flags = struct.unpack_from("!HBBH", reply, at + 3)
        assert (size, version, flags) == (1232, 0, 0x8000 if refused.do else 0)


@pytest.mark.parametrize("label", [label for label, refused in TRANSFERS.items() if refused.rcode == "REFUSED"])
def test_transfer_is_refused_as_prohibited(snapshot: Snapshot, label: str) -> None:
    message = TRANSFERS[label].message
    reply = respond(snapshot, message)
    assert reply is not None
    if TRANSFERS[label].opt:
        assert option(b"\0\x12", 15) in reply  # RFC 8914 §4.19
    # The client's version makes no difference: an IXFR without an SOA gets the same reply.
    assert reply[12:] == (respond(snapshot, without_soa(message)) or b"")[12:]


def without_soa(message: bytes) -> bytes:
    """The same message with an empty authority section."""
    at = message.find(b"\0\x06\0\x01\0\0\0\0", 12)
    if at < 0 or not message[9]:
        return message
    owner = at - 2 if message[at - 2] == 0xC0 else message.rindex(b"\x07example\x03com\0", 0, at)
    end = at + 10 + int.from_bytes(message[at + 8 : at + 10])
    return message[:8] + b"\0\0" + message[10:owner] + message[end:]


def test_ixfr_gets_the_cookie_that_it_may_have_asked_for(snapshot: Snapshot) -> None:
    answering = Answering(serving(snapshot), Counts(), Log(), "udp", "ipv4")
    message = ixfr(APEX, soa() + opt(options=option(b"8 octets")), (1, 0, 1, 1))
    reply = dns.message.from_wire(answering.respond(message, PEER) or b"")
    assert {int(one.otype): one.to_wire()[:8] for one in reply.options}[10] == b"8 octets"


@pytest.mark.parametrize("label", CASES)
def test_refusal_is_counted_and_not_kept_for_others(snapshot: Snapshot, label: str) -> None:
    counts = Counts()
    answering = Answering(serving(snapshot), counts, Log(), "udp", "ipv4")
    reply = answering.answer(CASES[label].message, PEER)
    is_kept = reply.scope != Scope.ONCE
    assert is_kept == label.startswith("a foreign name")  # a well-formed query, answered as usual
    answering.flush_tally()
    counted = {key[-1]: value for key, value in counts.take() if key[0] == "dnsd_responses_total"}
    assert counted == {CASES[label].rcode: 1}


def serving(snapshot: Snapshot) -> Serving:
    return Serving(snapshot, Cookies((bytes(16),)), None, query_sample=0)


def test_refusal_of_a_truncated_message_keeps_its_readable_parts() -> None:
    whole = ixfr(APEX, soa() + opt(flags=0x8000), (1, 0, 1, 1))
    question = query(APEX, "IXFR")[12:]
    for size in range(12, len(whole)):
        refusal = refuse(whole[:size])
        assert refusal is not None
        assert parts(refusal.reply) == ("FORMERR", question if size >= 12 + len(question) else b"", False)


def test_number_of_examined_records_is_bounded() -> None:
    """A message may have 5,000 records; senders of so many need no OPT record."""
    for count, has_opt in ((MAX_OUTLINED - 1, True), (MAX_OUTLINED, False), (5_000, False)):
        refusal = refuse(query(APEX, counts=(1, count, 0, 1), after=wire_record() * count + opt()))
        assert refusal is not None
        assert parts(refusal.reply)[1:] == (query(APEX)[12:], has_opt)
    refusal = refuse(query(APEX, counts=(65_535, 65_535, 65_535, 65_535), after=bytes(60_000)))
    assert refusal is not None
    assert parts(refusal.reply) == ("FORMERR", b"", False)


@pytest.mark.slow
def test_noise_is_refused_with_the_parts_that_dnspython_can_read() -> None:
    rng = random.Random(6891)
    messages = [refused.message for refused in CASES.values()]
    for _ in range(20_000):
        message = bytearray(rng.choice(messages))
        for _ in range(rng.randrange(1, 4)):
            message[rng.randrange(2, len(message))] = rng.randrange(256)
        refusal = refuse(bytes(message))
        assert (refusal is None) == (message[2] >= 0x80)
        if refusal is not None:
            assert len(refusal.reply) <= len(message) + 11
            assert refusal.reply[2] >> 3 & 0xF == message[2] >> 3
            # dnspython has special rules for the zone section of an UPDATE.
            reply = dns.message.from_wire(refusal.reply[:2] + bytes([refusal.reply[2] & 0x87]) + refusal.reply[3:])
            assert (reply.id, reply.rcode()) == (0xBEEF, refusal.rcode)
