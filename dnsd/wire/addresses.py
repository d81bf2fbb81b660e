"""Addresses of peers, from the text that sockets give to octets."""

from __future__ import annotations

import socket

MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, IPv4-mapped IPv6, RFC 4291 §2.5.5.2


def packed_ip(peer: str) -> bytes:
    """Pack an address to 4 or 16 octets: IPv4-mapped IPv6 becomes IPv4, and a scope such as `%eth0` is dropped."""
    if ":" not in peer:
        return socket.inet_pton(socket.AF_INET, peer)
    ip = socket.inet_pton(socket.AF_INET6, peer.partition("%")[0])
    return ip.removeprefix(MAPPED)
