"""One request: who asks, for what, and with which body; read within bounds."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from dnsd.api.envelope import Listed, Page
from dnsd.errors import Path
from dnsd.manage.refusal import Code, Fault, RefusedError, refused, refused_for
from dnsd.manage.service import Actor, Service
from dnsd.model.dataset import Dataset
from dnsd.model.fields import F, validate

T = TypeVar("T")
U = TypeVar("U")
ALL = 10_000  # items of a page that has all of a short list
LARGE = 2000  # records; to look at them all takes a moment
_large = asyncio.Semaphore(1)

MAX_BODY = 1024 * 1024  # octets
MAX_FAULTS = 100  # of one body
BODY_WITHIN_S = 5.0
CONTROL = re.compile(r"[\x7f-\x9f]|(?<!\\)(?:\\\\)*+\\u00[01]")  # in JSON, but for \b \f \n \r \t
UNTAGGED = frozenset({"created_at", "modified_at", "created_on", "modified_on", "activated_on", "meta"})
ID = re.compile(r"[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be answered."""

    service: Service
    actor: Actor
    path: Mapping[str, str]  # its parameters, ids in lower case
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def dataset(self) -> Dataset:
        """What is loaded."""
        return self.service.loaded.dataset

    def page(self, *, default: int, largest: int) -> Page:
        """The part of a list that is wanted."""
        return Page.of(self.query, default=default, largest=largest)

    def listed(self, items: Sequence[U], shape: Callable[[U], Any]) -> Listed:
        """A short list, all of it on one page unless fewer items are wanted."""
        return self.page(default=ALL, largest=ALL).of_list(items, shape)

    def json(self) -> dict[str, Any]:
        """The body; empty where there is none. Raises RefusedError for what is no JSON object."""
        if not self.body.strip():
            return {}
        try:
            data = json.loads(self.body, parse_constant=_no_number, parse_float=_finite)
            text = json.dumps(data, ensure_ascii=False)
            text.encode()  # lone surrogates cannot be stored, nor sent back
        except (ValueError, RecursionError):
            raise refused(Code.INVALID, "the body is not JSON that can be used") from None
        if CONTROL.search(text):  # nobody means them, and terminals obey them
            raise _with_control_characters(data)
        if not isinstance(data, dict):
            raise refused(Code.INVALID, "the body must be a JSON object")
        return data

    def fields(self, model: type[F]) -> F:
        """The body as a model has it. Raises RefusedError with everything that is wrong with it."""
        fields, problems = validate(model, self.json(), "")
        if fields is None:
            raise refused_for(problems)
        return fields

    def expect(self, etag: str) -> None:
        """Raise RefusedError if the client has seen another version than this (If-Match, RFC 9110 §13.1.1)."""
        wanted = self.headers.get("if-match", "*")
        tags = {tag.strip().removeprefix("W/").strip('"') for tag in wanted.split(",")}
        if "*" not in tags and etag not in tags:
            raise refused(Code.CHANGED_MEANWHILE, "somebody has changed it meanwhile: get it again, then change it")


def etag_of(shape: Any) -> str:
    """The tag of one version of an object: of what it says.

    Times are no part of it, which say only when it did; nor is `meta`, as whether an account is held changes no object.
    """
    return hashlib.blake2b(json.dumps(_tagged(shape), sort_keys=True).encode(), digest_size=12).hexdigest()


def _tagged(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {name: _tagged(value) for name, value in shape.items() if name not in UNTAGGED}
    return [_tagged(one) for one in shape] if isinstance(shape, list) else shape


async def heavily(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """The result of work on so many records, which is done beside all else; large ones wait for one another."""
    if size < LARGE:
        return await run_in_threadpool(work, *arguments)
    async with _large:
        return await run_in_threadpool(work, *arguments)


async def read_body(request: Request) -> bytes:
    """The whole body. Raises RefusedError where it is too large, or too slow."""
    octets = bytearray()
    if int_of(request.headers.get("content-length")) > MAX_BODY:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                octets += chunk
                if len(octets) > MAX_BODY:
                    raise _too_large()
    except TimeoutError:
        raise refused(Code.TOO_SLOW, f"the body did not arrive within {BODY_WITHIN_S:.0f} s") from None
    except ClientDisconnect:
        raise refused(Code.INVALID, "the connection was closed before the body was here") from None
    return bytes(octets)


def int_of(text: str | None) -> int:
    """A number in a header; 0 where there is none that can be read."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else 0


def _too_large() -> Exception:
    return refused(Code.TOO_LARGE, f"the body is larger than {MAX_BODY:,} octets")


def _with_control_characters(data: Any) -> RefusedError:
    """The error for texts with control characters, each at its place: those of names have a code of their own."""
    message = "the body has control characters in a text"
    paths = [path for path, text in _texts(data) if CONTROL.search(json.dumps(text, ensure_ascii=False))]
    faults = [Fault(Code.BAD_NAME if path[-1:] == ("name",) else Code.INVALID, message, path) for path in paths]
    return RefusedError(*faults[:MAX_FAULTS])


def _texts(data: Any) -> Iterator[tuple[Path, str]]:
    """Every text in JSON, keys among them, with its path."""
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
