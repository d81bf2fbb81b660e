"""Parse and write the comment after a record: free text, and tags as in Cloudflare's exported files.

`; login pages cf_tags=cf-proxied:true,team:red,dnsd-id:0123…`: tags that begin with `cf-` are Cloudflare's; tags that
begin with `dnsd-` are the server's own, for properties without a tag of Cloudflare's. All others are the record's tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from dnsd.formats.tags import MARK, MARK_TEXT, NAME, Tag, Tagged, joined_tags, split_tags
from dnsd.model.contents import UNQUOTED
from dnsd.model.records import (
    DEFAULT_SETTINGS,
    MAX_COMMENT,
    MAX_TAG,
    MAX_TAGS,
    PROXIABLE,
    UNWRITTEN,
    Identity,
    Record,
    RecordSettings,
)
from dnsd.model.times import time_text

BLANKS = re.compile(r"\t|[\r\n]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
PROXIED, FLATTENED = "cf-proxied", "cf-flatten-cname"
OWN = "dnsd-"  # prefix of the server's own tags
ID, CREATED, MODIFIED = "dnsd-id", "dnsd-created", "dnsd-modified"
UNQUOTED_TEXT, CONTENT = "dnsd-unquoted", "dnsd-content"  # the form of the data in the API's `content`
COMMENT, ANY_TAG = "dnsd-comment", "dnsd-tag"  # a comment, or a tag, that needs quoting
SWITCHES = {
    FLATTENED: "flatten_cname",
    "dnsd-flatten-cname": "flatten_cname",
    "dnsd-ipv4-only": "ipv4_only",
    "dnsd-ipv6-only": "ipv6_only",
}
KNOWN = frozenset({PROXIED, ID, CREATED, MODIFIED, UNQUOTED_TEXT, CONTENT, COMMENT, *SWITCHES})
ID_FORM = re.compile(r"[0-9a-fA-F]{32}")
TIME = r"[0-9-]{10}T[0-9:]{8}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"  # RFC 3339 §5.6
TIME_FORM = re.compile(TIME)
OF_ONE_RECORD = re.compile(r"dnsd-(?:id|created|modified):")
IDENTITY = re.compile(  # in the order of writing, at the end of the tags
    rf"(?:{ID}:([0-9a-fA-F]{{32}})(?:,|$))?(?:{CREATED}:({TIME})(?:,|$))?(?:{MODIFIED}:({TIME}))?"
)
EXAMPLE_ID, EXAMPLE_TIME = "0" * 32, "2000-01-01T00:00:00Z"
NO_WARNING = ""
SHORTENED = (
    f"this comment was shortened: the limits are {MAX_COMMENT} characters, without control characters, and {MAX_TAGS} "
    f"tags of {MAX_TAG} characters"
)


class Comment(NamedTuple):
    """A parsed comment."""

    text: str  # without the tags
    proxied: bool | None = None  # None: there is no tag for it
    identity: Identity = UNWRITTEN
    settings: RecordSettings = DEFAULT_SETTINGS
    tags: tuple[str, ...] = ()
    warning: str = NO_WARNING  # names the part that is not kept


class CommonComment(NamedTuple):
    """A comment with example tags in place of its id and times, so that many comments are equal."""

    comment: str
    stand_in: Identity  # meaning of the example tags; without `written`
    own: Identity  # meaning of the replaced tags; without `written`


def parse_comment(rtype: int, comment: str) -> Comment:
    """Parse the comment after a record of this type. Raises ValueError for malformed tags."""
    if MARK_TEXT not in comment and len(comment) <= MAX_COMMENT and comment.isprintable():
        return Comment(comment.strip())
    plain = one_line(comment)
    tagged = split_tags(plain)
    own, tags, is_shortened = _split_reserved(tagged.tags)
    written = own.get(COMMENT, tagged.text)
    text = written[:MAX_COMMENT] if COMMENT in own else written[:MAX_COMMENT].rstrip()
    unknown = sorted(own.keys() - KNOWN)
    warning = SHORTENED if is_shortened or text != written or plain != comment.strip() else NO_WARNING
    if unknown and not warning:
        warning = f"unknown tag {unknown[0]}: names that begin with cf- or dnsd- are reserved"
    return Comment(
        text,
        _proxied(tagged) if rtype in PROXIABLE else None,
        _parse_identity(own),
        _settings(own),
        tuple(tags),
        warning,
    )


def _split_reserved(tags: tuple[Tag, ...]) -> tuple[dict[str, str], list[str], bool]:
    """The reserved tags by name, the record's tags, and whether any tag was dropped. Raises ValueError."""
    own: dict[str, str] = {}
    kept: list[str] = []
    is_shortened = is_full = False
    for tag in tags:
        name = tag.name.lower()
        if tag.is_reserved and name != ANY_TAG:
            if is_full:
                raise ValueError(f"{name} comes after more than {MAX_TAGS} tags; put it before them")
            own[name] = tag.value
            continue
        text = tag.value if name == ANY_TAG else tag.text
        is_full = is_full or len(kept) == MAX_TAGS
        if not is_full and len(text) <= MAX_TAG:
            kept.append(text)
        is_shortened = is_shortened or is_full or len(text) > MAX_TAG
    return own, kept, is_shortened


def one_line(text: str) -> str:
    """The text in the form that a comment in a master file can hold: one line, without control characters."""
    return CONTROL.sub("", BLANKS.sub(" ", text)).strip()


