"""`respond`: one DNS query in, one reply out; nothing else answers.

It is `find`, what to say, and `pack`, its octets. Who limits rates or sends cookies calls the two by themselves.
"""

from __future__ import annotations

import struct

from dnsd.engine.answer import Answer, build_answer
from dnsd.engine.derive import answer_at
from dnsd.engine.node import Node
from dnsd.engine.refuse import refuse
from dnsd.engine.shape import Shape, shape_of, without_serial
from dnsd.engine.snapshot import Snapshot
from dnsd.errors import WireError
from dnsd.wire.cookies import split_cookie
from dnsd.wire.message import (
    ANY_CLASS,
    BADVERS,
    CD,
    CH,
    EDE_NOT_AUTHORITATIVE,
    EDE_PROHIBITED,
    HEADER_SIZE,
    IN,
    MAX_MESSAGE_SIZE,
    NOTAUTH,
    QR,
    QUESTION_TAIL,
    RD,
    REFUSED,
    pack_extended_error,
    pack_opt,
)
from dnsd.wire.names import name_end
from dnsd.wire.rdata import ANY, TRANSFER_TYPES, TXT

PROHIBITED = build_answer(rcode=REFUSED, aa=False, option=pack_extended_error(EDE_PROHIBITED))
NOT_AUTHORITATIVE = build_answer(rcode=NOTAUTH, aa=False, option=pack_extended_error(EDE_NOT_AUTHORITATIVE))
BAD_VERSION = build_answer(rcode=BADVERS & 0xF, aa=False)
UNKNOWN_KEY = build_answer(rcode=NOTAUTH, aa=False)

PLAIN_REST = 25  # octets of a query besides id and name, with an OPT record that has no options
NSCOUNT_END = 7  # where the lower octet of that count is, in a query without its id


# What is said to a query, before it is packed: its shape, the node and the answer; its canonical name and the offset
# just past that; the client's DNS cookie (RFC 7873), or nothing. A plain tuple: it is made for every query.
Found = tuple[Shape, Node, Answer, bytes, int, bytes]


def respond(snapshot: Snapshot, query: bytes, *, stream: bool = False) -> bytes | None:
    """The reply to one query (RFC 1034 §4.3.2), or None to send nothing; never raises.

    `query` is a whole message as it arrived, well-formed or not; over a `stream` a reply may be 65,535 octets long.
    """
    found = find(snapshot, query)
    if found is not None:
        return pack(snapshot, query, found, stream=stream)
    refusal = refuse(query)
    return refusal and refusal.reply


def find(snapshot: Snapshot, query: bytes) -> Found | None:
    """Decide what to say; None for what is not a well-formed query, which `refuse` replies to."""
    end = query.find(0, HEADER_SIZE) + 1  # just past QNAME, unless a label holds a zero octet
    qname = query[HEADER_SIZE:end].lower()
    node = snapshot.names.get(qname)
    cookie = b""
    try:
        if node is None:
            end = name_end(query, HEADER_SIZE)
            qname = query[HEADER_SIZE:end].lower()
            node = snapshot.search(qname)
        rest = query[2:HEADER_SIZE] + query[end:]
        if len(rest) > PLAIN_REST:
            if rest[NSCOUNT_END]:
                rest = without_serial(rest)
            rest, cookie = split_cookie(rest)
        shape = shape_of(rest)
    except WireError:
        return None
    if shape.plain:
        answer = node.answers.get(shape.qtype) or answer_at(snapshot, node, qname, shape.qtype)
    else:
        answer = _special_answer(snapshot, shape, node, qname)
    return shape, node, answer, qname, end, cookie


def pack(
    snapshot: Snapshot, query: bytes, found: Found, *, stream: bool = False, option: bytes = b"", empty: bool = False
) -> bytes:
    """The reply that says what was found, with one more EDNS `option`; `empty`: with TC and no records, so that the
    client asks again over TCP.
    """
    shape, _, answer, _, end, _ = found
    if shape.unknown_key:
        return _reply_to_unknown_key(shape, query, end)
    opt = shape.opt
    if opt and (option or shape.nsid or answer.option or shape.version):
        opt = _opt_with_options(snapshot, shape, answer, option)
    body_start = end + QUESTION_TAIL
    room = (MAX_MESSAGE_SIZE if stream else shape.room) - body_start - len(opt)
    if empty or len(answer.body) > room:
        answer = answer.fitted(-1 if empty else room)
    return b"".join(
        (query[:2], answer.heads[shape.head], query[HEADER_SIZE:body_start], answer.body_at(body_start), opt)
    )


def _reply_to_unknown_key(shape: Shape, query: bytes, end: int) -> bytes:
    """NOTAUTH, with the TSIG record that says why as the last one (RFC 8945 §5.2.1)."""
    flags = QR | int.from_bytes(query[2:4]) & (RD | CD) | NOTAUTH
    counts = struct.pack("!HHHH", 1, 0, 0, 2 if shape.opt else 1)
    question = query[HEADER_SIZE : end + QUESTION_TAIL]
    return query[:2] + flags.to_bytes(2) + counts + question + shape.opt + shape.unknown_key


def _special_answer(snapshot: Snapshot, shape: Shape, node: Node, qname: bytes) -> Answer:
    """What is not plainly answered from a zone: signed queries, a later EDNS, other classes, zone transfers."""
    if shape.unknown_key:
        return UNKNOWN_KEY
    if shape.version:
        return BAD_VERSION
    if shape.qclass == CH and shape.qtype in (TXT, ANY):
        return snapshot.chaos.get(qname, PROHIBITED)
    if shape.qclass not in (IN, ANY_CLASS):
        return PROHIBITED
    if shape.qtype not in TRANSFER_TYPES:
        answer = node.answers.get(shape.qtype) or answer_at(snapshot, node, qname, shape.qtype)
        return answer.for_any_class()
    if node.apex is None or node.apex.name != qname:
        return NOT_AUTHORITATIVE  # a transfer of what is no zone of ours (RFC 5936 §2.2.1)
    return PROHIBITED


def _opt_with_options(snapshot: Snapshot, shape: Shape, answer: Answer, option: bytes) -> bytes:
    nsid = snapshot.nsid if shape.nsid else b""
    rcode = BADVERS if shape.version else answer.rcode
    return pack_opt(do=shape.do, rcode=rcode, options=nsid + option + answer.option)
