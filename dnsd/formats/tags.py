"""Parse and write Cloudflare's syntax for tags in a record's comment: `login pages cf_tags=team:red,note:"a, b"`.

The specification is Cloudflare's page "Import and export records", DNS record attributes. Form only; comments.py knows
the meaning of each tag.
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
SEPARATORS = re.compile(r"[ \t]*+(?:,[ \t]*+)*+")  # superfluous commas are ignored
WHITE_SPACE = re.compile(r"\s")
RESERVED = re.compile(r"(?<![\w-])(?:cf|dnsd)-\w", re.IGNORECASE)  # start of a reserved name
MISSING_COMMA = re.compile(r"\s(?:cf|dnsd)-\w", re.IGNORECASE)  # a reserved tag after a missing comma
QUOTED = frozenset('"=,\\')  # characters that need quotes around the value
MAX_SHOWN = 40  # characters of the user's text in a message


class Tag(NamedTuple):
    """A tag as written; an empty value means no value."""

    name: str
    value: str

    @property
    def is_reserved(self) -> bool:
        """Whether the name is reserved for Cloudflare or the server itself."""
        return self.name.lower().startswith(("cf-", "dnsd-"))

    @property
    def text(self) -> str:
        """The tag in the API's form, `name:value`."""
        return f"{self.name}:{self.value}" if self.value else self.name


class Tagged(NamedTuple):
    """A comment split into its text and its tags."""

    text: str
    tags: tuple[Tag, ...] = ()


def split_tags(comment: str) -> Tagged:
    """Split a comment into text and tags; the tags follow the last `cf_tags=` outside quotes.

    More text may follow the tags, unless it may hold quoted or reserved tags. Raises ValueError for tags that cannot be
    read to their end: a misread tag must not turn a proxied record into a DNS-only one.
    """
    marks = [match.span() for match in MARK.finditer(comment)]
    for start, end in marks:
        tags, stop = _read(comment, end)
        if stop == len(comment):
            return Tagged(comment[:start].strip(), tuple(tags))
    if not marks or _only_mentions_tags(comment, marks):
        return Tagged(comment.strip())
    return _with_text_after(comment, *marks[0])


def _read(comment: str, start: int) -> tuple[list[Tag], int]:
    """Read tags from `start` on; return them and their end."""
    tags = []
    start = _end(SEPARATORS, comment, start)
    while match := TAG.match(comment, start):
        name, plain = match[1], (match[3] or "").strip()
        value = _unquoted(match[2]) if match[2] else plain
        if value is None or MISSING_COMMA.search(plain):
            break
        tag, start = Tag(name, value), match.end()
        if tag.is_reserved and (blank := WHITE_SPACE.search(plain)):
            tags.append(Tag(name, plain[: blank.start()]))
            start = comment.index(plain, match.start(3)) + blank.start()
            break
        tags.append(tag)
        if comment[start : start + 1] not in ("", ","):
            break
        start = _end(SEPARATORS, comment, start)
    return tags, start


def _only_mentions_tags(comment: str, marks: Sequence[tuple[int, int]]) -> bool:
    """Whether the comment only mentions `cf_tags=` in prose."""
    return all(comment[end].isspace() for _, end in marks) and not _may_hold_tags(comment[marks[0][1] :])


def _may_hold_tags(text: str) -> bool:
    return '"' in text or bool(RESERVED.search(text))


def _with_text_after(comment: str, start: int, end: int) -> Tagged:
    """Split a comment with text after its tags. Raises ValueError if that text may be meant as tags."""
    tags, stop = _read(comment, end)
    rest = comment[stop:]
    is_new_word = rest[0].isspace() or comment[stop - 1].isspace()
    if not is_new_word or '"' in comment[end:] or _may_hold_tags(rest) or MARK_TEXT in rest:
        shown = rest if len(rest) <= MAX_SHOWN else f"{rest[:MAX_SHOWN]}…"
        raise ValueError(
            f"the tags in the comment cannot be read from {shown!r} on: separate tags by commas, and put a value "
            f"with a double quote, an equals sign, a comma or a backslash in double quotes, as a JSON string. If they "
            f"are not meant as tags, end the comment with {MARK_TEXT}"
        )
    return Tagged(" ".join(filter(None, (comment[:start].strip(), rest.strip()))), tuple(tags))


def _unquoted(quoted: str) -> str | None:
    """The value of a JSON string; None if the text is not one."""
    try:
        value = str(json.loads(quoted, strict=False))
        value.encode()  # fails for a lone surrogate
    except ValueError:
        return None
    return value


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def joined_tags(text: str, tags: Iterable[Tag]) -> str:
    """Join a text and tags to a comment; the text is one line without blanks around it."""
    words = ",".join(map(_written, tags))
    needs_mark = words or MARK_TEXT in text  # else a mention of tags in the text would be read as tags
    return " ".join(filter(None, (text, MARK_TEXT + words if needs_mark else "")))


def _written(tag: Tag) -> str:
    if not tag.value:
        return tag.name
    is_plain = not any(c in QUOTED or c.isspace() or not c.isprintable() for c in tag.value)
    return f"{tag.name}:{tag.value if is_plain else quoted_text(tag.value)}"


def quoted_text(text: str) -> str:
    """The text as a JSON string; control characters, and blanks other than the space, are escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in json.dumps(text, ensure_ascii=False))


def _escaped(character: str) -> str:
    octets = character.encode("utf-16-be")
    return "".join(f"\\u{octets[i : i + 2].hex()}" for i in range(0, len(octets), 2))
