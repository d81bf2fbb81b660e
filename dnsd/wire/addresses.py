"""Packed addresses: 4 or 16 octets, an IPv4 address that is mapped into IPv6 as IPv4; and their text."""

from __future__ import annotations

import socket

MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, IPv4-mapped IPv6, RFC 4291 §2.5.5.2


def packed_ip(peer: str) -> bytes:
    """Pack an address: IPv4-mapped IPv6 becomes IPv4, and a scope such as `%eth0` is dropped."""
    if ":" not in peer:
        return socket.inet_pton(socket.AF_INET, peer)
    ip = socket.inet_pton(socket.AF_INET6, peer.partition("%")[0])
    return ip.removeprefix(MAPPED)


def ip_text(ip: bytes) -> str:
    """The text of a packed address."""
    return socket.inet_ntop(socket.AF_INET if len(ip) == 4 else socket.AF_INET6, ip)


def packed_plain(text: str) -> bytes | None:
    """Pack an address in its shortest usual spelling (RFC 5952) to 4 or 16 octets; None for any other text."""
    try:
        octets = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
        return octets if ip_text(octets) == text else None
    except (OSError, ValueError):
        return None
