"""Octets of master files that are not UTF-8 (RFC 1035 §5.1 allows any octet).

Reading maps each such octet to a character of its own, so that writing restores it (PEP 383: U+DC80 to U+DCFF). This
module gives it a meaning: in names and data the octet stands for itself; a comment that contains one is Latin-1.
"""

from __future__ import annotations

import re

ODD = re.compile("[\udc80-\udcff]")
# A comment, a quoted string, or a word.
PIECE = re.compile(r';[^\n]*+|"(?:[^"\\\n]++|\\.)*+"?|(?:[^ \t\n()";\\]++|\\.)++', re.DOTALL)
NOT_ASCII = re.compile(r"\\[\0-\x7f]|\\?([^\0-\x7f])", re.DOTALL)
ESCAPE = re.compile(rb"\\(1(?:2[89]|[3-9][0-9])|2[0-9]{2})")


def has_odd(text: str) -> bool:
    """Whether a text stands for octets that are not UTF-8."""
    return not text.isascii() and ODD.search(text) is not None


def readable(text: str) -> str:
    """The text for display: each line with odd octets is decoded as Latin-1."""
    if not has_odd(text):
        return text
    lines = text.splitlines(keepends=True)
    return "".join(octets_of(line).decode("latin-1") if has_odd(line) else line for line in lines)


def escaped(entry: str) -> str:
    """An entry of a master file, with \\DDD in words and strings that contain odd octets; comments stay unchanged."""
    return PIECE.sub(_escaped_piece, entry) if has_odd(entry) else entry


def unescaped(word: str) -> str:
    """Undo `escaped` for one word, unless the word had escapes of its own."""
    octets = ESCAPE.sub(lambda escape: bytes((int(escape[1]),)), word.encode())
    return octets.decode(errors="surrogateescape")


def octets_of(text: str) -> bytes:
    """The octets from which a text was read."""
    return text.encode(errors="surrogateescape")


def text_of(octets: bytes) -> str:
    """The text that `octets_of` turned into these octets."""
    return octets.decode(errors="surrogateescape")


def _escaped_piece(piece: re.Match[str]) -> str:
    if piece[0].startswith(";") or not has_odd(piece[0]):
        return piece[0]
    return NOT_ASCII.sub(_escape, piece[0])


def _escape(piece: re.Match[str]) -> str:
    return "".join(f"\\{octet:03}" for octet in octets_of(piece[1])) if piece[1] else piece[0]
