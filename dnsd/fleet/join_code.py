"""The code that lets one edge into a fleet: its name, where to show the code, the fleet's root, and a secret. Pure.

The code is a text in base64url: a version, the digest of the root's certificate, the secret, name and URLs, and a
checksum, so that a code that was not copied whole is known before anything is sent. The secret stays on the machine
that joins, which signs with it.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dnsd.errors import DnsdError
from dnsd.fleet.access import check_node_name
from dnsd.fleet.certificates import DIGEST_SIZE

VERSION = 1
SECRET_SIZE = 16  # octets
CHECKSUM_SIZE = 4  # octets
SIGNER = b"dnsd join\n"  # before the secret: another digest than the one that is stored
MAX_CODE = 4096  # characters
MAX_URLS = 4
DEFAULT_PORT = 8443


class JoinCodeError(DnsdError):
    """A text that is not a code, or cannot be made one."""


@dataclass(frozen=True, slots=True)
class JoinCode:
    """The edge's name, the digest of the fleet's root, the secret, which `repr` leaves out, and `tls://` URLs."""

    name: str
    root: bytes
    secret: bytes = field(repr=False)
    urls: tuple[str, ...]

    def text(self) -> str:
        """The code, a secret."""
        octets = bytes([VERSION]) + self.root + self.secret + " ".join((self.name, *self.urls)).encode()
        return base64.urlsafe_b64encode(octets + _checksum(octets)).decode().rstrip("=")


def parse_code(text: str) -> JoinCode:
    """The code in a text. Raises JoinCodeError, without the text: it may be a secret."""
    head = 1 + DIGEST_SIZE + SECRET_SIZE
    text = text.strip()[:MAX_CODE]
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        octets, checksum = packed[:-CHECKSUM_SIZE], packed[-CHECKSUM_SIZE:]
        if len(octets) <= head or checksum != _checksum(octets):
            raise ValueError
        if octets[0] != VERSION:
            raise JoinCodeError("the code is of another version of dnsd: upgrade this one")
        name, *urls = octets[head:].decode().split(" ")
        check_node_name(name)
        for url in urls:
            place_of(url)
    except ValueError:
        raise JoinCodeError("this is not a code of `dnsd fleet code`, or a part of it is missing") from None
    return JoinCode(name, octets[1 : 1 + DIGEST_SIZE], octets[1 + DIGEST_SIZE : head], tuple(urls))


def place_of(url: str) -> tuple[str, int]:
    """The host and the port of a URL `tls://HOST[:PORT]`. Raises ValueError."""
    parts = urlsplit("" if " " in url else url)
    if parts.scheme != "tls" or not parts.hostname or parts.path or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{url!r} is not a URL such as tls://192.0.2.1:{DEFAULT_PORT}")
    return parts.hostname, parts.port or DEFAULT_PORT


def check_urls(urls: Sequence[str]) -> tuple[str, ...]:
    """The URLs for a code. Raises JoinCodeError."""
    try:
        for url in urls:
            place_of(url)
    except ValueError as error:
        raise JoinCodeError(str(error)) from None
    if not 1 <= len(urls) <= MAX_URLS:
        raise JoinCodeError(f"a code has from 1 to {MAX_URLS} URLs, not {len(urls)}")
    return tuple(urls)


def digest_of(secret: bytes) -> str:
    """The digest by which controls know a secret, in hexadecimal digits."""
    return hashlib.sha256(secret).hexdigest()


def signer_of(secret: bytes) -> Ed25519PrivateKey:
    """The key with which the holder of a secret signs its request.

    Controls have its public key: so nothing that they store or hear lets anybody else in.
    """
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(SIGNER + secret).digest())


def _checksum(octets: bytes) -> bytes:
    return zlib.crc32(octets).to_bytes(CHECKSUM_SIZE)
