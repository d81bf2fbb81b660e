"""The envelope of every response, and pages of lists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dnsd.api.codes import ShownFault, shown_faults, status_of
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.model.record_parts import Steps, finished

T = TypeVar("T")
HEADERS: Mapping[int, Mapping[str, str]] = {  # sent with a status
    401: {"WWW-Authenticate": "Bearer"},  # RFC 9110 §15.5.2
    408: {"Connection": "close"},  # RFC 9110 §15.5.9
}
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}  # a browser must not take a tenant's text for HTML
NOTE = 10_000  # the code of messages; Cloudflare's schema has no codes below 1000
PIECE = 64 * 1024  # octets of a body that are rendered and sent at a time
FEW = 20  # items of a list, likewise
MAX_PAGE = 1_000_000_000  # higher page numbers are lowered to this; the page is empty


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that a client asks for; numbers out of range are clamped, not refused."""

    number: int  # from 1
    size: int

    @classmethod
    def of(cls, query: Mapping[str, str], *, default: int, largest: int) -> Page:
        """The page given by `page` and `per_page` in a query."""
        return cls(_number(query.get("page"), 1, MAX_PAGE), _number(query.get("per_page"), default, largest))

    def of_list(self, items: Sequence[T], shape: Callable[[T], Any]) -> Listed:
        """The items on this page, each in its shape; an empty list past the end."""
        start = (self.number - 1) * self.size
        return Listed(items[start : start + self.size], self, len(items), shape)


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list with `total` items; `shape` is applied to each item when the response is rendered."""

    items: Sequence[Any]
    page: Page
    total: int
    shape: Callable[[Any], Any] | None = None

    def shapes(self) -> Steps[list[Any]]:
        """The items as they are sent."""
        shapes: list[Any] = []
        for start in range(0, len(self.items), FEW):
            some = self.items[start : start + FEW]
            shapes += map(self.shape, some) if self.shape else some
            yield
        return shapes

    def info(self) -> dict[str, int]:
        """`result_info`."""
        return {
            "page": self.page.number,
            "per_page": self.page.size,
            "count": len(self.items),
            "total_count": self.total,
            "total_pages": ceil(self.total / self.page.size),
        }


@dataclass(frozen=True, slots=True)
class Cursored:
    """A part of a long list, with the cursor of the next part; empty at the end."""

    items: list[Any]
    cursor: str

    def shapes(self) -> Steps[list[Any]]:
        """The items as they are sent."""
        yield from ()
        return self.items

    def info(self) -> dict[str, Any]:
        """`result_info`, with the cursor in the places where older and newer clients look for it."""
        return {"count": len(self.items), "cursor": self.cursor, "cursors": {"after": self.cursor}}


def listed(items: Sequence[Any]) -> Listed:
    """All of a short list, as one page."""
    return Listed(list(items), Page(1, max(1, len(items))), len(items))


@dataclass(frozen=True, slots=True)
class Reply:
    """A route's result, with its messages, entity tag and, if it differs from the route's own, its status."""

    result: Any  # plain data, or Listed, or Cursored
    messages: Iterable[str] = ()
    etag: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """A result other than JSON: the export of a zone, or a document."""

    content: str | bytes
    media_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)


def is_large(reply: Reply | Raw) -> bool:
    """Whether rendering a response takes so long that others should not wait for it."""
    if isinstance(reply, Raw):
        return len(reply.content) > PIECE
    if isinstance(reply.result, Listed | Cursored):
        return len(reply.result.items) > FEW
    values = reply.result.values() if isinstance(reply.result, dict) else ()
    return any(isinstance(one, str | list) and len(one) > (PIECE if isinstance(one, str) else FEW) for one in values)


def response(reply: Reply | Raw, status: int = 200) -> Steps[Response]:
    """The HTTP response to a successful request; `status` is the route's."""
    if isinstance(reply, Raw):
        return InPieces(reply.content, media_type=reply.media_type, headers={**NO_SNIFFING, **reply.headers})
    is_list = isinstance(reply.result, Listed | Cursored)
    body: dict[str, Any] = {
        "success": True,
        "errors": [],
        "messages": [{"code": NOTE, "message": text, "type": None} for text in reply.messages],
        "result": (yield from reply.result.shapes()) if is_list else reply.result,
    }
    if is_list:
        body["result_info"] = reply.result.info()
    return (yield from _json(body, reply.status or status, {"ETag": f'"{reply.etag}"'} if reply.etag else {}))


class InPieces(Response):
    """A response whose body is sent in pieces, so that other requests have their turn between them."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        if len(self.body) <= PIECE:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body), PIECE):
            piece = bytes(body[start : start + PIECE])
            await send({"type": "http.response.body", "body": piece, "more_body": start + PIECE < len(body)})
            await asyncio.sleep(0)


def json_pieces(data: Any) -> Iterator[str]:
    """Data as JSON, in pieces that each take little time."""
    if isinstance(data, str) and len(data) > PIECE:
        yield '"'
        for start in range(0, len(data), PIECE):
            yield _dumped(data[start : start + PIECE])[1:-1]
        yield '"'
    elif isinstance(data, dict):
        for number, (name, value) in enumerate(data.items()):
            yield f"{',' if number else '{'}{_dumped(name)}:"
            yield from json_pieces(value)
        yield "}" if data else "{}"
    elif isinstance(data, list) and len(data) > FEW:
        for start in range(0, len(data), FEW):
            yield "," if start else "["
            yield _dumped(data[start : start + FEW])[1:-1]
        yield "]"
    else:
        yield _dumped(data)


_dumped = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def refusal(error: RefusedError, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP response to a refused request."""
    status = status_of(error)
    body = {
        "success": False,
        "errors": [_error(fault) for fault in shown_faults(error)],
        "messages": [],
        "result": None,
    }
    retry = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}  # RFC 9110 §10.2.3
    # Clients retry after these statuses, in vain: a wrong token stays wrong, a file that cannot be written now cannot
    # be written a second later, and a failed change may have been applied, also where a fleet does not tell yet.
    is_paced = error.faults[0].reason is Reason.TOO_MANY_WRITES and error.retry_after_s is not None
    if not is_paced and (status == 429 or status >= 500):
        retry["x-should-retry"] = "false"
    return finished(_json(body, status, {**retry, **HEADERS.get(status, {}), **(headers or {})}))


def gone() -> Response:
    """The response for a client that has gone, which only counts: 499 is the number that web servers log for it."""
    return Response(status_code=499)


def _error(fault: ShownFault) -> dict[str, Any]:
    error: dict[str, Any] = {"code": fault.code.number, "message": fault.message}
    return error | ({"source": {"pointer": fault.pointer}} if fault.path else {})


def _json(body: Any, status: int, headers: Mapping[str, str]) -> Steps[Response]:
    pieces = []
    for piece in json_pieces(body):
        pieces.append(piece.encode())  # the whole text at once would be a long step
        yield
    return InPieces(
        b"".join(pieces), status, {"Cache-Control": "no-store", **NO_SNIFFING, **headers}, "application/json"
    )


def _number(text: str | None, default: int, largest: int) -> int:
    try:
        number = int(float(text)) if text and len(text) <= 20 else default
    except (ValueError, OverflowError):
        number = default
    return min(max(number, 1), largest)
