"""Domain names as bytes, in the uncompressed wire form of RFC 1035 §3.1, and as dotted text.

A name is `bytes` ending in the root's zero octet. *Canonical* means ASCII lower case; bytes from 128 on
are not changed, as names compare by ASCII case only (RFC 4343 §3). Length octets are at most 63, so lowering a whole
wire name never changes them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import dns.exception
import dns.name

from dnsd.errors import WireError

MAX_NAME = 255  # octets, RFC 1035 §2.3.4
MAX_LABEL = 63  # octets, RFC 1035 §2.3.4
ROOT = b"\0"
PLAIN_TEXT = re.compile(rb"[A-Za-z0-9_*.-]+")
# No escapes, no empty or overlong label.
PLAIN_NAME = re.compile(r"[-\w*]{1,63}+(?:\.[-\w*]{1,63}+)*+\.?", re.ASCII)
# The three-digit number of a blank or control character, after a backslash that is not itself escaped.
BLANK_ESCAPED = re.compile(r"(?<!\\)(?:\\\\)*+\\(?:0[0-2][0-9]|03[0-2]|127)")
JOINERS = "\u200c\u200d"  # needed in words of some languages (RFC 5892, Appendix A)
ASTERISK = b"\x01*"  # the wildcard label, RFC 4592 §2.1.1


def name_end(wire: bytes, start: int) -> int:
    """Offset just past the uncompressed name at `start` (RFC 1035 §3.1).

    Raises WireError on a compression pointer (§4.1.4), a label over 63 or a name over 255 octets, or the end of `wire`.
    """
    position, last = start, start + MAX_NAME - 1
    try:
        while length := wire[position]:
            if length > MAX_LABEL:
                raise WireError("a compression pointer or unknown label type in a name that must be uncompressed")
            position += 1 + length
            if position > last:
                raise WireError("a name longer than 255 octets")
    except IndexError:
        raise WireError("a name that runs past the end") from None
    return position + 1


def ancestors(name: bytes) -> Iterator[bytes]:
    """The proper ancestors of `name`, from its parent to the root."""
    while name != ROOT:
        name = name[1 + name[0] :]
        yield name


def is_below(name: bytes, ancestor: bytes) -> bool:
    """Whether canonical `name` is a proper descendant of canonical `ancestor`, label by label."""
    return name != ancestor and (ancestor == ROOT or (name.endswith(ancestor) and ancestor in ancestors(name)))


def parse_name_text(text: str, origin: bytes = ROOT) -> bytes:
    """Parse a name in master-file notation (RFC 1035 §5.1), case preserved; relative names are completed by `origin`.

    Non-ASCII labels become A-labels (RFC 3490). Raises ValueError with a message for the user.
    """
    if PLAIN_NAME.fullmatch(text) and len(name := _pack_plain(text, origin)) <= MAX_NAME:
        return name
    try:
        base = dns.name.root if origin == ROOT else dns.name.from_wire(origin, 0)[0]
        return bytes(dns.name.from_text(text, base).to_wire() or ROOT)
    except dns.name.EmptyLabel:
        raise ValueError(f"{text!r} has an empty label: two dots in a row") from None
    except (dns.name.LabelTooLong, dns.name.NameTooLong):
        raise ValueError(f"{text!r} is too long: the limit is 63 octets per label, 255 per name") from None
    except (dns.exception.DNSException, UnicodeError, ValueError):
        raise ValueError(f"{text!r} is not a domain name") from None


def _pack_plain(text: str, origin: bytes) -> bytes:
    """The wire form of a name without escapes."""
    labels = text.removesuffix(".").encode().split(b".")
    end = ROOT if text.endswith(".") else origin
    return b"".join([bytes((len(label),)) + label for label in labels]) + end


def has_blanks(text: str) -> bool:
    """Whether the text of a name has blanks or control characters, escaped (RFC 1035 §5.1) or not."""
    return BLANK_ESCAPED.search(text) is not None or any(
        one.isspace() or (unicodedata.category(one) in ("Cc", "Cf") and one not in JOINERS) for one in text
    )


@lru_cache(maxsize=256)  # a zone's name is asked for several times while it is loaded
def name_text(name: bytes) -> str:
    """The absolute name as text, without the final dot except for the root: `www.example.com`."""
    labels, start = [], 0
    while size := name[start]:
        labels.append(name[start + 1 : start + 1 + size])
        start += 1 + size
    text = b".".join(labels)
    if PLAIN_TEXT.fullmatch(text) and text.count(b".") == len(labels) - 1:  # dnspython takes ten times longer
        return text.decode()
    return dns.name.from_wire(name, 0)[0].to_text(omit_final_dot=True) or "."
