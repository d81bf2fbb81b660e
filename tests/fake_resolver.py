"""A recursive resolver on loopback that answers from a table, or behaves badly."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Sent = Iterable[bytes]
Behaviour = Callable[[dns.message.Message], Sent]  # the datagrams sent for an honest reply, or the octets of a stream


def honest(reply: dns.message.Message) -> Sent:
    return [reply.to_wire(prefer_truncation=True)]


def framed(reply: dns.message.Message) -> Sent:
    octets = reply.to_wire(max_size=65_535)
    return [len(octets).to_bytes(2) + octets]


@dataclass(frozen=True)
class Asked:
    """A query that arrived."""

    id: int
    port: int
    name: str
    rtype: str


class FakeResolver:
    """Answers until closed; `answers` maps names and types to data, and an unknown name does not exist."""

    def __init__(self, udp: Behaviour = honest, tcp: Behaviour = framed) -> None:
        self.udp, self.tcp = udp, tcp
        self.answers: dict[tuple[str, str], list[str]] = {}
        self.rcodes: dict[tuple[str, str], dns.rcode.Rcode] = {}
        self.asked: list[Asked] = []
        self._stream = socket.create_server(("127.0.0.1", 0))
        self._datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagram.bind(self._stream.getsockname())
        self.address: tuple[str, int] = self._stream.getsockname()
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def close(self) -> None:
        for sock in (self._datagram, self._stream):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def reply(self, octets: bytes, port: int) -> dns.message.Message:
        """The honest reply to a query."""
        query = dns.message.from_wire(octets)
        (question,) = query.question
        key = (question.name.to_text(), dns.rdatatype.to_text(question.rdtype))
        self.asked.append(Asked(query.id, port, *key))
        reply = dns.message.make_response(query, recursion_available=True)
        reply.set_rcode(self.rcodes.get(key, dns.rcode.NOERROR))
        if texts := self.answers.get(key):
            reply.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", question.rdtype, texts))
        elif key not in self.rcodes and all(name != key[0] for name, _ in self.answers):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply

    def _serve_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                octets, client = self._datagram.recvfrom(4096)
                if not octets:
                    return
                for datagram in self.udp(self.reply(octets, client[1])):
                    self._datagram.sendto(datagram, client)

    def _serve_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, client = self._stream.accept()
                with stream:
                    size = int.from_bytes(stream.recv(2))
                    for octets in self.tcp(self.reply(stream.recv(size), client[1])):
                        stream.sendall(octets)


@contextlib.contextmanager
def fake_resolver(udp: Behaviour = honest, tcp: Behaviour = framed) -> Iterator[FakeResolver]:
    resolver = FakeResolver(udp, tcp)
    try:
        yield resolver
    finally:
        resolver.close()
