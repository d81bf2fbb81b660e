"""Cursors of the audit log: places in it, sealed, as an offset tells how much other accounts change.

The key lives as long as the process: after a restart, clients begin again.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from dnsd.manage.audit_search import MARK_SIZE, LogPlace
from dnsd.manage.refusal import Reason, refused

KEY = secrets.token_bytes(32)
TAG_SIZE, OFFSET_SIZE = 16, 8  # octets
SIZE = TAG_SIZE + MARK_SIZE + OFFSET_SIZE


def sealed_cursor(place: LogPlace) -> str:
    """The cursor of a place."""
    octets = place.mark + place.offset.to_bytes(OFFSET_SIZE)
    tag = _tag(octets)
    return urlsafe_b64encode(tag + _masked(octets, tag)).rstrip(b"=").decode()


def opened_cursor(text: str) -> LogPlace:
    """The place of a cursor. Raises RefusedError unless it is from an answer of this process."""
    try:
        octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        octets = b""
    tag, masked = octets[:TAG_SIZE], octets[TAG_SIZE:]
    if len(octets) == SIZE and secrets.compare_digest(tag, _tag(place := _masked(masked, tag))):
        return LogPlace(place[:MARK_SIZE], int.from_bytes(place[MARK_SIZE:]))
    raise refused(Reason.INVALID, "this is no cursor of an earlier answer: begin again without one", "cursor")


def _tag(octets: bytes) -> bytes:
    return blake2b(octets, key=KEY, digest_size=TAG_SIZE, person=b"tag").digest()


def _masked(octets: bytes, tag: bytes) -> bytes:
    """Octets with a mask put on, or taken off, which only the key and the tag make."""
    mask = blake2b(tag, key=KEY, digest_size=len(octets) or 1, person=b"mask").digest()
    return bytes(one ^ other for one, other in zip(octets, mask, strict=True)) if octets else b""
