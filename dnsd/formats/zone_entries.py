"""Entries of master files (RFC 1035 §5.1): the end, the words and the comment of each."""

from __future__ import annotations

import re

import dns.exception
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer
import dns.ttl

from dnsd.formats.odd_octets import escaped, unescaped
from dnsd.formats.tags import MARK_TEXT
from dnsd.model.records import MAX_TTL_S
from dnsd.wire.rdata import reason, type_text

SPECIAL = re.compile(r'\\.|"(?:[^"\\\n]++|\\.)*+"|;[^\n]*+|[()\n]', re.DOTALL)
SO_FAR = re.compile(rf'{SPECIAL.pattern}|"(?:[^"\\\n]++|\\.)*+\\?\Z', re.DOTALL)  # and a string left open
PLAIN = re.compile(r'[^\\"();\n]*+\n')
NEWLINE = re.compile("\r\n?")
NOTHING = re.compile(r"[ \t]*+(?:;|\Z)")  # the beginning of a line without an entry, or all of it so far
BLANK = re.compile(r"(?:[ \t]*+(?:;[^\n]*+)?+\n)*+")  # blank lines and comments


def entry_end(text: str, start: int, *, is_last: bool = True) -> int | None:
    """The end of the entry at `start`: the first newline outside parentheses; None if the text ends before it.

    Unless the text `is_last`, None also if a string is open at its end: each newline in it follows a backslash, and may
    belong to the string.
    """
    if plain := PLAIN.match(text, start):
        return plain.end() - 1
    depth = 0
    for match in (SPECIAL if is_last else SO_FAR).finditer(text, start):
        token = match[0]
        if token == "(":
            depth += 1
        elif token == ")":
            depth = max(0, depth - 1)
        elif token == "\n" and not depth:
            return match.start()
    return None


def unclosed(text: str) -> int | None:
    """The offset of the outermost parenthesis that is still open at the end of a text; None without one."""
    depth, opened = 0, None
    for match in SPECIAL.finditer(text):
        if match[0] == "(":
            opened = match.start() if not depth else opened
            depth += 1
        elif match[0] == ")":
            depth = max(0, depth - 1)
    return opened if depth else None


class EntryError(ValueError):
    """An error in an entry, at an offset; None if a part is missing."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        self.offset = offset
        super().__init__(message)


class Words:
    """Reads the words of an entry one by one; `offset` is that of the last word."""

    def __init__(self, entry: str) -> None:
        self.tokenizer = dns.tokenizer.Tokenizer(escaped(entry))
        self.offset = 0
        self._entry = entry
        self._end = 0

    def next(self, *, want_leading: bool = False) -> dns.tokenizer.Token:
        """The next word; if `want_leading`, blanks at the beginning count as a word."""
        token = self.tokenizer.get(want_leading=want_leading)
        word = str(token.value)
        if "\\" in word and self._entry.find(word, self._end) < 0:
            word = unescaped(word)
        self.offset = max(self._entry.find(word, self._end), self._end)
        self._end = self.offset + len(word)
        return token

    def error(self, message: str) -> EntryError:
        """An error at the last word."""
        return EntryError(message, self.offset)

    def error_after(self, message: str) -> EntryError:
        """An error at the text after the last word, or in the whole entry if no text follows."""
        rest = self._entry[self._end :]
        return EntryError(message, self._end + len(rest) - len(rest.lstrip()) if rest.strip() else None)


def read_rdata(words: Words, rtype: int, origin: dns.name.Name) -> dns.rdata.Rdata:
    """Parse the remaining words as record data. Raises EntryError."""
    try:
        return dns.rdata.from_text(
            dns.rdataclass.IN, dns.rdatatype.RdataType.make(rtype), words.tokenizer, origin, relativize=False
        )
    except (dns.exception.DNSException, ValueError) as error:
        raise words.error_after(f"not valid {type_text(rtype)} data: {reason(error)}") from None


def parse_ttl(words: Words, word: str) -> int:
    """Parse seconds, or units such as 1h30m, to seconds. Raises EntryError."""
    try:
        ttl = dns.ttl.from_text(word)
    except (dns.ttl.BadTTL, ValueError):
        raise words.error(f"{word[:20]!r} is not a TTL") from None
    if ttl > MAX_TTL_S:
        raise words.error(f"the TTL {word} is too long; the limit is {MAX_TTL_S} seconds (RFC 2181 §8)")
    return ttl


def comment_of(entry: str, last: str) -> str:
    """Return `last`, the comment on the entry's last line. Raises ValueError if an earlier line has tags."""
    if entry.count(MARK_TEXT) > last.count(MARK_TEXT):
        comments = [match[0] for match in SPECIAL.finditer(entry) if match[0][0] == ";"]
        if sum(one.count(MARK_TEXT) for one in comments) > last.count(MARK_TEXT):
            raise ValueError(f"{MARK_TEXT} is not read inside parentheses; put it after the closing one")
    return last
