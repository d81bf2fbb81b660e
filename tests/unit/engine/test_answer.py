"""Compiled answers, decoded by dnspython: constant bodies, compression, reduction to the available room."""

from __future__ import annotations

import struct

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import pytest

from dnsd.engine.answer import ALWAYS_FITS, QUESTION_NAME, Answer, Rrset, build_answer, head_index
from dnsd.wire.message import CD, NOERROR, NXDOMAIN, RD, pack_opt
from dnsd.wire.rdata import pack_rdata, parse_rdata_text, parse_type_text
from tests.packets import wire_name

# Question names from the shortest to the longest.
QNAMES = [".", "a.", "www.example.com.", "a." * 60 + "example.com.", ".".join(["a" * 63] * 3 + ["b" * 61]) + "."]


def rrset(owner: str | None, rtype: str, *texts: str, ttl: int = 300) -> Rrset:
    number = parse_type_text(rtype)
    rdatas = tuple(pack_rdata(parse_rdata_text(number, text)) for text in texts)
    return Rrset(None if owner is None else wire_name(owner), number, ttl, rdatas)


def decoded(answer: Answer, qname: str, *, head: int = 0) -> dns.message.Message:
    name = wire_name(qname)
    start = 12 + len(name) + 4
    opt = pack_opt(do=False) if head & 4 else b""
    question = name + struct.pack("!2H", 1, 1)
    return dns.message.from_wire(b"\0\1" + answer.heads[head] + question + answer.body_at(start) + opt)


def records(section: list[dns.rrset.RRset]) -> list[tuple[bytes, int, int, bytes]]:
    return [
        (wire_name(rrset.name.to_text()), int(rrset.rdtype), int(rrset.ttl), rdata.to_wire())
        for rrset in section
        for rdata in rrset
    ]


def expected(section: tuple[Rrset, ...], qname: str) -> list[tuple[bytes, int, int, bytes]]:
    return [
        (wire_name(qname) if rrset.owner is None else rrset.owner, rrset.rtype, rrset.ttl, rdata)
        for rrset in section
        for rdata in rrset.rdatas
    ]


HOSTS = [f"ns{number}.delegated.example.com." for number in range(13)]
GLUE = [rrset(host, rtype, ip) for host in HOSTS for rtype, ip in (("A", "192.0.2.53"), ("AAAA", "2001:db8::53"))]
LONG = ".".join(["label" * 10] * 4) + "."
BODIES = {
    "nothing": build_answer(rcode=NXDOMAIN),
    "one address": build_answer([rrset(None, "A", "192.0.2.1")]),
    "several addresses": build_answer([rrset(None, "AAAA", "2001:db8::1", "2001:db8::2")]),
    "no data": build_answer(
        authority=[rrset("example.com.", "SOA", "ns1.example.net. hostmaster.example.com. 1 2 3 4 5")]
    ),
    "a chain": build_answer(
        [rrset(None, "CNAME", "b.example.com."), rrset("b.example.com.", "A", "192.0.2.1", ttl=60)]
    ),
    "a long chain": build_answer(
        [
            rrset(None, "CNAME", f"n0.{LONG}"),
            *(rrset(f"n{number}.{LONG}", "CNAME", f"n{number + 1}.{LONG}") for number in range(7)),
        ]
    ),
    "a referral with glue": build_answer(
        authority=[rrset("delegated.example.com.", "NS", *HOSTS)], glue=GLUE[:6], optional_glue=GLUE[6:], aa=False
    ),
    "mail servers": build_answer([rrset(None, "MX", *(f"{n} Mail{n}.Example.com." for n in range(20)))]),
    "names that are not to be compressed": build_answer(
        [rrset(None, "SRV", *(f"0 0 {n} sip.example.com." for n in range(30)))]
    ),
    "case is kept in compression": build_answer(
        [rrset(None, "NS", *(f"n{n}.{('Example', 'example')[n % 2]}.com." for n in range(40)))]
    ),
    "pointers farther than 16,383 octets": build_answer(
        [
            rrset(None, "TXT", *(f'"{n:03}{"x" * 200}"' for n in range(80))),
            rrset("n.example.org.", "NS", *(f"n{n}.example.net." for n in range(80))),
        ]
    ),
}


