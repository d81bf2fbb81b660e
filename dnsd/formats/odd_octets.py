"""Octets of master files that are not UTF-8 (RFC 1035 §5.1: any octet may stand in one).

In a text that was read, such an octet is a character of its own, by which the same octet is written again (PEP 383:
U+DC80 to U+DCFF). Here is what it means: in names and data it is itself, and a comment with one is Latin-1.
"""

from __future__ import annotations

import re

ODD = re.compile("[\udc80-\udcff]")
# A comment, a quoted string, or a word.
PIECE = re.compile(r';[^\n]*+|"(?:[^"\\\n]++|\\.)*+"?|(?:[^ \t\n()";\\]++|\\.)++', re.DOTALL)
NOT_ASCII = re.compile(r"\\[\0-\x7f]|\\?([^\0-\x7f])", re.DOTALL)
ESCAPE = re.compile(rb"\\(1(?:2[89]|[3-9][0-9])|2[0-9]{2})")


def has_odd(text: str) -> bool:
    """Whether octets that are not UTF-8 stand in a text."""
    return not text.isascii() and ODD.search(text) is not None


def readable(text: str) -> str:
    """The text for people: each line in which odd octets stand is taken for Latin-1."""
    if not has_odd(text):
        return text
    lines = text.splitlines(keepends=True)
    return "".join(octets_of(line).decode("latin-1") if has_odd(line) else line for line in lines)


def escaped(entry: str) -> str:
    """A master file's entry with \\DDD in words and strings in which odd octets stand; comments stay as they are."""
    return PIECE.sub(_escaped_piece, entry) if has_odd(entry) else entry


def unescaped(word: str) -> str:
    """A word as it stood in the entry that `escaped` was given, unless it had escapes of its own there."""
    octets = ESCAPE.sub(lambda found: bytes((int(found[1]),)), word.encode())
    return octets.decode(errors="surrogateescape")


def octets_of(text: str) -> bytes:
    """The octets that a text was read from."""
    return text.encode(errors="surrogateescape")


def _escaped_piece(piece: re.Match[str]) -> str:
    if piece[0].startswith(";") or not has_odd(piece[0]):
        return piece[0]
    return NOT_ASCII.sub(_escape, piece[0])


def _escape(found: re.Match[str]) -> str:
    return "".join(f"\\{octet:03}" for octet in octets_of(found[1])) if found[1] else found[0]
