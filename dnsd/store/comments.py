"""What the comment behind a record says, both ways: text for people, and tags as in Cloudflare's exported files.

`; login pages cf_tags=cf-proxied:true,dnsd-id:0123…`: the tags stand together in one word and are separated by commas.
Those that begin with `dnsd-` are the server's own; ones that are not known mean nothing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

from dnsd.model.records import MAX_COMMENT, PROXIABLE, UNQUOTED, UNWRITTEN, Identity, Record
from dnsd.model.times import time_text

TAGS = re.compile(r"(?<!\s)\s*\bcf_tags=(\S+)")
BLANKS = re.compile(r"\t|[\r\n]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
PROXIED = "cf-proxied"
OWN = "dnsd-"  # what the server's own tags begin with
ID, CREATED, MODIFIED = "dnsd-id", "dnsd-created", "dnsd-modified"
UNQUOTED_TEXT, CONTENT = "dnsd-unquoted", "dnsd-content"  # how the data is written as content of the API
ID_FORM = re.compile(r"[0-9a-fA-F]{32}")
TIME_FORM = re.compile(r"[0-9-]{10}T[0-9:]{8}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})")  # RFC 3339 §5.6


class Comment(NamedTuple):
    """What a comment says."""

    text: str  # without the tags
    proxied: bool = False
    identity: Identity = UNWRITTEN
    is_changed: bool = False  # whether more was written than the text can be


def parse_comment(rtype: int, comment: str) -> Comment:
    """What the comment behind a record of this type says. Raises ValueError for a tag that is malformed."""
    common, identity = without_identity(comment)
    text = TAGS.sub("", common).strip()
    bare = bare_comment(common)
    return Comment(bare, rtype in PROXIABLE and _is_proxied(common), identity, bare != text)


def without_identity(comment: str) -> tuple[str, Identity]:
    """A comment without the tags that are of one record alone, so that many are alike, and what these say.

    Raises ValueError for a tag that is malformed.
    """
    found = TAGS.search(comment)
    if not found or OWN not in found[1].lower():
        return comment, UNWRITTEN
    own, others = {}, []
    for tag in found[1].split(","):
        name, _, value = tag.partition(":")
        if name.lower().startswith(OWN):
            own[name.lower()] = value
        else:
            others.append(tag)
    # Something is left of the word in any case, or else a second one like it would be taken for the tags.
    return comment[: found.start(1)] + (",".join(others) or ",") + comment[found.end(1) :], _parse_identity(own)


def bare_comment(text: str) -> str:
    """As much of a comment as the text of one in a master file can be: one line without what looks like tags.

    It has MAX_COMMENT characters at most, and none that terminals obey.
    """
    return TAGS.sub("", CONTROL.sub("", BLANKS.sub(" ", text))).strip()[:MAX_COMMENT].rstrip()


def comment_text(record: Record, *, identity: bool) -> str:
    """The comment that says what a record's line itself does not; its id and times too if `identity`. May be empty."""
    tags = [f"{PROXIED}:{str(record.proxied).lower()}"] if record.rtype in PROXIABLE else []
    tags += _written_tags(record.identity.written)
    if identity:
        tags += _identity_tags(record.identity)
    said = (bare_comment(record.comment), f"cf_tags={','.join(tags)}" if tags else "")
    return " ".join(filter(None, said))


def _is_proxied(comment: str) -> bool:
    """Whether the tags say that the record is proxied: true or false, or else an origin might be shown."""
    found = TAGS.search(comment)
    tags = [tag.partition(":") for tag in found[1].split(",")] if found else []
    said = {value for name, colon, value in tags if colon and name.lower() == PROXIED}
    if said - {"true", "false"}:
        raise ValueError(f"{PROXIED} is true or false, found {', '.join(sorted(said))!r}")
    return "true" in said


def _parse_identity(tags: dict[str, str]) -> Identity:
    id, created, modified, unquoted, content = map(tags.get, (ID, CREATED, MODIFIED, UNQUOTED_TEXT, CONTENT))
    if id is created is modified is unquoted is content is None:
        return UNWRITTEN
    if id is not None and not ID_FORM.fullmatch(id):
        raise ValueError(f"{ID} is 32 hexadecimal digits, found {id[:40]!r}")
    times = _parse_time(CREATED, created), _parse_time(MODIFIED, modified)
    written = UNQUOTED if unquoted == "true" else unquote(content) if content else None
    return Identity(id and id.lower(), *times, written)


def _written_tags(written: str | None) -> list[str]:
    """The tag that says how content is written: as in URLs, as it may hold whatever separates tags."""
    if written is None:
        return []
    return [f"{UNQUOTED_TEXT}:true" if written == UNQUOTED else f"{CONTENT}:{quote(written, safe='')}"]


def _parse_time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        if TIME_FORM.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name} is a time such as 2026-01-01T00:00:00.000000Z, found {text[:40]!r}")


def _identity_tags(identity: Identity) -> list[str]:
    times = ((CREATED, identity.created_on), (MODIFIED, identity.modified_on))
    tags = [f"{ID}:{identity.id}"] if identity.id is not None else []
    return tags + [f"{name}:{time_text(at)}" for name, at in times if at is not None]
