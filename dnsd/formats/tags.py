"""Cloudflare's syntax of tags in the comment behind a record, both ways: `login pages cf_tags=team:red,note:"a, b"`.

The specification is Cloudflare's page "Import and export records", DNS record attributes. Form only: what a tag means,
comments.py knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MARK_TEXT = "cf_tags="
MARK = re.compile(rf"(?<!\w){MARK_TEXT}")
TAG = re.compile(
    r'[ \t]*+([^\s",:\\=]++)[ \t]*+(?::[ \t]*+(?:("(?:[^"\\]++|\\.)*+")[ \t]*+|((?:[^",=]++|(?<!cf_tags)=)*+)))?+'
)
NAME = re.compile(r'[^\s",:\\=]+')
SEPARATORS = re.compile(r"[ \t]*+(?:,[ \t]*+)*+")  # a comma too many means nothing
WHITE_SPACE = re.compile(r"\s")
RESERVED = re.compile(r"(?<![\w-])(?:cf|dnsd)-\w", re.IGNORECASE)  # how the names begin that users' tags do not have
FORGOTTEN = re.compile(r"\s(?:cf|dnsd)-\w", re.IGNORECASE)  # a comma before it
QUOTED = frozenset('"=,\\')  # what only a value in quotes may hold
MAX_SHOWN = 40  # characters of a text in a message


class Tag(NamedTuple):
    """A tag as it is written: its value is empty where it has none."""

    name: str
    value: str

    @property
    def is_reserved(self) -> bool:
        """Whether it is no tag of a user's."""
        return self.name.lower().startswith(("cf-", "dnsd-"))

    @property
    def text(self) -> str:
        """The tag as the API has it."""
        return f"{self.name}:{self.value}" if self.value else self.name


class Tagged(NamedTuple):
    """A comment, and the tags in it."""

    text: str
    tags: tuple[Tag, ...] = ()


def split_tags(comment: str) -> Tagged:
    """The text and the tags of a comment; the tags are what stands behind the last `cf_tags=` that is not in quotes.

    Behind the tags there may be more text, if nothing in it can be meant as a tag of the server's own. Raises
    ValueError for tags that cannot be read to their end: no record must become DNS-only as nobody understood them.
    """
    marks = [match.span() for match in MARK.finditer(comment)]
    for start, end in marks:
        tags, stop = _read(comment, end)
        if stop == len(comment):
            return Tagged(comment[:start].strip(), tuple(tags))
    if not marks or _is_about_tags(comment, marks):
        return Tagged(comment.strip())
    return _with_text_behind(comment, *marks[0])


def _read(comment: str, start: int) -> tuple[list[Tag], int]:
    """The tags from `start` on, and where they end."""
    tags = []
    start = _end(SEPARATORS, comment, start)
    while match := TAG.match(comment, start):
        name, plain = match[1], (match[3] or "").strip()
        value = _unquoted(match[2]) if match[2] else plain
        if value is None or FORGOTTEN.search(plain):
            break
        tag, start = Tag(name, value), match.end()
        if tag.is_reserved and (behind := WHITE_SPACE.search(plain)):
            tags.append(Tag(name, plain[: behind.start()]))
            start = comment.index(plain, match.start(3)) + behind.start()
            break
        tags.append(tag)
        if comment[start : start + 1] not in ("", ","):
            break
        start = _end(SEPARATORS, comment, start)
    return tags, start


def _is_about_tags(comment: str, marks: Sequence[tuple[int, int]]) -> bool:
    """Whether somebody speaks of `cf_tags=` and means none."""
    return all(comment[end].isspace() for _, end in marks) and not _may_hold_tags(comment[marks[0][1] :])


def _may_hold_tags(text: str) -> bool:
    return '"' in text or bool(RESERVED.search(text))


def _with_text_behind(comment: str, start: int, end: int) -> Tagged:
    """A comment whose tags end before its end. Raises ValueError where what follows may be tags."""
    tags, stop = _read(comment, end)
    rest = comment[stop:]
    is_new_word = rest[0].isspace() or comment[stop - 1].isspace()
    if not is_new_word or '"' in comment[end:] or _may_hold_tags(rest) or MARK_TEXT in rest:
        shown = rest if len(rest) <= MAX_SHOWN else f"{rest[:MAX_SHOWN]}…"
        raise ValueError(
            f"the tags in the comment cannot be read from {shown!r} on: commas separate them, and a value that holds a "
            f"double quote, an equals sign, a comma or a backslash stands in double quotes, as a JSON string. Where "
            f"they are no tags, end the comment with {MARK_TEXT}"
        )
    return Tagged(" ".join(filter(None, (comment[:start].strip(), rest.strip()))), tuple(tags))


def _unquoted(quoted: str) -> str | None:
    """What a JSON string says; None for other text."""
    try:
        value = str(json.loads(quoted, strict=False))
        value.encode()  # half of a surrogate pair has no octets
    except ValueError:
        return None
    return value


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def joined_tags(text: str, tags: Iterable[Tag]) -> str:
    """The comment that says a text and tags; the text is one line without blanks around it."""
    words = ",".join(map(_written, tags))
    needs_mark = words or MARK_TEXT in text  # else what looks like tags in the text would be taken for them
    return " ".join(filter(None, (text, MARK_TEXT + words if needs_mark else "")))


def _written(tag: Tag) -> str:
    if not tag.value:
        return tag.name
    is_plain = not any(c in QUOTED or c.isspace() or not c.isprintable() for c in tag.value)
    return f"{tag.name}:{tag.value if is_plain else quoted_text(tag.value)}"


def quoted_text(text: str) -> str:
    """The text as a JSON string; what terminals obey, and blanks that are no space, are escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    octets = character.encode("utf-16-be")
    return "".join(f"\\u{octets[i : i + 2].hex()}" for i in range(0, len(octets), 2))
