"""Addresses of peers, from the text form of sockets to octets."""

from __future__ import annotations

import socket

MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, IPv4 in IPv6, RFC 4291 §2.5.5.2


def packed_ip(peer: str) -> bytes:
    """Pack an address in the text form of sockets to 4 or 16 octets; IPv4 in IPv6 becomes IPv4, a zone is dropped."""
    if ":" not in peer:
        return socket.inet_pton(socket.AF_INET, peer)
    ip = socket.inet_pton(socket.AF_INET6, peer.partition("%")[0])
    return ip.removeprefix(MAPPED)
