"""Refused messages, each with the expected refusal: for unit tests, and for comparison with other servers.

The rule: a refusal repeats the question if it can be parsed, and has an OPT record if the query's can be parsed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tests.packets import QUERY_ID, opt, query, wire_name

DO = 0x8000
CD = 0x0010
COOKIE = 10

# The apex of a served zone, a name in it, and a name in no served zone, in the unit tests and the conformance tests.
APEX, WWW, FOREIGN = "example.com", "www.example.com", "www.example.edu"
POINTER = b"\xc0\x0c"  # to the query name
NAMES = b"\x02ns\xc0\x0c\x04host\xc0\x0c"
ALGORITHM = wire_name("hmac-sha512")
SIGNED = ALGORITHM + struct.pack("!6sHH", b"\0\0time", 300, 64) + bytes(64) + struct.pack("!3H", QUERY_ID, 0, 0)


@dataclass(frozen=True)
class Refused:
    """A message, and the expected refusal."""

    message: bytes
    rcode: str
    question: bool = True
    opt: bool = True
    do: bool = False


def record(
    rtype: int = 1, rdata: bytes = b"\xc0\x00\x02\x07", *, owner: bytes = POINTER, rclass: int = 1, ttl: int = 60
) -> bytes:
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, len(rdata)) + rdata


def soa(serial: int = 2026112901, *, owner: bytes = POINTER, names: bytes = NAMES) -> bytes:
    return record(6, names + struct.pack("!5I", serial, 7200, 3600, 1209600, 300), owner=owner, ttl=0)


def tsig(rdata: bytes = SIGNED) -> bytes:
    return record(250, rdata, owner=wire_name("xfr-key"), rclass=255, ttl=0)


def option(data: bytes, code: int = COOKIE) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def ixfr(name: str, records: bytes, counts: tuple[int, int, int, int], *, qclass: int = 1) -> bytes:
    return query(name, "IXFR", qclass=qclass, counts=counts, after=records, flags=0)


def of_opcode(
    opcode: int, after: bytes = b"", counts: tuple[int, int, int, int] = (1, 0, 0, 0), *, flags: int = 0
) -> bytes:
    return query(APEX, "SOA", flags=opcode << 11 | flags, counts=counts, after=after)


def without_question(after: bytes = b"", *, flags: int = 0) -> bytes:
    return struct.pack("!6H", QUERY_ID, flags, 0, 0, 0, bool(after)) + after


ONE_MORE, TWO_MORE = (1, 0, 0, 1), (1, 0, 0, 2)
ASKED = query(WWW)[12:]

TRANSFERS = {
    "IXFR": Refused(ixfr(APEX, soa(), (1, 0, 1, 0)), "REFUSED", opt=False),
    "IXFR with EDNS": Refused(ixfr(APEX, soa() + opt(), (1, 0, 1, 1)), "REFUSED"),
    "IXFR with DO": Refused(ixfr(APEX, soa(7) + opt(size=1232, flags=DO), (1, 0, 1, 1)), "REFUSED", do=True),
    "IXFR, names in full": Refused(
        ixfr(APEX, soa(owner=wire_name(APEX), names=wire_name("ns.x") * 2) + opt(), (1, 0, 1, 1)), "REFUSED"
    ),
    "IXFR, the SOA's names are roots": Refused(ixfr(APEX, soa(names=b"\0\0") + opt(), (1, 0, 1, 1)), "REFUSED"),
    "IXFR without an SOA": Refused(ixfr(APEX, opt(), ONE_MORE), "REFUSED"),
    "IXFR with a cookie": Refused(ixfr(APEX, soa() + opt(options=option(b"8 octets")), (1, 0, 1, 1)), "REFUSED"),
    "IXFR of a name in a zone": Refused(ixfr(WWW, soa() + opt(), (1, 0, 1, 1)), "NOTAUTH"),
    "IXFR of a foreign zone": Refused(ixfr(FOREIGN, soa() + opt(), (1, 0, 1, 1)), "NOTAUTH"),
    "IXFR of a foreign zone, no EDNS": Refused(ixfr(FOREIGN, soa(), (1, 0, 1, 0)), "NOTAUTH", opt=False),
    "IXFR, class HS": Refused(ixfr(APEX, soa() + opt(), (1, 0, 1, 1), qclass=4), "REFUSED"),
    "IXFR, EDNS version 3": Refused(ixfr(APEX, soa() + opt(version=3), (1, 0, 1, 1)), "BADVERS"),
    "IXFR, signed": Refused(ixfr(APEX, soa() + opt() + tsig(), (1, 0, 1, 2)), "NOTAUTH"),
    "IXFR, signed, no EDNS": Refused(ixfr(APEX, soa() + tsig(), (1, 0, 1, 1)), "NOTAUTH", opt=False),
    "IXFR, an A record in authority": Refused(ixfr(APEX, record() + opt(), (1, 0, 1, 1)), "FORMERR"),
    "IXFR, OPT in authority": Refused(ixfr(APEX, opt(), (1, 0, 1, 0)), "FORMERR", opt=False),
    "IXFR, an SOA without data": Refused(ixfr(APEX, record(6, b"") + opt(), (1, 0, 1, 1)), "FORMERR"),
    "IXFR, two SOAs": Refused(ixfr(APEX, soa() + soa() + opt(), (1, 0, 2, 1)), "FORMERR"),
    "IXFR, the SOA in the answer section": Refused(ixfr(APEX, soa() + opt(), (1, 1, 0, 1)), "FORMERR"),
    "IXFR, the SOA cut short": Refused(ixfr(APEX, soa()[:-1], (1, 0, 1, 0)), "FORMERR", opt=False),
    "IXFR, the SOA counted but missing": Refused(ixfr(APEX, b"", (1, 0, 1, 0)), "FORMERR", opt=False),
    "IXFR, trailing octets": Refused(ixfr(APEX, soa() + opt() + b"x", (1, 0, 1, 1)), "FORMERR"),
    "AXFR": Refused(query(APEX, "AXFR", flags=0, after=opt()), "REFUSED"),
    "AXFR, no EDNS": Refused(query(APEX, "AXFR", flags=0), "REFUSED", opt=False),
    "AXFR of a foreign zone": Refused(query(FOREIGN, "AXFR", flags=0, after=opt()), "NOTAUTH"),
    "AXFR, an SOA in authority": Refused(
        query(APEX, "AXFR", flags=0, after=soa() + opt(), counts=(1, 0, 1, 1)), "FORMERR"
    ),
}

SECTIONS = {
    "an answer in a query": Refused(query(WWW, counts=(1, 1, 0, 1), after=record() + opt()), "FORMERR"),
    "an answer, no EDNS": Refused(query(WWW, counts=(1, 1, 0, 0), after=record()), "FORMERR", opt=False),
    "an authority record in a query": Refused(query(WWW, counts=(1, 0, 1, 1), after=record() + opt()), "FORMERR"),
    "an SOA in authority of SOA": Refused(query(APEX, "SOA", counts=(1, 0, 1, 1), after=soa() + opt()), "FORMERR"),
    "records in all sections": Refused(query(WWW, counts=(1, 1, 1, 2), after=record() * 3 + opt()), "FORMERR"),
    "an answer, of a foreign name": Refused(query(FOREIGN, counts=(1, 1, 0, 1), after=record() + opt()), "FORMERR"),
    "an answer, and EDNS version 1": Refused(
        query(WWW, counts=(1, 1, 0, 1), after=record() + opt(version=1)), "BADVERS"
    ),
    "an answer counted but missing": Refused(query(WWW, counts=(1, 1, 0, 0)), "FORMERR", opt=False),
    "OPT in the answer section": Refused(query(WWW, counts=(1, 1, 0, 0), after=opt()), "FORMERR", opt=False),
    "OPT in the authority section": Refused(query(WWW, counts=(1, 0, 1, 0), after=opt()), "FORMERR", opt=False),
    "four additional records": Refused(query(WWW, counts=(1, 0, 0, 4), after=opt() + record() * 3), "FORMERR"),
    "octets after the question": Refused(query(WWW, counts=(1, 0, 0, 0), after=b"\0"), "FORMERR", opt=False),
    "octets after the OPT": Refused(query(WWW, counts=ONE_MORE, after=opt(flags=DO) + bytes(9)), "FORMERR", do=True),
    "OPT not counted": Refused(query(WWW, counts=(1, 0, 0, 0), after=opt()), "FORMERR", opt=False),
    "additional counted but missing": Refused(query(WWW, counts=ONE_MORE), "FORMERR", opt=False),
    "OPT, then a record cut short": Refused(query(WWW, counts=TWO_MORE, after=opt() + record()[:-1]), "FORMERR"),
    "a record cut short, then OPT": Refused(query(WWW, counts=TWO_MORE, after=record()[:-1]), "FORMERR", opt=False),
}

QUESTIONS = {
    "no question": Refused(without_question(opt()), "FORMERR", question=False),
    "no question, no EDNS": Refused(without_question(), "FORMERR", question=False, opt=False),
    "no question, and a cookie": Refused(without_question(opt(options=option(b"8 octets"))), "FORMERR", question=False),
    "no question, EDNS version 1": Refused(without_question(opt(version=1)), "BADVERS", question=False),
    "a question not counted": Refused(query(WWW, counts=(0, 0, 0, 0)), "FORMERR", question=False, opt=False),
    "two questions": Refused(query(WWW, counts=(2, 0, 0, 1), after=ASKED + opt()), "FORMERR", question=False),
    "two questions, no EDNS": Refused(
        query(WWW, counts=(2, 0, 0, 0), after=ASKED), "FORMERR", question=False, opt=False
    ),
    "three questions": Refused(query(WWW, counts=(3, 0, 0, 1), after=ASKED * 2 + opt()), "FORMERR", question=False),
    "two questions counted, one present": Refused(
        query(WWW, counts=(2, 0, 0, 0)), "FORMERR", question=False, opt=False
    ),
    "a name that points at itself": Refused(query(POINTER, after=opt()), "FORMERR", question=False, opt=False),
    "a name cut short": Refused(query(WWW)[:-7], "FORMERR", question=False, opt=False),
    "a question without its class": Refused(query(WWW)[:-2], "FORMERR", question=False, opt=False),
    "a label of type 01": Refused(query(b"\x41a\0", after=opt()), "FORMERR", question=False, opt=False),
}

EDNS = {
    "two OPTs": Refused(query(WWW, counts=TWO_MORE, after=opt() * 2), "FORMERR"),
    "two OPTs, the first of version 1": Refused(query(WWW, counts=TWO_MORE, after=opt(version=1) + opt()), "FORMERR"),
    "two OPTs around a record": Refused(query(FOREIGN, counts=(1, 0, 0, 3), after=opt() + record() + opt()), "FORMERR"),
    "OPT owned by a name": Refused(query(WWW, after=opt(owner=wire_name("edns"))), "FORMERR"),
    "OPT owned by a pointer": Refused(query(WWW, after=opt(owner=POINTER)), "FORMERR"),
    "OPT of version 1 owned by a name": Refused(query(WWW, after=opt(owner=wire_name("e"), version=1)), "FORMERR"),
    "OPT cut short": Refused(query(WWW, counts=ONE_MORE, after=opt()[:-1]), "FORMERR", opt=False),
    "OPT longer than the message": Refused(query(WWW, after=opt()[:-2] + b"\0\x04"), "FORMERR", opt=False),
    "an option without its length": Refused(query(WWW, after=opt(options=b"\0\x0a\0")), "FORMERR"),
    "an option longer than its OPT": Refused(
        query(WWW, after=opt(flags=DO, options=b"\0\x08\0\x09abc")), "FORMERR", do=True
    ),
    "too many options": Refused(query(WWW, after=opt(options=option(b"", 65001) * 17)), "FORMERR"),
    "version 1": Refused(query(WWW, after=opt(version=1)), "BADVERS"),
    "version 1 of a foreign name": Refused(query(FOREIGN, after=opt(version=1, flags=DO)), "BADVERS", do=True),
    "version 7 and a bad option": Refused(query(WWW, after=opt(version=7, options=b"\0\x08\0\x09abc")), "BADVERS"),
    "version 1, signed": Refused(query(WWW, counts=TWO_MORE, after=opt(version=1) + tsig()), "BADVERS"),
    **{
        f"a cookie of {size} octets": Refused(query(WWW, after=opt(options=option(b"c" * size))), "FORMERR")
        for size in (0, 7, 9, 15, 41)
    },
    "a bad cookie, of a foreign name": Refused(query(FOREIGN, after=opt(options=option(b"short"))), "FORMERR"),
    "a bad cookie in an IXFR": Refused(ixfr(APEX, soa() + opt(options=option(b"short")), (1, 0, 1, 1)), "FORMERR"),
}

KEYS = {
    "an unknown key": Refused(query(WWW, counts=TWO_MORE, after=opt() + tsig()), "NOTAUTH"),
    "an unknown key, no EDNS": Refused(query(WWW, counts=ONE_MORE, after=tsig()), "NOTAUTH", opt=False),
    "TSIG before OPT": Refused(query(WWW, counts=TWO_MORE, after=tsig() + opt()), "FORMERR"),
    "two TSIGs": Refused(query(WWW, counts=TWO_MORE, after=tsig() * 2), "FORMERR", opt=False),
    "OPT and a malformed TSIG": Refused(query(WWW, counts=TWO_MORE, after=opt() + tsig(b"abc")), "FORMERR"),
}

NAMES_OF_OPCODES = {1: "IQUERY", 2: "STATUS", 3: "opcode 3", 4: "NOTIFY", 5: "UPDATE", 6: "DSO", 11: "opcode 11"}
OPCODES = {
    label: refused
    for opcode, name in NAMES_OF_OPCODES.items()
    for label, refused in {
        f"{name}": Refused(of_opcode(opcode), "NOTIMP", opt=False),
        f"{name}, all flags": Refused(of_opcode(opcode, opt(flags=DO), ONE_MORE, flags=0x07F0), "NOTIMP", do=True),
        f"{name}, an SOA in the answer section": Refused(of_opcode(opcode, soa() + opt(), (1, 1, 0, 1)), "NOTIMP"),
        f"{name}, records in all sections": Refused(
            of_opcode(
                opcode,
                record(255, b"", rclass=255) + record(16, b"\x02hi") + record() * 9 + opt(),
                (1, 1, 10, 1),
            ),
            "NOTIMP",
        ),
        f"{name}, signed": Refused(of_opcode(opcode, record() + opt() + tsig(), (1, 0, 1, 2)), "NOTIMP"),
        f"{name}, no question": Refused(without_question(opt(), flags=opcode << 11), "NOTIMP", question=False),
        f"{name}, only a header": Refused(without_question(flags=opcode << 11), "NOTIMP", question=False, opt=False),
        f"{name}, two questions": Refused(of_opcode(opcode, ASKED + opt(), (2, 0, 0, 1)), "NOTIMP", question=False),
        f"{name}, EDNS version 1": Refused(of_opcode(opcode, opt(version=1), ONE_MORE), "BADVERS"),
        f"{name}, a record cut short": Refused(of_opcode(opcode, record()[:-1], (1, 0, 1, 0)), "NOTIMP", opt=False),
        f"{name}, trailing octets": Refused(of_opcode(opcode, opt() + b"xy", ONE_MORE), "NOTIMP"),
    }.items()
}

CLASSES = {
    **{
        f"class {number}": Refused(query(WWW, qclass=number, after=opt()), "REFUSED")
        for number in (0, 2, 3, 4, 254, 1000)
    },
    "a foreign name": Refused(query(FOREIGN, after=opt(flags=DO)), "REFUSED", do=True),
    "a foreign name, no EDNS": Refused(query(FOREIGN), "REFUSED", opt=False),
}

CASES = TRANSFERS | SECTIONS | QUESTIONS | EDNS | KEYS | OPCODES | CLASSES


def expected_question(refused: Refused) -> bytes:
    """The octets of the question in the expected refusal."""
    if not refused.question:
        return b""
    end = 12
    while length := refused.message[end]:
        end += 1 + length
    return refused.message[12 : end + 5]
