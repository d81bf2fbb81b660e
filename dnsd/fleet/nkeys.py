"""Ed25519 keys as NATS writes them, called nkeys: kind, key and checksum in base32. No files and no network.

A public key is the text of an octet for its kind, 32 octets, and their CRC-16, least significant octet first. A seed,
the text of a private key, has an octet for "seed" before them; it shares its lowest three bits with the kind.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dnsd.errors import DnsdError

SEED = 18 << 3  # its first letter is S
KEY_SIZE = 32  # octets
CHECKSUM_SIZE = 2  # octets


class NkeyError(DnsdError):
    """A text that is not an nkey of the kind expected."""


class NkeyKind(IntEnum):
    """The holder of a key: the first octet of its public form, of which the first letter is O, A or U."""

    OPERATOR = 14 << 3
    ACCOUNT = 0
    USER = 20 << 3


@dataclass(frozen=True, slots=True)
class Nkey:
    """A private key with its kind; `repr` leaves the key out."""

    kind: NkeyKind
    private: Ed25519PrivateKey

    @classmethod
    def generate(cls, kind: NkeyKind) -> Nkey:
        """A new key."""
        return cls(kind, Ed25519PrivateKey.generate())

    @property
    def public(self) -> str:
        """The text of the public key."""
        return pack_public(self.private.public_key(), self.kind)

    def seed(self) -> str:
        """The text of the private key, a secret."""
        head = bytes([SEED | self.kind >> 5, (self.kind & 31) << 3])
        return _packed(head + self.private.private_bytes_raw())

    def sign(self, octets: bytes) -> bytes:
        """The signature, 64 octets (RFC 8032)."""
        return self.private.sign(octets)


def pack_public(key: Ed25519PublicKey, kind: NkeyKind) -> str:
    """The text of a public key."""
    return _packed(bytes([kind]) + key.public_bytes_raw())


def parse_public(text: str, kind: NkeyKind) -> Ed25519PublicKey:
    """The public key in a text. Raises NkeyError."""
    octets = _parsed(text, 1)
    if octets[0] != kind:
        raise NkeyError(f"{text!r} is not the public key of {_article(kind)}")
    return Ed25519PublicKey.from_public_bytes(octets[1:])


def parse_seed(text: str, kind: NkeyKind) -> Nkey:
    """The private key in a text. Raises NkeyError, without the text: it may be a secret."""
    try:
        octets = _parsed(text, 2)
    except NkeyError:
        raise NkeyError(f"this is not the seed of {_article(kind)}: it is damaged") from None
    if octets[:2] != bytes([SEED | kind >> 5, (kind & 31) << 3]):
        raise NkeyError(f"this is not the seed of {_article(kind)}, but another key")
    return Nkey(kind, Ed25519PrivateKey.from_private_bytes(octets[2:]))


def _article(kind: NkeyKind) -> str:
    return f"{'a' if kind is NkeyKind.USER else 'an'} {kind.name.lower()}"


def _packed(octets: bytes) -> str:
    """Octets with their checksum in base32, without padding."""
    return base64.b32encode(octets + _checksum(octets)).decode().rstrip("=")


def _parsed(text: str, head: int) -> bytes:
    """The octets in a text, `head` ones before the key. Raises NkeyError."""
    try:
        octets = base64.b32decode(text + "=" * (-len(text) % 8))
    except (ValueError, binascii.Error):
        octets = b""
    content, checksum = octets[:-CHECKSUM_SIZE], octets[-CHECKSUM_SIZE:]
    if len(content) != head + KEY_SIZE or checksum != _checksum(content) or _packed(content) != text:
        raise NkeyError(f"{text[:80]!r} is not an nkey")
    return content


def _checksum(octets: bytes) -> bytes:
    return binascii.crc_hqx(octets, 0).to_bytes(CHECKSUM_SIZE, "little")  # CRC-16/XMODEM
