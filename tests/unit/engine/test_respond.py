"""`respond`, octets in and octets out: the protocol rules, one by one."""

from __future__ import annotations

import struct

import dns.flags
import dns.message
import dns.rcode
import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.model.fields import parse_ip
from tests.models import dataset, proxied, record, zone, zone_map
from tests.packets import NSID_OPTION, QUERY_ID, answers, opt, query, rcode_text, shown

POOL = ("198.51.100.10", "198.51.100.11", "2001:db8:f::10")
OPTIONS = Options(tuple(map(parse_ip, POOL)), version="dnsd 1", identity="lab-1", nsid="lab-1")

ZONES = [
    zone(
        "example.com",
        [
            proxied("www A 192.0.2.1"),
            record("dns A 192.0.2.2", ttl=3600),
            record("CaSe A 192.0.2.3"),
            record("a CNAME dns.example.com", ttl=600),
            record("out CNAME www.elsewhere.example"),
            record("*.wild TXT wild"),
            record("sub NS ns.sub.example.com", ttl=3600),
            record("sub NS ns.other.example"),
            record("ns.sub A 192.0.2.53"),
            *(record(f"far NS ns{n}.glue.example.com") for n in range(30)),
            *(record(f"ns{n}.glue A 192.0.2.{n}") for n in range(30)),
            *(record(f"ns{n}.glue AAAA 2001:db8::{n}") for n in range(30)),
            record("d DNAME other.example.com"),
            record("dns.other A 192.0.2.4"),
            record(r"a\000b A 192.0.2.5"),
            record(r"a\.b A 192.0.2.6"),
            *(record(f"sized TXT {n:02}{'x' * 18}") for n in range(32)),
        ],
    ),
    zone("secret.example", [record("www A 192.0.2.9")], status="initializing"),
]


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(dataset(ZONES, {"a1/m": zone_map("example.com", "203.0.113.10")}), OPTIONS)


def ask(snapshot: Snapshot, message: bytes, *, stream: bool = False) -> bytes:
    reply = respond(snapshot, message, stream=stream)
    assert reply is not None
    return reply


def flags_of(reply: bytes) -> set[str]:
    return set(dns.flags.to_text(dns.message.from_wire(reply).flags).split())


WWW = query("www.example.com")
SILENCE = {
    "nothing": b"",
    "shorter than a header": WWW[:11],
    "a response": query("www.example.com", flags=0x8000),
    "a response without a question": struct.pack("!6H", 1, 0x8000, 0, 0, 0, 0),
    "a malformed response": query("www.example.com", flags=0x8000)[:-1],
    "a response of another opcode": query("www.example.com", flags=0xA800),
}


@pytest.mark.parametrize("message", SILENCE.values(), ids=SILENCE.keys())
def test_silence(snapshot: Snapshot, message: bytes) -> None:
    assert respond(snapshot, message) is None
    assert respond(snapshot, message, stream=True) is None


UNREADABLE = {
    "a header alone": WWW[:12],
    "no question": query("www.example.com", counts=(0, 0, 0, 0)),
    "a pointer in the question": query(b"\xc0\x0c"),
    "a label over 63 octets": query(b"\x40" + b"a" * 64 + b"\0"),
    "a name over 255 octets": query(
        b"\x3f" + b"a" * 63 + b"\x3f" + b"b" * 63 + b"\x3f" + b"c" * 63 + b"\x3f" + b"d" * 63 + b"\0"
    ),
    "no class": WWW[:-1],
    "no type": WWW[:-4],
    "a name cut short": WWW[:-6],
}


