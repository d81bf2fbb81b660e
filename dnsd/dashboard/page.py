"""Pages: rendered templates, with headers that let only the dashboard's own scripts run."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dnsd import __version__
from dnsd.api.envelope import InPieces
from dnsd.dashboard.flow_picture import percent
from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.sessions import Session, form_secret, signed, verified
from dnsd.dashboard.views import action_words
from dnsd.dashboard.visit import Visit
from dnsd.manage.session_port import LIFETIME
from dnsd.model.record_parts import Steps, finished
from dnsd.model.records import AUTOMATIC_TTL
from dnsd.model.spelling import unicode_text

SESSION = "dnsd_session"  # cookies
VISITOR = "dnsd_visitor"
NOTICE = "dnsd_notice"
UNDO = "dnsd_undo"
UNDO_PATH = re.compile(r"/zones/[0-9a-f]{32}/undo/[0-9TZ.]{1,30}/[0-9TZ.]{1,30}")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STATIC = "/static"
# Read at import: after the change of user, the process may be unable to read them.
TEMPLATES = {one.name: one.read_text("utf-8") for one in files("dnsd.dashboard").joinpath("templates").iterdir()}
FILES = {one.name: one.read_bytes() for one in files("dnsd.dashboard").joinpath("static").iterdir()}
# Compiled once, not when a page is first shown: these are shown in the event loop, which others wait for.
SHARED = ("base.html", "brake_banner.html", "error.html", "into_open.html", "sign_in.html", "stopped_changes.html")
MAX_NOTICE = 500  # characters


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """A page to show: its template and data."""

    template: str
    data: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """The next page, and a notice to show on it."""

    to: str
    notice: str = ""
    undo: str = ""  # the path of a form that takes the change back


@dataclass(frozen=True, slots=True)
class Download:
    """A text to download as a file."""

    name: str
    text: str


class Pages:
    """The templates, each compiled when it is first used, and the static files: compiling all costs 0.3 s."""

    def __init__(self) -> None:
        digest = hashlib.blake2b(b"".join(FILES.values()), digest_size=6).hexdigest()
        self._assets = f"{STATIC}/{digest}/"  # changes with the files, so that browsers may cache them
        self._environment = Environment(
            loader=DictLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"version": __version__, "assets": self._assets, "no_errors": FormErrors()}
        self._environment.filters |= {
            "action": action_words,
            "count": _count,
            "percent": percent,
            "plural": plural,
            "pretty": _pretty,
            "rate": _rate,
            "segment": _segment,
            "sentence": sentence,
            "time": _time,
            "ttl": ttl_words,
            "u_labels": _u_labels,
        }
        self._environment.globals["m"] = self._environment.get_template("macros.html").module
        for name in SHARED:
            self._environment.get_template(name)

    def shown(self, page: HtmlPage, visit: Visit | None = None, *, secret: str = "") -> Response:
        """The response for a small page, for a signed-in visit or for a visitor with `secret`."""
        return finished(self.rendered(page, visit, secret=secret))

    def rendered(self, page: HtmlPage, visit: Visit | None = None, *, secret: str = "") -> Steps[Response]:
        """The same for any page, in steps."""
        pieces = []
        for piece in self._environment.get_template(page.template).generate(
            **page.data, visit=visit, form_secret=form_secret(visit.session.secret if visit else secret)
        ):
            pieces.append(piece)
            yield
        response = InPieces("".join(pieces), page.status, HEADERS, "text/html")
        if visit and visit.notice:
            response.delete_cookie(NOTICE)
            response.delete_cookie(UNDO)
        return response

    def file(self, name: str) -> Response:
        """A style sheet, a script or a picture."""
        octets = FILES.get(name)
        if octets is None:
            return Response("no such file\n", 404, HEADERS, "text/plain")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(octets, 200, {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}, kind)


@cache
def pages() -> Pages:
    """The pages of this process, made at the first call."""
    return Pages()


def redirected(redirect: Redirect, request: Request, secret: str = "") -> Response:
    """The response for a redirect; cookies, signed with the session's secret, carry the notice and the undo."""
    response = RedirectResponse(redirect.to, 303, HEADERS)
    if redirect.notice:
        text = signed(quote(redirect.notice[:MAX_NOTICE]), secret)
        set_cookie(response, request, NOTICE, text, max_age_s=60)
    if redirect.undo:
        set_cookie(response, request, UNDO, signed(redirect.undo, secret), max_age_s=60)
    return response


def downloaded(download: Download) -> Response:
    """The response for a download."""
    name = f"attachment; filename*=UTF-8''{quote(download.name)}"
    return InPieces(download.text, 200, {**HEADERS, "Content-Disposition": name}, "text/plain")


def notice_of(request: Request, secret: str) -> str:
    """The notice from the previous page of a session with this secret."""
    return unquote(verified(request.cookies.get(NOTICE, ""), secret))[:MAX_NOTICE]


def undo_of(request: Request, secret: str) -> str:
    """The path that takes back the change of the previous page of a session with this secret."""
    path = verified(request.cookies.get(UNDO, ""), secret)
    return path if UNDO_PATH.fullmatch(path) else ""


def set_cookie(response: Response, request: Request, name: str, value: str, *, max_age_s: int | None = None) -> None:
    """Set a cookie that scripts and other sites cannot use, and that stays on TLS if it was set there."""
    response.set_cookie(name, value, max_age=max_age_s, httponly=True, samesite="strict", secure=_is_over_tls(request))


def _is_over_tls(request: Request) -> bool:
    """Whether the browser uses TLS: to dnsd itself, or to a proxy in front of it, as the origin of a form shows."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def begin_session(response: Response, session: Session, request: Request) -> Response:
    """Set a session's cookie on a response."""
    set_cookie(response, request, SESSION, session.secret, max_age_s=int(LIFETIME.total_seconds()))
    response.delete_cookie(VISITOR)
    return response


def _u_labels(name: str) -> str:
    """The name in U-labels if it is stored in A-labels; otherwise an empty text."""
    text = unicode_text(name)
    return text if text != name else ""


def ttl_words(ttl_s: int) -> str:
    """A TTL in words, in the largest unit that divides it: `5 min`, `1 day`."""
    if ttl_s == AUTOMATIC_TTL:
        return "Auto"
    for seconds, unit in ((86_400, "day"), (3600, "h"), (60, "min")):
        if ttl_s and ttl_s % seconds == 0:
            count = ttl_s // seconds
            return f"{count:,} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"{ttl_s:,} s"


def _time(at: datetime | str | float) -> str:
    """RFC 3339 in UTC, to the second."""
    if isinstance(at, float | int):
        at = datetime.fromtimestamp(at, UTC)
    text = at if isinstance(at, str) else at.astimezone(UTC).isoformat()
    return f"{text[:19]}Z"


def _count(number: int) -> str:
    return f"{number:,}"


def plural(number: int, word: str) -> str:
    """A number with its noun: `1 zone`, `2 zones`."""
    if number != 1:
        word = f"{word[:-1]}ies" if word.endswith("y") else f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{number:,} {word}"


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _pretty(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)


def sentence(text: str) -> str:
    """A message as a sentence."""
    text = text.removeprefix("not_found: ")
    first = text.split(maxsplit=1)[0] if text.strip() else ""
    if first.rstrip(",;:").isalpha():  # domain names and file names keep their case
        text = f"{text[0].upper()}{text[1:]}"
    return f"{text}{'' if text.endswith(('.', '?', '!')) else '.'}"


def _segment(text: str) -> str:
    """A text encoded as a path segment or a query value."""
    return quote(text, safe="")
