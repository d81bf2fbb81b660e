"""A client for single queries, and a comparable view of replies."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import dns.message
import dns.rdatatype


def ask(port: int, message: bytes, timeout_s: float = 1.0, *, tcp: bool = False) -> bytes | None:
    """The reply of the server at 127.0.0.1; None after the time limit."""
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with socket.socket(type=kind) as client:
        client.settimeout(timeout_s)
        try:
            client.connect(("127.0.0.1", port))
            if not tcp:
                client.send(message)
                return client.recv(65535)
            client.sendall(struct.pack("!H", len(message)) + message)
            with client.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2)))
        except OSError:
            return None


@dataclass(frozen=True)
class View:
    """The parts of a reply that must be equal for all servers; octets may differ, as by compression."""

    rcode: int
    answer: tuple[str, ...]
    is_referral: bool


def view_of(reply: bytes | None) -> View | None:
    """The view of a reply; None for None."""
    if reply is None:
        return None
    message = dns.message.from_wire(reply)
    answer = sorted(
        f"{rrset.name.to_text().lower()} {rrset.ttl} {rdata}" for rrset in message.answer for rdata in rrset
    )
    servers = [rrset for rrset in message.authority if rrset.rdtype == dns.rdatatype.NS]
    return View(message.rcode(), tuple(answer), not message.answer and bool(servers))
