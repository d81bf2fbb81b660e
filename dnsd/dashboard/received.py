"""What a request to the dashboard brings: its form, the address of its client, and the page that it is for."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

from starlette.requests import Request

from dnsd.api.access import presence_of
from dnsd.api.multipart import MultipartError, read_parts
from dnsd.api.request import SMALL
from dnsd.api.turns import STRANGERS, in_turns_of
from dnsd.dashboard.forms import FormValues
from dnsd.dashboard.sessions import Session
from dnsd.manage.refusal import Reason, refused
from dnsd.model.record_parts import Steps
from dnsd.process.turns import at_once

T = TypeVar("T")
MULTIPART = "multipart/form-data"


async def in_turns(request: Request, session: Session | None, steps: Steps[T]) -> T:
    """The result of work for a client, perhaps without a session, in turn with the work of others."""
    author = session.token.author.id if session else STRANGERS
    return await in_turns_of(author, presence_of(request), steps)


def check_origin(request: Request) -> None:
    """Refuse requests that a browser marks as coming from another site (CSRF); the form's secret covers the rest."""
    origin = request.headers.get("origin")
    scheme, _, host = (origin or "").partition("://")
    is_foreign = origin is not None and host != request.headers.get("host")
    is_foreign = is_foreign or (scheme == "http" and request.url.scheme == "https")
    if is_foreign or request.headers.get("sec-fetch-site") == "cross-site":
        raise refused(Reason.BAD_CREDENTIALS, "the form was sent by another site")


async def form_of(request: Request, session: Session | None, body: bytes) -> tuple[FormValues, dict[str, bytes]]:
    """The fields of a form, and its files. Raises RefusedError."""
    if not _is_multipart(request):
        large = at_once(partial(FormValues.of, body))
        return await in_turns(request, session, large) if len(body) > SMALL else FormValues.of(body), {}
    try:
        parts = await read_parts(request.headers["content-type"], body)
    except MultipartError:
        raise refused(Reason.INVALID, "the form cannot be read") from None
    fields = FormValues([(part.name, part.octets.decode(errors="replace")) for part in parts if not part.is_file])
    return fields, {part.name: part.octets for part in parts if part.is_file}


def _is_multipart(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(MULTIPART)


def client_of(request: Request) -> str:
    """The address of the client."""
    return request.client.host if request.client else ""


def url_of(request: Request) -> str:
    """The path and the query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def local_path(path: str) -> str:
    """The path to continue at after signing in: always a page of the dashboard."""
    is_ours = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if is_ours and not path.startswith("/sign-") else "/"
