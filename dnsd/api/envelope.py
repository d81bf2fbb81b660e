"""The envelope of every response, and pages of lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, TypeVar

from starlette.responses import Response

from dnsd.api.codes import ShownFault, shown_faults, status_of
from dnsd.manage.refusal import RefusedError
from dnsd.manage.writes import TooManyWritesError

T = TypeVar("T")
HEADERS: Mapping[int, Mapping[str, str]] = {  # sent with a status
    401: {"WWW-Authenticate": "Bearer"},  # RFC 9110 §15.5.2
    408: {"Connection": "close"},  # RFC 9110 §15.5.9
}
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}  # a browser must not take a tenant's text for HTML
NOTE = 10_000  # the code of messages; Cloudflare's schema has no codes below 1000
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
        return Listed([shape(item) for item in items[start : start + self.size]], self, len(items))


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list with `total` items."""

    items: list[Any]
    page: Page
    total: int

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


def response(reply: Reply | Raw, status: int = 200) -> Response:
    """The HTTP response to a successful request; `status` is the route's."""
    if isinstance(reply, Raw):
        return Response(reply.content, media_type=reply.media_type, headers={**NO_SNIFFING, **reply.headers})
    body: dict[str, Any] = {
        "success": True,
        "errors": [],
        "messages": [{"code": NOTE, "message": text, "type": None} for text in reply.messages],
        "result": reply.result.items if isinstance(reply.result, Listed | Cursored) else reply.result,
    }
    if isinstance(reply.result, Listed | Cursored):
        body["result_info"] = reply.result.info()
    return _json(body, reply.status or status, {"ETag": f'"{reply.etag}"'} if reply.etag else {})


def refusal(error: RefusedError, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP response to a refused request."""
    status = status_of(error)
    body = {
        "success": False,
        "errors": [_error(fault) for fault in shown_faults(error)],
        "messages": [],
        "result": None,
    }
    # Clients retry after these statuses, in vain: a wrong token stays wrong, a file that cannot be written now cannot
    # be written a second later, and a failed change may have been applied.
    if isinstance(error, TooManyWritesError):
        retry = {"Retry-After": str(error.retry_after_s)}  # RFC 6585 §4
    else:
        retry = {"x-should-retry": "false"} if status == 429 or status >= 500 else {}
    return _json(body, status, {**retry, **HEADERS.get(status, {}), **(headers or {})})


def _error(fault: ShownFault) -> dict[str, Any]:
    error: dict[str, Any] = {"code": fault.code.number, "message": fault.message}
    return error | ({"source": {"pointer": fault.pointer}} if fault.path else {})


def _json(body: Any, status: int, headers: Mapping[str, str]) -> Response:
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"))
    return Response(text, status, {"Cache-Control": "no-store", **NO_SNIFFING, **headers}, "application/json")


def _number(text: str | None, default: int, largest: int) -> int:
    try:
        number = int(float(text)) if text and len(text) <= 20 else default
    except (ValueError, OverflowError):
        number = default
    return min(max(number, 1), largest)