@pytest.mark.parametrize("opcode", [0, 2, 4, 5, 15])
@pytest.mark.parametrize("message", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable_question(snapshot: Snapshot, message: bytes, opcode: int) -> None:
    """Only a header: of the query only the id and the flags that RFC 1035 §4.1.1 copies."""
    flags = int.from_bytes(message[2:4]) & 0x0100 | opcode << 11
    sent = message[:2] + flags.to_bytes(2) + message[4:]
    rcode = 4 if opcode else 1
    assert ask(snapshot, sent) == message[:2] + struct.pack("!5H", 0x8000 | flags | rcode, 0, 0, 0, 0)


def test_query_cut_anywhere(snapshot: Snapshot) -> None:
    whole = query("www.example.com", after=opt(options=NSID_OPTION))
    for size in range(len(whole)):
        reply = respond(snapshot, whole[:size])
        assert (reply is None) if size < 12 else (reply is not None and reply[3] & 0xF == dns.rcode.FORMERR), size


# name, type, then rcode, AA, records in answer and authority
REPLIES = {
    "data": ("dns.example.com", "A", "NOERROR", True, 1, 0),
    "no data": ("dns.example.com", "AAAA", "NOERROR", True, 0, 1),
    "no such name": ("nope.example.com", "A", "NXDOMAIN", True, 0, 1),
    "the parent of a name": ("wild.example.com", "A", "NOERROR", True, 0, 1),
    "a wildcard": ("x.y.wild.example.com", "TXT", "NOERROR", True, 1, 0),
    "a proxied name": ("www.example.com", "A", "NOERROR", True, 1, 0),
    "a chain": ("a.example.com", "A", "NOERROR", True, 2, 0),
    "a chain that leaves": ("out.example.com", "A", "NOERROR", True, 1, 0),
    "a chain to no data": ("a.example.com", "AAAA", "NOERROR", True, 1, 1),
    "below a DNAME": ("dns.d.example.com", "A", "NOERROR", True, 3, 0),
    "a delegation": ("x.sub.example.com", "A", "NOERROR", False, 0, 2),
    "DS at a delegation": ("sub.example.com", "DS", "NOERROR", True, 0, 1),
    "another server's zone": ("www.example.org", "A", "REFUSED", False, 0, 0),
    "a zone that is not set up": ("www.secret.example", "A", "REFUSED", False, 0, 0),
    "the apex of a zone that is not set up": ("secret.example", "SOA", "REFUSED", False, 0, 0),
    "the root": (".", "NS", "REFUSED", False, 0, 0),
    "ANY": ("dns.example.com", "ANY", "NOERROR", True, 1, 0),
    "RRSIG": ("dns.example.com", "RRSIG", "NOERROR", True, 0, 1),
    "AXFR of a zone": ("example.com", "AXFR", "REFUSED", False, 0, 0),
    "AXFR of a name": ("www.example.com", "AXFR", "NOTAUTH", False, 0, 0),
    "IXFR of another server's zone": ("example.org", "IXFR", "NOTAUTH", False, 0, 0),
    "an unknown type": ("dns.example.com", "TYPE65534", "NOERROR", True, 0, 1),
    "a zero octet in a label": (b"\x03a\0b\x07example\x03com\0", "A", "NOERROR", True, 1, 0),
    "a dot in a label": (b"\x03a.b\x07example\x03com\0", "A", "NOERROR", True, 1, 0),
    "a label that begins like a name": (b"\x0edns\x07example\x03co\0", "A", "REFUSED", False, 0, 0),
    "a zero octet that ends a known name early": (b"\x04dns\0\x07example\x03com\0", "A", "NXDOMAIN", True, 0, 1),
}


@pytest.mark.parametrize(("name", "qtype", "rcode", "aa", "answer", "authority"), REPLIES.values(), ids=REPLIES.keys())
def test_reply(
    snapshot: Snapshot, name: str | bytes, qtype: str, rcode: str, aa: bool, answer: int, authority: int
) -> None:
    reply = ask(snapshot, query(name, qtype))
    assert rcode_text(reply) == rcode
    assert ("AA" in flags_of(reply)) is aa
    assert struct.unpack_from("!2H", reply, 6) == (answer, authority)
    assert reply[:2] == QUERY_ID.to_bytes(2)


FLAGS = {
    "none": (0, {"QR", "AA"}),
    "RD": (0x0100, {"QR", "AA", "RD"}),
    "CD": (0x0010, {"QR", "AA", "CD"}),
    "RD and CD": (0x0110, {"QR", "AA", "RD", "CD"}),
    "AA, TC, RA, Z, AD and an rcode": (0x06EF, {"QR", "AA"}),
}


@pytest.mark.parametrize(("sent", "received"), FLAGS.values(), ids=FLAGS.keys())
def test_flags(snapshot: Snapshot, sent: int, received: set[str]) -> None:
    for after in (b"", opt()):
        reply = ask(snapshot, query("dns.example.com", flags=sent, after=after))
        assert flags_of(reply) == received
        assert rcode_text(reply) == "NOERROR"


@pytest.mark.parametrize(
    "name", [b"\x03wWw\x07eXaMpLe\x03CoM\0", b"\x04cAsE\x07EXAMPLE\x03com\0", b"\x02nO\x07Example\x03com\0"]
)
def test_question_is_echoed_byte_for_byte(snapshot: Snapshot, name: bytes) -> None:
    """Resolvers use the case as entropy (0x20); the answer's owner name is a pointer to the question."""
    message = query(name)
    reply = ask(snapshot, message)
    assert reply[12 : len(message)] == message[12:]
    if struct.unpack_from("!H", reply, 6)[0]:
        assert reply[len(message) : len(message) + 2] == b"\xc0\x0c"


def test_octets_beyond_ascii_are_not_folded(snapshot: Snapshot) -> None:
    assert rcode_text(ask(snapshot, query(b"\x02\xc3\xa9\x07example\x03com\0"))) == "NXDOMAIN"


# EDNS

EDNS = {
    "no EDNS in the query or the reply": (b"", -1, 0, "NOERROR"),
    "plain": (opt(), 0, 0, "NOERROR"),
    "DO": (opt(flags=0x8000), 0, 0x8000, "NOERROR"),
    "Z bits": (opt(flags=0x7FFF), 0, 0, "NOERROR"),
    "an unknown option": (opt(options=struct.pack("!HH", 65_001, 0)), 0, 0, "NOERROR"),
    "version 1": (opt(version=1), 0, 0, "BADVERS"),
    "version 255 and DO": (opt(version=255, flags=0x8000), 0, 0x8000, "BADVERS"),
}


@pytest.mark.parametrize(("sent", "version", "flags", "rcode"), EDNS.values(), ids=EDNS.keys())
def test_edns(snapshot: Snapshot, sent: bytes, version: int, flags: int, rcode: str) -> None:
    reply = ask(snapshot, query("dns.example.com", after=sent))
    message = dns.message.from_wire(reply)
    assert (message.edns, message.ednsflags & 0xFFFF) == (version, flags)
    assert rcode_text(reply) == rcode
    if sent:
        assert message.payload == 1232
        assert message.options == ()
    assert bool(message.answer) is (rcode == "NOERROR")


@pytest.mark.parametrize(
    ("name", "qtype"), [("www.example.org", "A"), ("example.com", "AXFR"), ("version.bind", "TXT")]
)
def test_later_edns_comes_before_all_else(snapshot: Snapshot, name: str, qtype: str) -> None:
    reply = ask(snapshot, query(name, qtype, qclass=3 if qtype == "TXT" else 1, after=opt(version=1)))
    assert rcode_text(reply) == "BADVERS"
    assert shown(reply) == {"answer": [], "authority": [], "additional": []}


def options_of(reply: bytes) -> dict[int, bytes]:
    return {int(option.otype): option.to_wire() for option in dns.message.from_wire(reply).options}


OPTION_CASES = {
    "NSID": ("dns.example.com", "A", NSID_OPTION, {3: b"lab-1"}),
    "NSID with data is a request too": ("dns.example.com", "A", struct.pack("!HH", 3, 2) + b"xx", {3: b"lab-1"}),
    "no such zone": ("www.example.org", "A", b"", {15: b"\0\x14"}),
    "no such zone, and NSID": ("www.example.org", "A", NSID_OPTION, {3: b"lab-1", 15: b"\0\x14"}),
    "a zone transfer": ("example.com", "AXFR", b"", {15: b"\0\x12"}),
    "a transfer of no zone": ("www.example.com", "AXFR", b"", {15: b"\0\x14"}),
}


@pytest.mark.parametrize(("name", "qtype", "sent", "expected"), OPTION_CASES.values(), ids=OPTION_CASES.keys())
def test_options(snapshot: Snapshot, name: str, qtype: str, sent: bytes, expected: dict[int, bytes]) -> None:
    assert options_of(ask(snapshot, query(name, qtype, after=opt(options=sent)))) == expected
    assert struct.unpack_from("!H", ask(snapshot, query(name, qtype)), 10) == (0,)  # no EDNS, no OPT


def test_nsid_is_sent_only_where_configured() -> None:
    bare = build_snapshot(dataset(ZONES, {}), Options(OPTIONS.default_addresses))
    assert options_of(ask(bare, query("dns.example.com", after=opt(options=NSID_OPTION)))) == {}


# Other classes

CLASSES = {
    "version.bind": ("version.bind", "TXT", 3, "NOERROR", ['"dnsd 1"']),
    "any case": (b"\x07VERSION\x04bind\0", "TXT", 3, "NOERROR", ['"dnsd 1"']),
    "version.server": ("version.server", "TXT", 3, "NOERROR", ['"dnsd 1"']),
    "id.server": ("id.server", "TXT", 3, "NOERROR", ['"lab-1"']),
    "hostname.bind": ("hostname.bind", "TXT", 3, "NOERROR", ['"lab-1"']),
    "another type": ("version.bind", "A", 3, "REFUSED", []),
    "another name": ("authors.bind", "TXT", 3, "REFUSED", []),
    "a name of ours in CH": ("dns.example.com", "TXT", 3, "REFUSED", []),
    "a CH name in IN": ("version.bind", "TXT", 1, "REFUSED", []),
    "HS": ("dns.example.com", "A", 4, "REFUSED", []),
    "ANY": ("dns.example.com", "A", 255, "NOERROR", ["192.0.2.2"]),
    "a CH name in ANY": ("version.bind", "TXT", 255, "REFUSED", []),
    "NONE": ("dns.example.com", "A", 254, "REFUSED", []),
    "0": ("dns.example.com", "A", 0, "REFUSED", []),
}


@pytest.mark.parametrize(("name", "qtype", "qclass", "rcode", "texts"), CLASSES.values(), ids=CLASSES.keys())
def test_class(snapshot: Snapshot, name: str | bytes, qtype: str, qclass: int, rcode: str, texts: list[str]) -> None:
    reply = ask(snapshot, query(name, qtype, qclass=qclass))
    assert (rcode_text(reply), answers(reply)) == (rcode, texts)
    assert "AA" not in flags_of(reply)


def test_server_reveals_nothing_of_itself_by_default() -> None:
    bare = build_snapshot(dataset(ZONES, {}), Options(OPTIONS.default_addresses))
    for name in ("version.bind", "version.server", "id.server", "hostname.bind"):
        assert rcode_text(ask(bare, query(name, "TXT", qclass=3))) == "REFUSED"


# Truncation

SIZED = "sized.example.com"


def strings(size: int) -> Snapshot:
    """A zone with one TXT record whose reply has `size` octets without EDNS."""
    data = size - 12 - (len(SIZED) + 2 + 4) - 12
    whole, rest = divmod(data, 256)
    content = [f'"{"x" * 255}"'] * whole + ([f'"{"x" * (rest - 1)}"'] if rest else [])
    return build_snapshot(dataset([zone("example.com", [record(f"sized TXT {' '.join(content)}")])], {}), OPTIONS)


# Octets of the whole reply without OPT, the client's OPT, whether the reply is whole
LIMITS = {
    "512 without EDNS": (512, b"", True),
    "513 without EDNS": (513, b"", False),
    "512 with a size of 512": (501, opt(size=512), True),
    "513 with a size of 512": (502, opt(size=512), False),
    "512 with a size of 100": (501, opt(size=100), True),
    "513 with a size of 0": (502, opt(size=0), False),
    "1000 with a size of 1000": (989, opt(size=1000), True),
    "1001 with a size of 1000": (990, opt(size=1000), False),
    "1232 with a size of 1232": (1221, opt(size=1232), True),
    "1233 with a size of 1232": (1222, opt(size=1232), False),
    "1232 with a size of 65,535": (1221, opt(size=65_535), True),
    "1233 with a size of 65,535": (1222, opt(size=65_535), False),
}


@pytest.mark.parametrize(("size", "sent", "whole"), LIMITS.values(), ids=LIMITS.keys())
def test_truncation(size: int, sent: bytes, whole: bool) -> None:
    message = query(SIZED, "TXT", after=sent)
    sized = strings(size)
    reply = ask(sized, message)
    assert ("TC" in flags_of(reply)) is not whole
    if whole:
        assert len(reply) == size + len(opt() if sent else b"")
    else:
        # header, question and OPT only
        question = query(SIZED, "TXT")[12:]
        assert reply[12:] == question + (opt(size=1232) if sent else b"")
        assert struct.unpack_from("!4H", reply, 4) == (1, 0, 0, bool(sent))
        assert "AA" in flags_of(reply)
    assert "TC" not in flags_of(ask(sized, message, stream=True))


def test_stream_takes_the_largest_rrset() -> None:
    reply = ask(strings(59_000), query(SIZED, "TXT", after=opt(size=512)), stream=True)
    assert "TC" not in flags_of(reply)
    assert len(reply) == 59_000 + len(opt())


@pytest.mark.parametrize(("sent", "limit"), [(b"", 512), (opt(size=1000), 1000), (opt(size=4096), 1232)])
def test_optional_glue_is_left_out(snapshot: Snapshot, sent: bytes, limit: int) -> None:
    reply = ask(snapshot, query("far.example.com", after=sent))
    assert len(reply) <= limit
    assert "TC" not in flags_of(reply) or limit == 512
    assert len(ask(snapshot, query("far.example.com", after=sent), stream=True)) > len(reply)


def test_referral(snapshot: Snapshot) -> None:
    assert shown(ask(snapshot, query("x.sub.example.com"))) == {
        "answer": [],
        "authority": [
            "sub.example.com. 300 IN NS ns.sub.example.com.",
            "sub.example.com. 300 IN NS ns.other.example.",
        ],
        "additional": ["ns.sub.example.com. 300 IN A 192.0.2.53"],
    }


def test_negative_answers_carry_the_soa_with_the_lower_ttl(snapshot: Snapshot) -> None:
    """RFC 2308 §3: the SOA's TTL is 3600, its minimum 300."""
    line = "example.com. 300 IN SOA ns1.example.net. hostmaster.example.com. 1 10000 2400 604800 300"
    for name in ("nope.example.com", "dns.example.com"):
        assert shown(ask(snapshot, query(name, "AAAA")))["authority"] == [line]


@pytest.mark.parametrize("name", ["www.example.com", "dns.example.com", "example.com", "a.example.com"])
def test_any_follows_rfc_8482(snapshot: Snapshot, name: str) -> None:
    assert answers(ask(snapshot, query(name, "ANY"))) == ['"RFC8482" ""']


def test_addresses_of_a_map_in_their_order(snapshot: Snapshot) -> None:
    assert shown(ask(snapshot, query("www.example.com")))["answer"] == ["www.example.com. 300 IN A 203.0.113.10"]
    assert answers(ask(snapshot, query("www.example.com", "HTTPS"))) == ['1 . alpn="h3,h2" ipv4hint="203.0.113.10"']
