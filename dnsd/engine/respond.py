"""`respond`: one DNS query in, one reply out; the only code that answers.

`parse` reads the query, `find` decides the answer, `pack` writes its octets. A worker calls them one by one, with
cookies, rate limits and counters between them (worker/answering.py).
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

PLAIN_REST = 25  # octets of a query without id and name, with an OPT record without options
NSCOUNT_END = 7  # offset of the lower octet of that count in a query without its id


# A query as parsed: shape, canonical name, offset just past the name, the client's DNS cookie (RFC 7873) or b"", the
# node that answers, whether it is the name's own. A plain tuple, as one is made for every query.
ParsedQuery = tuple[Shape, bytes, int, bytes, Node, bool]


def respond(snapshot: Snapshot, query: bytes, *, stream: bool = False) -> bytes | None:
    """The reply to one query (RFC 1034 §4.3.2), or None to send nothing; never raises.

    `query` is a whole message as received, well-formed or not; over a `stream` a reply may have 65,535 octets.
    """
    asked = parse(snapshot, query)
    if asked is None:
        refusal = refuse(query)
        return refusal and refusal.reply
    answer = find(snapshot, asked)
    return pack(query, asked, answer, opt_for(snapshot, asked, answer), stream=stream)


def parse(snapshot: Snapshot, query: bytes) -> ParsedQuery | None:
    """Read a query; None for a malformed one, which `refuse` replies to.

    Most names are found in the table, and are then well-formed; so the node is looked up here.
    """
    end = query.find(0, HEADER_SIZE) + 1  # just past QNAME, unless a label holds a zero octet
    qname = query[HEADER_SIZE:end].lower()
    node = snapshot.names.node_at(qname)
    is_own = node is not None
    cookie = b""
    try:
        if node is None:
            end = name_end(query, HEADER_SIZE)
            qname = query[HEADER_SIZE:end].lower()
            node = snapshot.search(qname)
            is_own = qname.find(0) < len(qname) - 1 and qname in snapshot.names.table
        rest = query[2:HEADER_SIZE] + query[end:]
        if len(rest) > PLAIN_REST:
            if rest[NSCOUNT_END]:
                rest = without_serial(rest)
            rest, cookie = split_cookie(rest)
        return shape_of(rest), qname, end, cookie, node, is_own
    except WireError:
        return None


def find(snapshot: Snapshot, asked: ParsedQuery) -> Answer:
    """Decide the answer to a query."""
    shape, qname, _, _, node, _ = asked
    if shape.plain:
        return node.ready.get(shape.qtype) or answer_at(snapshot, node, qname, shape.qtype)
    return _special_answer(snapshot, shape, node, qname)


def opt_for(snapshot: Snapshot, asked: ParsedQuery, answer: Answer, option: bytes = b"") -> bytes:
    """The OPT record for a reply, with an additional `option`; empty for a client without EDNS."""
    shape = asked[0]
    if not shape.opt or not (option or shape.nsid or answer.option or shape.version):
        return shape.opt
    nsid = snapshot.nsid if shape.nsid else b""
    rcode = BADVERS if shape.version else answer.rcode
    return pack_opt(do=shape.do, rcode=rcode, options=nsid + option + answer.option)


def pack(
    query: bytes, asked: ParsedQuery, answer: Answer, opt: bytes, *, stream: bool = False, empty: bool = False
) -> bytes:
    """Pack a reply; `empty`: with TC and without records, so that the client retries over TCP."""
    shape, _, end, _, _, _ = asked
    if shape.unknown_key:
        return _reply_to_unknown_key(shape, query, end)
    body_start = end + QUESTION_TAIL
    room = (MAX_MESSAGE_SIZE if stream else shape.room) - body_start - len(opt)
    if empty or len(answer.body) > room:
        answer = answer.fitted(-1 if empty else room)
    return b"".join(
        (query[:2], answer.heads[shape.head], query[HEADER_SIZE:body_start], answer.body_at(body_start), opt)
    )


def _reply_to_unknown_key(shape: Shape, query: bytes, end: int) -> bytes:
    """NOTAUTH, with the reason in a TSIG record at the end (RFC 8945 §5.2.1)."""
    flags = QR | int.from_bytes(query[2:4]) & (RD | CD) | NOTAUTH
    counts = struct.pack("!HHHH", 1, 0, 0, 2 if shape.opt else 1)
    question = query[HEADER_SIZE : end + QUESTION_TAIL]
    return query[:2] + flags.to_bytes(2) + counts + question + shape.opt + shape.unknown_key


def _special_answer(snapshot: Snapshot, shape: Shape, node: Node, qname: bytes) -> Answer:
    """The answer to special queries: signed, with a later EDNS version, of other classes, or for zone transfers."""
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
        return NOT_AUTHORITATIVE  # a transfer of a zone that is not ours (RFC 5936 §2.2.1)
    return PROHIBITED