def without_identity(comment: str) -> CommonComment:
    """The comment with its record's id and times replaced by examples. Raises ValueError for a malformed time."""
    start = OF_ONE_RECORD.search(comment)
    found = IDENTITY.fullmatch(comment, start.start()) if start else None
    if not start or not found:
        return CommonComment(comment, UNWRITTEN, UNWRITTEN)
    id, created, modified = found.groups()
    words, stand_in = _stand_in(id is not None, created is not None, modified is not None)
    own = Identity(id and id.lower(), _parse_time(CREATED, created), _parse_time(MODIFIED, modified))
    return CommonComment(comment[: start.start()] + words, stand_in, own)


@cache
def _stand_in(*are_given: bool) -> tuple[str, Identity]:
    """Example tags for the given parts, of id, creation and modification, and the identity that these tags mean."""
    tags = {ID: EXAMPLE_ID, CREATED: EXAMPLE_TIME, MODIFIED: EXAMPLE_TIME}
    given = {name: value for (name, value), is_given in zip(tags.items(), are_given, strict=True) if is_given}
    return ",".join(f"{name}:{value}" for name, value in given.items()), _parse_identity(given)


def comment_text(record: Record, *, identity: bool) -> str:
    """The comment for properties without another place in the line; id and times if `identity`. May be empty."""
    own = [Tag(PROXIED, str(record.proxied).lower())] if record.rtype in PROXIABLE else []
    own += _switch_tags(record.settings) if record.settings != DEFAULT_SETTINGS else []
    own += _written_tags(record.identity.written)
    others = [*map(_tag, record.tags), *(_identity_tags(record.identity) if identity else ())]
    if _is_verbatim(record.comment, tags := [*own, *others]):
        return joined_tags(record.comment, tags)
    return joined_tags("", [*own, Tag(COMMENT, record.comment), *others])


def _is_verbatim(text: str, tags: list[Tag]) -> bool:
    """Whether a text before these tags would be read back unchanged."""
    if not text:
        return True
    return one_line(text) == text and (
        not MARK.search(text) or split_tags(joined_tags(text, tags)) == Tagged(text, tuple(tags))
    )


def _tag(text: str) -> Tag:
    """The written form of a record's tag."""
    name, _, value = text.partition(":")
    tag = Tag(name, value)
    is_plain = NAME.fullmatch(name) and name.isprintable() and not tag.is_reserved and tag.text == text
    return tag if is_plain else Tag(ANY_TAG, text)


def _proxied(tagged: Tagged) -> bool | None:
    """The value of the tag `cf-proxied`; None without this tag.

    Raises ValueError for any other value than true and false: a guess might expose an origin.
    """
    values = {tag.value for tag in tagged.tags if tag.name.lower() == PROXIED}
    if values - {"true", "false"}:
        raise ValueError(f"{PROXIED} must be true or false, found {', '.join(sorted(values))!r}")
    if not values and MARK.search(tagged.text) and PROXIED in tagged.text.lower():
        raise ValueError(f"{PROXIED} is text before the last cf_tags=; put it after the last cf_tags=")
    return "true" in values if values else None


def _settings(tags: dict[str, str]) -> RecordSettings:
    given = {}
    for name in SWITCHES.keys() & tags.keys():
        value = tags[name] or ("true" if name == FLATTENED else "")
        if value not in ("true", "false"):
            raise ValueError(f"{name} must be true or false, found {value[:40]!r}")
        given[SWITCHES[name]] = value == "true"
    return RecordSettings(**given) if given else DEFAULT_SETTINGS


def _switch_tags(settings: RecordSettings) -> Iterator[Tag]:
    for name, switch in SWITCHES.items():
        value = getattr(settings, switch)
        if name == FLATTENED:
            if value:
                yield Tag(FLATTENED, "")  # Cloudflare has no tag for False
        elif value is not None and not (value and switch == SWITCHES[FLATTENED]):
            yield Tag(name, str(value).lower())


def _parse_identity(tags: Mapping[str, str | None]) -> Identity:
    id, created, modified, unquoted, content = map(tags.get, (ID, CREATED, MODIFIED, UNQUOTED_TEXT, CONTENT))
    if id is created is modified is unquoted is content is None:
        return UNWRITTEN
    if id is not None and not ID_FORM.fullmatch(id):
        raise ValueError(f"{ID} must be 32 hexadecimal digits, found {id[:40]!r}")
    times = _parse_time(CREATED, created), _parse_time(MODIFIED, modified)
    written = UNQUOTED if unquoted == "true" else unquote(content) if content else None
    return Identity(id and id.lower(), *times, written)


def _written_tags(written: str | None) -> list[Tag]:
    """The tag for the form of the content; percent-encoded, as content may contain separators of tags."""
    if written is None:
        return []
    return [Tag(UNQUOTED_TEXT, "true") if written == UNQUOTED else Tag(CONTENT, quote(written, safe=""))]


def _parse_time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if TIME_FORM.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name} must be a time such as 2026-01-01T00:00:00.000000Z, found {text[:40]!r}")


def _identity_tags(identity: Identity) -> list[Tag]:
    times = ((CREATED, identity.created_on), (MODIFIED, identity.modified_on))
    tags = [Tag(ID, identity.id)] if identity.id is not None else []
    return tags + [Tag(name, time_text(at)) for name, at in times if at is not None]
