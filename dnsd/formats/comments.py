"""What the comment behind a record says, both ways: text for people, and tags as in Cloudflare's exported files.

`; login pages cf_tags=cf-proxied:true,team:red,dnsd-id:0123…`: tags that begin with `cf-` are Cloudflare's, those that
begin with `dnsd-` are the server's own, for what Cloudflare's have no word for. All others are the record's tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from dnsd.formats.tags import MARK, NAME, Tag, Tagged, joined_tags, split_tags
from dnsd.model.records import (
    DEFAULT_SETTINGS,
    MAX_COMMENT,
    MAX_TAG,
    MAX_TAGS,
    PROXIABLE,
    UNQUOTED,
    UNWRITTEN,
    Identity,
    Record,
    RecordSettings,
)
from dnsd.model.times import time_text

BLANKS = re.compile(r"\t|[\r\n]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
PROXIED, FLATTENED = "cf-proxied", "cf-flatten-cname"
OWN = "dnsd-"  # what the server's own tags begin with
ID, CREATED, MODIFIED = "dnsd-id", "dnsd-created", "dnsd-modified"
UNQUOTED_TEXT, CONTENT = "dnsd-unquoted", "dnsd-content"  # how the data is written as content of the API
COMMENT, ANY_TAG = "dnsd-comment", "dnsd-tag"  # a comment, or a tag, that cannot stand as it is
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
IDENTITY = re.compile(  # in the order in which they are written, at the end of the tags
    rf"(?:{ID}:([0-9a-fA-F]{{32}})(?:,|$))?(?:{CREATED}:({TIME})(?:,|$))?(?:{MODIFIED}:({TIME}))?"
)
SOME_ID, SOME_TIME = "0" * 32, "2000-01-01T00:00:00Z"
NO_WARNING = ""
SHORTENED = (
    f"comments are kept to {MAX_COMMENT} characters, without control characters, and {MAX_TAGS} tags of {MAX_TAG} "
    "characters; this one has more"
)


class Comment(NamedTuple):
    """What a comment says."""

    text: str  # without the tags
    proxied: bool | None = None  # None: it does not say
    identity: Identity = UNWRITTEN
    settings: RecordSettings = DEFAULT_SETTINGS
    tags: tuple[str, ...] = ()
    warning: str = NO_WARNING  # what of it is not kept


NO_COMMENT = Comment("")


class Common(NamedTuple):
    """A comment with some identity in place of its own, so that many are alike; both identities but for `written`."""

    comment: str
    stand_in: Identity
    own: Identity


def parse_comment(rtype: int, comment: str) -> Comment:
    """What the comment behind a record of this type says. Raises ValueError for tags that are malformed."""
    plain = one_line(comment)
    tagged = split_tags(plain)
    own, tags, is_shortened = _sorted(tagged.tags)
    said = own.get(COMMENT, tagged.text)
    text = said[:MAX_COMMENT] if COMMENT in own else said[:MAX_COMMENT].rstrip()
    unknown = sorted(own.keys() - KNOWN)
    warning = SHORTENED if is_shortened or text != said or plain != comment.strip() else NO_WARNING
    if unknown and not warning:
        warning = f"{unknown[0]} is no tag that this server knows; tags of users do not begin with cf- or dnsd-"
    return Comment(
        text,
        _proxied(tagged) if rtype in PROXIABLE else None,
        _parse_identity(own),
        _settings(own),
        tuple(tags),
        warning,
    )


def _sorted(tags: tuple[Tag, ...]) -> tuple[dict[str, str], list[str], bool]:
    """The reserved tags by name, those of the record, and whether any is not kept as it is. Raises ValueError."""
    own: dict[str, str] = {}
    kept: list[str] = []
    is_shortened = is_full = False
    for tag in tags:
        name = tag.name.lower()
        if tag.is_reserved and name != ANY_TAG:
            if is_full:
                raise ValueError(f"{name} stands behind more than {MAX_TAGS} tags; put it before them")
            own[name] = tag.value
            continue
        said = tag.value if name == ANY_TAG else tag.text
        is_full = is_full or len(kept) == MAX_TAGS
        if not is_full and len(said) <= MAX_TAG:
            kept.append(said)
        is_shortened = is_shortened or is_full or len(said) > MAX_TAG
    return own, kept, is_shortened


def one_line(text: str) -> str:
    """As much of a text as a comment in a master file can be: one line, with nothing in it that terminals obey."""
    return CONTROL.sub("", BLANKS.sub(" ", text)).strip()


def without_identity(comment: str) -> Common:
    """A comment without what is of one record alone. Raises ValueError for a time that is malformed."""
    start = OF_ONE_RECORD.search(comment)
    found = IDENTITY.fullmatch(comment, start.start()) if start else None
    if not start or not found:
        return Common(comment, UNWRITTEN, UNWRITTEN)
    id, created, modified = found.groups()
    words, stand_in = _stand_in(id is not None, created is not None, modified is not None)
    own = Identity(id and id.lower(), _parse_time(CREATED, created), _parse_time(MODIFIED, modified))
    return Common(comment[: start.start()] + words, stand_in, own)


@cache
def _stand_in(*are_said: bool) -> tuple[str, Identity]:
    """Tags of some id and some times, as far as these are said, and what they mean."""
    tags = {ID: SOME_ID, CREATED: SOME_TIME, MODIFIED: SOME_TIME}
    said = {name: value for (name, value), is_said in zip(tags.items(), are_said, strict=True) if is_said}
    return ",".join(f"{name}:{value}" for name, value in said.items()), _parse_identity(said)


def comment_text(record: Record, *, identity: bool) -> str:
    """The comment that says what a record's line itself does not; its id and times too if `identity`. May be empty."""
    own = [Tag(PROXIED, str(record.proxied).lower())] if record.rtype in PROXIABLE else []
    own += _switch_tags(record.settings) if record.settings != DEFAULT_SETTINGS else []
    own += _written_tags(record.identity.written)
    others = [*map(_tag, record.tags), *(_identity_tags(record.identity) if identity else ())]
    if _is_verbatim(record.comment, tags := [*own, *others]):
        return joined_tags(record.comment, tags)
    return joined_tags("", [*own, Tag(COMMENT, record.comment), *others])