@pytest.mark.parametrize("qname", QNAMES, ids=len)
@pytest.mark.parametrize("answer", BODIES.values(), ids=BODIES.keys())
def test_dnspython_reads_compiled_answers(answer: Answer, qname: str) -> None:
    message = decoded(answer, qname)
    assert records(message.answer) == expected(answer.answer, qname)
    assert records(message.authority) == expected(answer.authority, qname)
    assert records(message.additional) == expected(answer.additional, qname)
    assert message.rcode() == answer.rcode
    assert bool(message.flags & dns.flags.AA) is answer.aa


def test_owner_is_a_pointer_to_the_question() -> None:
    assert BODIES["one address"].body == QUESTION_NAME + bytes.fromhex("0001 0001 0000012c 0004 c0000201")


def test_small_bodies_are_constant() -> None:
    for name in ("nothing", "one address", "several addresses", "no data", "a chain"):
        answer = BODIES[name]
        assert len(answer.body) <= ALWAYS_FITS, name
        assert answer.body_at(17) is answer.body_at(270) is answer.body, name


def test_large_bodies_are_compressed() -> None:
    for name in ("a long chain", "a referral with glue", "mail servers"):
        answer = BODIES[name]
        plain = sum(
            len(r.owner or b"..") + 10 + len(d)
            for r in (*answer.answer, *answer.authority, *answer.additional)
            for d in r.rdatas
        )
        assert answer.pointers, name
        assert len(answer.body) < plain * 3 / 4, name


def test_names_in_srv_are_written_in_full() -> None:
    """RFC 2782: no compression of the target, for answers of any size."""
    answer = BODIES["names that are not to be compressed"]
    assert answer.body.count(b"\x03sip\x07example\x03com\0") == 30


HEADS = {
    "plain": (0, False, 0, 0),
    "RD": (RD, False, dns.flags.RD, 0),
    "CD": (CD, False, dns.flags.CD, 0),
    "RD and CD": (RD | CD, False, dns.flags.RD | dns.flags.CD, 0),
    "EDNS": (0, True, 0, 1),
    "all": (RD | CD, True, dns.flags.RD | dns.flags.CD, 1),
    "flags that are not copied": (0x0400 | 0x0200 | 0x0080 | 0x0040 | 0x0020, False, 0, 0),
}


@pytest.mark.parametrize(("flags", "edns", "copied", "opts"), HEADS.values(), ids=HEADS.keys())
def test_head(flags: int, edns: bool, copied: int, opts: int) -> None:
    head = BODIES["one address"].heads[head_index(flags, edns=edns)]
    assert struct.unpack("!5H", head) == (0x8400 | copied, 1, 1, 0, opts)


REFERRAL = BODIES["a referral with glue"]


@pytest.mark.parametrize("room", [*range(0, len(REFERRAL.body) + 1, 7), len(REFERRAL.body) - 1])
def test_fitted_leaves_optional_glue_out_or_says_so(room: int) -> None:
    """RFC 9471 §2.2: glue of the delegated zone's own servers is required; other glue may be left out without TC."""
    if room >= len(REFERRAL.body):
        return
    fitted = REFERRAL.fitted(room)
    assert len(fitted.body) <= room
    message = decoded(fitted, "x.delegated.example.com.", head=4)
    if message.flags & dns.flags.TC:
        assert (message.answer, message.authority, message.additional) == ([], [], [])
        assert room < min(size for size, _ in REFERRAL.shorter)
    else:
        given = records(message.additional)
        assert given == expected(REFERRAL.additional, "")[: len(given)]
        assert len(given) >= 6
        assert records(message.authority) == expected(REFERRAL.authority, "")


def test_as_much_glue_as_fits() -> None:
    """With one octet too few, exactly one RRset is left out; with the room of `shorter`, exactly its difference."""
    for size, additional in REFERRAL.shorter:
        assert len(decoded(REFERRAL.fitted(size), "a.").additional) == additional
        assert len(decoded(REFERRAL.fitted(size + 1), "a.").additional) == additional


def test_truncated_answer_has_no_records_and_keeps_its_rcode() -> None:
    denial = build_answer([rrset(None, "TXT", '"' + "x" * 250 + '"')], rcode=NXDOMAIN)
    message = decoded(denial.fitted(10), "a.", head=4)
    assert message.flags & dns.flags.TC
    assert message.rcode() == NXDOMAIN
    assert (message.answer, message.edns) == ([], 0)


def test_answers_without_records_always_fit() -> None:
    assert build_answer().fitted(0).heads == build_answer(rcode=NOERROR).fitted(0).heads
