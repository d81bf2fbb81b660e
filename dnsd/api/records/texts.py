"""The texts in which a list of records is searched: those of names, contents and comments, in every spelling.

The texts of a part of a zone are one string, so that a search passes over most records without looking at each: a line
for each record, with one or more texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial

from dnsd.api.records.data import ShownData, address_text, shown_record
from dnsd.api.records.parts import quoted_text
from dnsd.model.columns import Records
from dnsd.model.contents import TEXT_TYPES, UNQUOTED, character_strings
from dnsd.model.spelling import folded, readings
from dnsd.wire.names import name_text
from dnsd.wire.rdata import CNAME, DNAME, MX, NS, PTR, TXT, A

END = "\x1e"  # of a line
OR = "\x1f"  # between the texts of a line
DOTTED = "\x1d"  # begins a text that also counts without its final dot
MARK = re.compile("[\x1d-\x1f]")
NO_LINES = ""  # all lines are empty

PLAIN_LABEL = b"abcdefghijklmnopqrstuvwxyz0123456789_*-"
PLAIN_STRING = re.compile(rb"[ !#-\[\]-~]*+")  # without quotes and backslashes
TARGETS = frozenset({CNAME, DNAME, NS, PTR})  # types whose data is a name


def texts_of(line: str) -> Iterator[str]:
    """The texts of a line."""
    for text in line.split(OR):
        if text.startswith(DOTTED):
            yield text[1:]
            yield text[1:-1]
        else:
            yield text


def name_lines(records: Records, start: int, stop: int) -> str:
    """The lines of names: with and without the final dot, with A-labels as U-labels."""
    ends: dict[bytes, str | None] = {}  # by the part of a name after its first label; None: not plain
    lines = []
    for owner in records.owners[start:stop]:
        first = 1 + owner[0]
        label, parent = owner[1:first], owner[first:]
        if parent not in ends:
            text = name_text(parent) if parent else ""
            ends[parent] = None if "--" in text or "\\" in text or not text else f".{text.removesuffix('.')}."
        end = ends[parent]
        if end is None or b"--" in label or label.translate(None, PLAIN_LABEL):
            lines.append(_name_line(owner))
        else:
            lines.append(f"{DOTTED}{label.decode()}{end}")
    return END.join(lines)


def _name_line(name: bytes) -> str:
    return OR.join(f"{DOTTED}{reading}." for reading in readings(name_text(name)))


def comment_lines(records: Records, start: int, stop: int) -> str:
    """The lines of comments."""
    numbers = records.traits[start:stop]
    lines = {number: MARK.sub("\0", folded(records.distinct[number].comment)) for number in {*numbers}}
    return END.join(map(lines.__getitem__, numbers)) if any(lines.values()) else NO_LINES


def content_lines(records: Records, start: int, stop: int) -> str:
    """The lines of contents, as clients may send them."""
    return END.join(map(partial(_content_line, records), range(start, stop), records.rdatas[start:stop]))


def _content_line(records: Records, index: int, data: bytes) -> str:
    rtype = records.rtype(index)
    if rtype == A:
        return f"{DOTTED}{address_text(data)}."
    if rtype in TARGETS:
        return _name_line(data.lower())
    if rtype == TXT and (line := _plain_text_line(records, index, data)):
        return line
    if rtype == MX:
        target = name_text(data[2:].lower())
        return OR.join(
            (*(f"{DOTTED}{one}." for one in readings(target)), *readings(f"{int.from_bytes(data[:2])} {target}"))
        )
    return other_content_line(records, index)


def _plain_text_line(records: Records, index: int, data: bytes) -> str | None:
    """The line of a TXT record of one string without quotes or backslashes; None for others."""
    identity = records.identities.get(index)
    if len(data) != 1 + data[0] or not PLAIN_STRING.fullmatch(data, 1) or b"--" in data:
        return None
    if identity and identity.written not in (None, UNQUOTED):
        return None
    text = data[1:].decode().lower()
    return f'{text}{OR}"{text}"'


def other_content_line(records: Records, index: int) -> str:
    """The line of any record, from its data as the API shows it."""
    record = records[index]
    texts = content_texts(shown_record(record), is_text=record.rtype in TEXT_TYPES)
    return OR.join(MARK.sub("\0", reading) for text in texts for reading in readings(text))


def content_texts(shown: ShownData, *, is_text: bool) -> Iterable[str]:
    """The spellings of content that clients may send: text without quotes, a final dot, the priority before it."""
    content = shown.content
    if is_text:
        plain = unquoted(content)
        return {content, plain, quoted_text(plain.encode())}
    if shown.priority is not None:
        return {content, f"{content}.", f"{shown.priority} {content}"}
    return {content, f"{content}."}


def unquoted(content: str) -> str:
    """Text data without quotes and escapes, its strings joined; other content unchanged."""
    try:
        return b"".join(character_strings(content)).decode(errors="replace")
    except ValueError:
        return content
