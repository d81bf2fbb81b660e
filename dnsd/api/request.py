"""One request: its actor, path, query, headers and body, read within bounds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from dnsd.api.envelope import Listed, Page
from dnsd.api.other_fields import first_of, other_fields
from dnsd.api.turns import aside, in_turns, planned
from dnsd.errors import Path
from dnsd.manage.refusal import Fault, Reason, RefusedError, refused, refused_for
from dnsd.manage.service import Actor, Service
from dnsd.model.dataset import Dataset
from dnsd.model.fields import CONTROL_CHARACTERS, F, Fields, validate
from dnsd.model.record_parts import Steps

T = TypeVar("T")
U = TypeVar("U")
ALL = 10_000  # items on the single page of a short list
SMALL = 4096  # octets of a body; larger ones are read in a thread

MAX_BODY = 1024 * 1024  # octets
MAX_FAULTS = 100  # of one body
BODY_WITHIN_S = 5.0
CONTROL = re.compile(r"[\x7f-\x9f]|(?<!\\)(?:\\\\)*+\\u00[01]")  # the same in JSON, to search all texts at once
UNTAGGED = frozenset(
    {
        *("created_at", "modified_at", "created_on", "modified_on", "activated_on", "meta"),
        *("comment_modified_on", "tags_modified_on"),
    }
)
ID = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True)
class Call:
    """An authorized request."""

    service: Service
    actor: Actor
    path: Mapping[str, str]  # its parameters, ids in lower case
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    notes: list[str] = field(default_factory=list)  # for the messages of the response

    @property
    def dataset(self) -> Dataset:
        """The loaded data."""
        return self.service.loaded.dataset

    def page(self, *, default: int, largest: int) -> Page:
        """The part of a list that the query asks for."""
        return Page.of(self.query, default=default, largest=largest)

    async def aside(self, work: Callable[[], U]) -> U:
        """The result of work that grows with a tenant's data, done in a thread, in turn with others."""
        return await aside(self.actor, work)

    async def read(self, work: Callable[[], U]) -> U:
        """The result of work that grows with the body."""
        return work() if len(self.body) <= SMALL else await self.aside(work)

    async def in_turns(self, steps: Steps[U]) -> U:
        """The result of such work in steps."""
        return await in_turns(self.actor, steps)

    async def planned(self, work: Callable[[], U]) -> U:
        """The result of work on the effects of a change, done in a thread, in turn with other such work."""
        return await planned(self.actor, work)

    def listed(self, items: Sequence[U], shape: Callable[[U], Any]) -> Listed:
        """A short list, all on one page unless the query asks for fewer items."""
        return self.page(default=ALL, largest=ALL).of_list(items, shape)

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object, empty for an empty body. Raises RefusedError."""
        if not self.body.strip():
            return {}
        try:
            data = json.loads(self.body, parse_constant=_no_number, parse_float=_finite)
            text = json.dumps(data, ensure_ascii=False)
            text.encode()  # lone surrogates can be neither stored nor sent back
        except (ValueError, RecursionError):
            raise refused(Reason.INVALID, "the body is not usable JSON") from None
        if CONTROL.search(text):  # never intended, and terminals act on them
            check_texts(data)
        if not isinstance(data, dict):
            raise refused(Reason.INVALID, "the body must be a JSON object")
        return data

    def fields(self, model: type[F], shown: Any = None) -> F:
        """The body as a model instance; `shown` is the object as clients see it now. Raises RefusedError."""
        self.check_others(model, shown)
        return fields_of(model, self.json)

    def check_others(self, model: type[Fields], shown: Any) -> None:
        """Note the body's fields that the model lacks. Raises RefusedError for those that may not be ignored."""
        faults, notes = first_of(other_fields(model, self.json, shown), MAX_FAULTS)
        if faults:
            raise RefusedError(*faults)
        self.notes.extend(notes)

    def expect(self, etag: str) -> None:
        """Raise RefusedError if the client read a version other than this (If-Match, RFC 9110 §13.1.1)."""
        check_tag(self.headers.get("if-match", "*"), etag)


def fields_of(model: type[F], data: Mapping[str, Any]) -> F:
    """A model instance from plain data. Raises RefusedError with every fault."""
    fields, problems = validate(model, data, "")
    if fields is None:
        raise refused_for(problems)
    return fields


def check_tag(if_match: str, etag: str) -> None:
    """Raise RefusedError unless the tags of `if_match` include `etag` or `*` (RFC 9110 §13.1.1)."""
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in if_match.split(",")}
    if "*" not in tags and etag not in tags:
        raise refused(Reason.CHANGED_MEANWHILE, "changed since you read it: read it again, then retry")


def etag_of(shape: Any) -> str:
    """The entity tag of an object's content.

    Times are left out, and so is `meta`: holding an account does not change its objects.
    """
    return hashlib.blake2b(json.dumps(_tagged(shape), sort_keys=True).encode(), digest_size=12).hexdigest()


def _tagged(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {name: _tagged(value) for name, value in shape.items() if name not in UNTAGGED}
    return [_tagged(one) for one in shape] if isinstance(shape, list) else shape


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """The whole body, of at most `most` octets. Raises RefusedError if it is too large or arrives too slowly."""
    octets = bytearray()
    if int_of(request.headers.get("content-length")) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                octets += chunk
                if len(octets) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise refused(Reason.TOO_SLOW, f"the body did not arrive within {BODY_WITHIN_S:.0f} s") from None
    except ClientDisconnect:
        raise refused(Reason.INVALID, "the connection was closed before the body arrived") from None
    return bytes(octets)


def int_of(text: str | None) -> int:
    """A number in a header; 0 if it is absent or malformed."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else 0


def _too_large(most: int) -> Exception:
    return refused(Reason.TOO_LARGE, f"the body is larger than {most:,} octets")


def check_texts(data: Any) -> None:
    """Raise RefusedError for texts with control characters, one fault per text; names have their own code."""
    paths = [path for path, text in _texts(data) if CONTROL_CHARACTERS.search(text)]
    if paths:
        message = "control characters are not allowed"
        reasons = (Reason.BAD_NAME if path[-1:] == ("name",) else Reason.INVALID for path in paths)
        faults = [Fault(reason, message, path) for reason, path in zip(reasons, paths, strict=True)]
        raise RefusedError(*faults[:MAX_FAULTS])


def _texts(data: Any) -> Iterator[tuple[Path, str]]:
    """Every text in JSON data, keys included, with its path."""
    left: list[tuple[Path, Any]] = [((), data)]
    while left:
        path, value = left.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, list):
            left += (((*path, index), one) for index, one in enumerate(value))
        elif isinstance(value, dict):
            left += (((*path, key), one) for key, one in value.items())
            left += ((path, key) for key in value)


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"{text} is too large")
    return number


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
