"""One question to recursive resolvers, over UDP with random ports and ids, and over TCP after a truncated answer.

Anything else that arrives is ignored until the time is over: other ids and questions, and octets that are no message.
Only the RRset at the name itself counts: an alias may lead to names of other people.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Iterable, Iterator

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
from dns.flags import Flag

from dnsd.outbound.protocol import AnswerKind, OutsideAnswer, OutsideQuestion

ROUNDS = 2  # each asks every resolver once
TIMEOUT_S = 3.0  # of one resolver
PAYLOAD_SIZE = 1232  # octets: DNS flag day 2020
MAX_RDATAS = 100  # of an answer; further ones are left out
MAX_OCTETS = 24 * 1024  # of an answer's data, twice as many as text: less than MAX_REQUEST of control's socket
MAX_UNREAD = 100  # datagrams of a socket; further ones are dropped


async def look_up(question: OutsideQuestion, *, timeout_s: float = TIMEOUT_S) -> OutsideAnswer:
    """The answer of the first resolver that has one."""
    name, _ = dns.name.from_wire(question.name, 0)
    rtype = dns.rdatatype.RdataType.make(question.rtype)
    for resolver in question.resolvers * ROUNDS:
        query = dns.message.make_query(name, rtype, use_edns=0, payload=PAYLOAD_SIZE, id=secrets.randbits(16))
        try:
            async with asyncio.timeout(timeout_s):
                reply = await _ask(query, resolver)
        except (OSError, EOFError, TimeoutError, dns.exception.DNSException):
            continue
        if found := _answer(reply, name, rtype):
            return found
    return OutsideAnswer(AnswerKind.NO_ANSWER)


def _answer(reply: dns.message.Message, name: dns.name.Name, rtype: dns.rdatatype.RdataType) -> OutsideAnswer | None:
    """The answer in a reply; None if the resolver failed, or the server is no resolver and refers to others."""
    if not reply.flags & Flag.RA:
        return None
    if reply.rcode() == dns.rcode.NXDOMAIN:
        return OutsideAnswer(AnswerKind.NO_NAME)
    if reply.rcode() != dns.rcode.NOERROR:
        return None
    found = reply.get_rrset(reply.answer, name, dns.rdataclass.IN, rtype)
    rdatas = tuple(_within(MAX_OCTETS, (rdata.to_wire() or b"" for rdata in list(found or ())[:MAX_RDATAS])))
    return OutsideAnswer(AnswerKind.DATA if rdatas else AnswerKind.NO_DATA, rdatas)


def _within(most: int, rdatas: Iterable[bytes]) -> Iterator[bytes]:
    """The first data of `most` octets in all."""
    for rdata in rdatas:
        most -= len(rdata)
        if most < 0:
            return
        yield rdata


async def _ask(query: dns.message.Message, resolver: tuple[str, int]) -> dns.message.Message:
    """The reply to a query. Raises OSError, EOFError and DNSException; waits without a limit."""
    loop = asyncio.get_running_loop()
    transport, inbox = await loop.create_datagram_endpoint(_Inbox, remote_addr=resolver)
    try:
        transport.sendto(query.to_wire())
        while True:
            reply = _reply_to(query, await inbox.next())
            if reply is None:
                continue
            return await _ask_tcp(query, resolver) if reply.flags & Flag.TC else reply
    finally:
        transport.close()


async def _ask_tcp(query: dns.message.Message, resolver: tuple[str, int]) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(*resolver)
    try:
        octets = query.to_wire()
        writer.write(struct.pack("!H", len(octets)) + octets)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        reply = _reply_to(query, await reader.readexactly(length))
        if reply is None or reply.flags & Flag.TC:
            raise EOFError
        return reply
    finally:
        writer.close()


def _reply_to(query: dns.message.Message, octets: bytes) -> dns.message.Message | None:
    """The message in these octets if it replies to the query; perhaps truncated."""
    try:
        try:
            reply = dns.message.from_wire(octets, raise_on_truncation=True)
        except dns.message.Truncated as error:
            reply = error.message()  # type: ignore[no-untyped-call]
        return reply if query.is_response(reply) else None
    except Exception:  # anybody may send anything, and dnspython's errors have many types
        return None


class _Inbox(asyncio.DatagramProtocol):
    """The datagrams that a socket received; the kernel drops those of other senders."""

    def __init__(self) -> None:
        self._received: asyncio.Queue[bytes | OSError] = asyncio.Queue(MAX_UNREAD)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._received.full():
            self._received.put_nowait(data)

    def error_received(self, exc: OSError | Exception) -> None:
        if isinstance(exc, OSError) and not self._received.full():
            self._received.put_nowait(exc)

    async def next(self) -> bytes:
        """The next datagram. Raises OSError, such as for a closed port."""
        found = await self._received.get()
        if isinstance(found, OSError):
            raise found
        return found
