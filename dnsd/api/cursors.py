"""Cursors of the audit log: places in it, sealed, as an offset tells how much other accounts change.

The key lives as long as the process: after a restart, clients begin again.
"""

from __future__ import annotations

import binascii
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from dnsd.manage.audit_search import MARK_SIZE, LogPlace, Places
from dnsd.manage.refusal import Reason, refused

KEY = secrets.token_bytes(32)
TAG_SIZE, OFFSET_SIZE = 16, 8  # octets
PLACE_SIZE = MARK_SIZE + OFFSET_SIZE
MAX_PLACES = 3  # a mask of BLAKE2b has at most 64 octets
NO_PLACE = bytes(PLACE_SIZE)


def sealed_cursor(places: Places) -> str:
    """The cursor of the places in each group of files."""
    octets = b"".join(one.mark + one.offset.to_bytes(OFFSET_SIZE) if one else NO_PLACE for one in places)
    tag = _tag(octets)
    return urlsafe_b64encode(tag + _masked(octets, tag)).rstrip(b"=").decode()


def opened_cursor(text: str) -> Places:
    """The places of a cursor. Raises RefusedError unless it is from an answer of this process."""
    try:
        octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        octets = b""
    tag, masked = octets[:TAG_SIZE], octets[TAG_SIZE:]
    number, rest = divmod(len(masked), PLACE_SIZE)
    if 1 <= number <= MAX_PLACES and not rest and secrets.compare_digest(tag, _tag(found := _masked(masked, tag))):
        return tuple(_place(found[at : at + PLACE_SIZE]) for at in range(0, len(found), PLACE_SIZE))
    raise refused(
        Reason.INVALID,
        "not a cursor of this server since its last start: begin again without one",
        "cursor",
    )


def _place(octets: bytes) -> LogPlace | None:
    if octets == NO_PLACE:
        return None
    return LogPlace(octets[:MARK_SIZE], int.from_bytes(octets[MARK_SIZE:]))


def _tag(octets: bytes) -> bytes:
    return blake2b(octets, key=KEY, digest_size=TAG_SIZE, person=b"tag").digest()


def _masked(octets: bytes, tag: bytes) -> bytes:
    """Octets with a mask put on, or taken off, which only the key and the tag make."""
    mask = blake2b(tag, key=KEY, digest_size=len(octets) or 1, person=b"mask").digest()
    return bytes(one ^ other for one, other in zip(octets, mask, strict=True)) if octets else b""
