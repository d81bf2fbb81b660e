"""Spellings of search text: people type names and addresses as they read them, not as they are stored.

Names are stored in A-labels and without the final dot, addresses in canonical form (RFC 5952).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from functools import lru_cache
from ipaddress import IPv6Address

from dnsd.wire.names import MAX_LABEL, name_text, parse_name_text

MAX_TYPED = 1000  # characters; longer text is searched as typed
A_LABEL = re.compile(r"(?<![a-z0-9_-])xn--([a-z0-9-]{1,59})(?![a-z0-9_-])", re.IGNORECASE)
PART_OF_IPV6 = re.compile(r"\[?([0-9a-f]*+:[0-9a-f:]*+)\]?")
LEADING_ZEROS = re.compile(r"(?<![0-9a-f])0+(?=[0-9a-f])")


def spellings(typed: str) -> tuple[str, ...]:
    """The distinct spellings, in lower case, under which the search text may be stored; as typed comes first."""
    text = folded(typed)
    if len(text) > MAX_TYPED:
        return (text,)
    return tuple(dict.fromkeys(filter(None, (text, _in_a_labels(text), _as_address(text)))))


def folded(text: str) -> str:
    """The text folded for comparison: without differences of case and of Unicode normalization."""
    return (
        text.lower() if text.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    )


def readings(text: str) -> tuple[str, ...]:
    """The readings of a stored text, in lower case: as stored, and with its A-labels as U-labels."""
    if "--" not in text:
        return (folded(text),)
    return folded(text), folded(unicode_text(text))


def unicode_text(text: str) -> str:
    """The text with each A-label as a U-label (RFC 5890 §2.3.2.1) if it can be displayed."""
    return A_LABEL.sub(lambda found: _u_label(found[1].lower()) or found[0], text)


@lru_cache(maxsize=4096)
def _u_label(encoded: str) -> str | None:
    """The U-label of an A-label without its prefix; None unless it has only letters, marks, digits and hyphens."""
    try:
        label = encoded.encode().decode("punycode")
        is_same = label.encode("punycode").decode() == encoded
    except (UnicodeError, ValueError, OverflowError):
        return None
    is_plain = all(one == "-" or unicodedata.category(one)[0] in "LMN" for one in label) and label[2:4] != "--"
    is_normal = unicodedata.normalize("NFC", label.lower()) == label
    return label if is_same and is_plain and is_normal and not label.isascii() else None


def _in_a_labels(text: str) -> str | None:
    """The text with each non-ASCII label as an A-label, if possible; None for ASCII text."""
    return None if text.isascii() else ".".join(map(_a_label, text.split(".")))


def _a_label(label: str) -> str:
    if label.isascii() or len(label) > MAX_LABEL:
        return label
    try:
        return name_text(parse_name_text(label).lower())
    except ValueError:
        return label


def _as_address(text: str) -> str | None:
    """An IPv6 address, or a part of an address, in its stored form; None for other text."""
    found = PART_OF_IPV6.fullmatch(text)
    if not found:
        return None
    try:
        return str(IPv6Address(found[1]))
    except ValueError:
        return LEADING_ZEROS.sub("", found[1])


def is_found(values: Collection[str], texts: Iterable[str]) -> bool:
    """Whether any of `values`, the `spellings` of a search text, occurs in any of the texts."""
    return any(value in reading for text in texts for reading in readings(text) for value in values)