def _is_verbatim(text: str, tags: list[Tag]) -> bool:
    """Whether a text before these tags is read as itself."""
    if not text:
        return True
    return one_line(text) == text and (
        not MARK.search(text) or split_tags(joined_tags(text, tags)) == Tagged(text, tuple(tags))
    )


def _tag(text: str) -> Tag:
    """A tag of a record as it is written."""
    name, _, value = text.partition(":")
    tag = Tag(name, value)
    is_plain = NAME.fullmatch(name) and name.isprintable() and not tag.is_reserved and tag.text == text
    return tag if is_plain else Tag(ANY_TAG, text)


def _proxied(tagged: Tagged) -> bool | None:
    """Whether the tags say that the record is proxied: true or false, or else an origin might be shown.

    Raises ValueError.
    """
    said = {tag.value for tag in tagged.tags if tag.name.lower() == PROXIED}
    if said - {"true", "false"}:
        raise ValueError(f"{PROXIED} is true or false, found {', '.join(sorted(said))!r}")
    if not said and MARK.search(tagged.text) and PROXIED in tagged.text.lower():
        raise ValueError(f"{PROXIED} stands before the last cf_tags=, where it is text; say true or false behind that")
    return "true" in said if said else None


def _settings(tags: dict[str, str]) -> RecordSettings:
    given = {}
    for name in SWITCHES.keys() & tags.keys():
        value = tags[name] or ("true" if name == FLATTENED else "")
        if value not in ("true", "false"):
            raise ValueError(f"{name} is true or false, found {value[:40]!r}")
        given[SWITCHES[name]] = value == "true"
    return RecordSettings(**given) if given else DEFAULT_SETTINGS


def _switch_tags(settings: RecordSettings) -> Iterator[Tag]:
    for name, switch in SWITCHES.items():
        value = getattr(settings, switch)
        if name == FLATTENED:
            if value:
                yield Tag(FLATTENED, "")  # Cloudflare has no word for what is not flattened
        elif value is not None and not (value and switch == SWITCHES[FLATTENED]):
            yield Tag(name, str(value).lower())


def _parse_identity(tags: Mapping[str, str | None]) -> Identity:
    id, created, modified, unquoted, content = map(tags.get, (ID, CREATED, MODIFIED, UNQUOTED_TEXT, CONTENT))
    if id is created is modified is unquoted is content is None:
        return UNWRITTEN
    if id is not None and not ID_FORM.fullmatch(id):
        raise ValueError(f"{ID} is 32 hexadecimal digits, found {id[:40]!r}")
    times = _parse_time(CREATED, created), _parse_time(MODIFIED, modified)
    written = UNQUOTED if unquoted == "true" else unquote(content) if content else None
    return Identity(id and id.lower(), *times, written)


def _written_tags(written: str | None) -> list[Tag]:
    """The tag that says how content is written: as in URLs, as it may hold whatever separates tags."""
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
    raise ValueError(f"{name} is a time such as 2026-01-01T00:00:00.000000Z, found {text[:40]!r}")


def _identity_tags(identity: Identity) -> list[Tag]:
    times = ((CREATED, identity.created_on), (MODIFIED, identity.modified_on))
    tags = [Tag(ID, identity.id)] if identity.id is not None else []
    return tags + [Tag(name, time_text(at)) for name, at in times if at is not None]
