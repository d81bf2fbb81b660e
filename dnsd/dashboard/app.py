"""The ASGI application of the dashboard: signing in and out, and dispatching signed-in requests to pages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from dnsd.api.access import Access, NoPermissionError, check_access, note_holders, presence_of
from dnsd.api.app import NOT_SERVED
from dnsd.api.codes import shown_faults, status_of
from dnsd.api.envelope import gone, refusal
from dnsd.api.request import read_body
from dnsd.dashboard.forms import FormValues
from dnsd.dashboard.into_open import CONFIRMED, WHOLE_PAGE, AskFirst, ask_page, with_undo
from dnsd.dashboard.page import (
    HEADERS,
    NOTICE,
    SESSION,
    STATIC,
    VISITOR,
    Download,
    HtmlPage,
    Redirect,
    begin_session,
    downloaded,
    notice_of,
    pages,
    redirected,
    sentence,
    set_cookie,
    undo_of,
)
from dnsd.dashboard.received import check_origin, client_of, form_of, in_turns, local_path, url_of
from dnsd.dashboard.routes import ROUTES, PageRoute
from dnsd.dashboard.sessions import Session, Sessions, is_form_secret, new_secret
from dnsd.dashboard.visit import Visit
from dnsd.errors import printable
from dnsd.manage.exposed import IntoOpenError
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.service import Service
from dnsd.manage.session_port import SessionRecords
from dnsd.manage.token_port import TokenFileError
from dnsd.manage.writes import Writes
from dnsd.model.record_parts import finished
from dnsd.process.tasks import OneByOne
from dnsd.process.turns import ClientGoneError
from dnsd.store.port import StoreAwayError

FORM_FIELD = "form_secret"
KEPT = "kept"  # marks a sign-in form that also carries a form sent after its session had ended
SIGN_IN_FIELDS = (FORM_FIELD, KEPT, "token", "next")
MAX_KEPT = 256 * 1024  # octets
MAX_SIGN_INS = 600  # a minute, of one author: each is written to the disk, in a fleet by its servers
ENDED = "Your session has ended. Sign in again."
OTHER_SESSION = "the form belongs to another session: go back and reload the page"
TITLES = {404: "Not found", 403: "Not allowed", 503: "Temporarily unavailable", 507: "The disk is full"}


def dashboard_app(service: Service, sessions: SessionRecords, report: Callable[[str], None]) -> ASGIApp:
    """The dashboard of a running server; `report` is called with internal errors."""
    dashboard = _Dashboard(service, sessions, report)
    routes = [
        Route("/sign-in", dashboard.show_sign_in),
        Route("/sign-in", dashboard.sign_in, methods=["POST"]),
        Route("/sign-out", dashboard.sign_out, methods=["POST"]),
        Route(f"{STATIC}/{{digest}}/{{name}}", dashboard.show_file),
        *(Route(route.path, partial(dashboard.answer, route), methods=[route.method]) for route in ROUTES),
    ]
    handlers: Any = {
        HTTPException: dashboard.on_http_error,
        ClientGoneError: dashboard.on_gone,
        Exception: dashboard.on_failure,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


class _Dashboard:
    """The endpoints: sessions, pages, static files and errors."""

    def __init__(self, service: Service, sessions: SessionRecords, report: Callable[[str], None]) -> None:
        self._service = service
        self._sessions = Sessions(sessions, service.tokens)
        self._saving = OneByOne()  # the sessions' file: other requests do not wait for the disk
        self._access = Access(service.tokens)
        self._sign_ins = Writes()
        self._pages = pages()
        self._report = report

    async def answer(self, route: PageRoute, request: Request) -> Response:
        """Answer a request for a page; without a session, show the sign-in page."""
        try:
            session = self._find_session(request)
            if session is None and SESSION in request.cookies:
                await self._service.catch_up()
                session = self._find_session(request)
        except TokenFileError as error:
            self._report(str(error))
            return self._refusal(refused(Reason.NOT_LOADED, "the token file cannot be used"), None)
        if session is not None:
            note_holders(request, session.token, self._service)
        visit = None
        try:
            if request.method == "POST":
                check_origin(request)
                body = await read_body(request)
                session = self._find_session(request)  # meanwhile, its token may have been narrowed or revoked
            else:
                body = b""
            if session is None:
                return await self._signed_out(request, body)
            form, upload = await form_of(request, session, body)
            visit = self._visit(request, session, form, upload)
            if request.method == "POST" and not is_form_secret(form.get(FORM_FIELD), session.secret):
                return await self._of_another_session(request, session, form)
            check_access(session.token, route.permission, visit.dataset, visit.path)
            if route.changes:
                self._service.pace(session.token)
            shown = await route.answer(visit)
            if isinstance(shown, Redirect) and CONFIRMED in form:
                shown = await with_undo(visit, shown)
            if isinstance(shown, Redirect) and route.changes and self._service.late():
                shown = replace(shown, notice=f"{shown.notice} {sentence(NOT_SERVED)}".lstrip())
        except RefusedError as error:
            return self._refusal(error, visit)
        except IntoOpenError as error:
            assert visit is not None
            response = self._pages.shown(ask_page(visit, error.exposures), visit)
            response.headers.update(WHOLE_PAGE)
            return response
        except TokenFileError as error:
            self._report(str(error))
            return self._refusal(refused(Reason.NOT_LOADED, "the token file cannot be used"), visit)
        except OSError as error:
            self._report(f"{request.method} {printable(request.url.path)}: {error}")
            return self._refusal(refused(Reason.NOT_LOADED, f"{error.filename or 'a file'}: {error.strerror}"), visit)
        if isinstance(shown, Redirect):
            return redirected(shown, request, session.secret)
        if isinstance(shown, Download):
            return await visit.aside(partial(downloaded, shown))
        return await visit.in_turns(self._pages.rendered(shown, visit))

    def _visit(self, request: Request, session: Session, form: FormValues, upload: dict[str, bytes]) -> Visit:
        return Visit(
            service=AskFirst(self._service, form.get(CONFIRMED)).as_service(),
            session=session,
            client=client_of(request),
            url=url_of(request),
            path={name: text.lower() if name.endswith("_id") else text for name, text in request.path_params.items()},
            query=FormValues.of(request.url.query),
            form=form,
            upload=upload,
            notice=notice_of(request, session.secret),
            undo=undo_of(request, session.secret),
            presence=presence_of(request),
        )

    def _find_session(self, request: Request) -> Session | None:
        """The session of a request. Raises TokenFileError."""
        return self._sessions.find(request.cookies.get(SESSION, ""), datetime.now(UTC))

    async def show_sign_in(self, request: Request) -> Response:
        """The page to sign in."""
        return await self._sign_in_page(request, local_path(request.query_params.get("next", "/")))

    async def sign_in(self, request: Request) -> Response:
        """Begin a session with a token."""
        try:
            check_origin(request)
            form, _ = await form_of(request, None, await read_body(request))
        except RefusedError as error:
            return self._refusal(error, None)
        then, visitor = local_path(form.get("next", "/")), request.cookies.get(VISITOR, "")
        kept = form if KEPT in form else None
        if not visitor or not is_form_secret(form.get(FORM_FIELD), visitor):
            wrong = "The page has expired, or your browser blocks cookies. Try again."
            return await self._sign_in_page(request, then, kept, wrong, 403)
        try:
            if not self._access.knows(form.text("token")):
                await self._service.catch_up()
            token = self._access.token_with(form.text("token"), client=client_of(request))
            self._sign_ins.take(token, MAX_SIGN_INS, time.monotonic(), kind="the limit of sign-ins a minute")
        except RefusedError as error:
            wrong = (
                "Enter a token." if not form.text("token") else f"{str(error).removeprefix('Authentication error: ')}."
            )
            return await self._sign_in_page(request, then, kept, wrong[0].upper() + wrong[1:], status_of(error))
        except TokenFileError as error:
            self._report(str(error))
            return self._refusal(refused(Reason.NOT_LOADED, "the token file cannot be used"), None)
        try:
            begin = partial(self._sessions.begin, token, form.text("token"), datetime.now(UTC))
            session = await self._saving.run(begin)
        except StoreAwayError as error:
            return self._refusal(refused(Reason.AWAY, f"the session cannot be kept: {error.strerror}"), None)
        except OSError as error:
            self._report(f"sessions: {error}")
            return self._refusal(
                refused(Reason.NO_ROOM, "the session cannot be saved: writing to the disk failed"), None
            )
        if kept is not None:
            response = await self._resume_page(request, then, kept, session)
        else:
            response = redirected(Redirect(then), request)
        return begin_session(response, session, request)

    async def sign_out(self, request: Request) -> Response:
        """End the session."""
        secret = request.cookies.get(SESSION, "")
        if not secret:
            return redirected(Redirect("/sign-in"), request)
        try:
            check_origin(request)
            form, _ = await form_of(request, None, await read_body(request))
            if not is_form_secret(form.get(FORM_FIELD), secret):
                raise refused(Reason.BAD_CREDENTIALS, OTHER_SESSION)
        except RefusedError as error:
            return self._refusal(error, None)
        try:
            await self._saving.run(partial(self._sessions.end, secret))
        except OSError as error:
            self._report(f"sessions: {error}")
        response = redirected(Redirect("/sign-in"), request)
        response.delete_cookie(SESSION)
        response.delete_cookie(NOTICE)
        return response

    async def show_file(self, request: Request) -> Response:
        """A style sheet, a script or a picture."""
        return self._pages.file(request.path_params["name"])

    async def on_http_error(self, request: Request, error: Exception) -> Response:
        """Answer a request for an unknown path, or with an unsupported method."""
        assert isinstance(error, HTTPException)
        if "text/html" not in request.headers.get("accept", ""):  # not a browser: meant for the API
            reason = Reason.BAD_METHOD if error.status_code == 405 else Reason.NO_ROUTE
            return refusal(refused(reason, "Could not route to the request's path: the API is below /client/v4"))
        page = HtmlPage(
            "error.html", {"title": "Not found", "messages": ["This page does not exist."]}, error.status_code
        )
        return self._pages.shown(page, self._visit_of(request))

    async def on_gone(self, _request: Request, _error: Exception) -> Response:
        """Answer nobody."""
        return gone()

    async def on_failure(self, request: Request, error: Exception) -> Response:
        """Report an internal error."""
        self._report(f"{request.method} {printable(request.url.path)}: {type(error).__name__}: {error}")
        messages = ["The server's log has the details."]
        return self._pages.shown(HtmlPage("error.html", {"title": "Internal error", "messages": messages}, 500))

    def _visit_of(self, request: Request) -> Visit | None:
        """The visit of a request without a page, for the navigation of the error page; None if not signed in."""
        try:
            session = self._sessions.find(request.cookies.get(SESSION, ""), datetime.now(UTC))
            return Visit(self._service, session, client_of(request), url_of(request)) if session else None
        except TokenFileError:
            return None

    def _refusal(self, error: RefusedError, visit: Visit | None) -> Response:
        status = status_of(error)
        messages = [sentence(fault.message) for fault in shown_faults(error)]
        if isinstance(error, NoPermissionError):
            messages = [
                f"You don't have access: {error.permission}.",
                "Ask the server's operator for a token with this permission.",
            ]
        if status >= 500 and not (visit and visit.token.is_operator):
            messages = ["Try again later. The server's operator can see the cause."]
        elif status >= 500:
            messages += map(sentence, self._service.problems())
        page = HtmlPage("error.html", {"title": TITLES.get(status, "Refused"), "messages": messages}, status)
        return self._pages.shown(page, visit)

    async def _of_another_session(self, request: Request, session: Session, form: FormValues) -> Response:
        """Offer to resend a form of another session: the user may have signed in again in another tab."""
        if not request.headers.get("origin"):
            error = refused(Reason.BAD_CREDENTIALS, OTHER_SESSION)
            return self._refusal(error, None)
        return await self._resume_page(request, url_of(request), form, session, 403)

    async def _resume_page(
        self, request: Request, then: str, form: FormValues, session: Session, status: int = 200
    ) -> Response:
        page = HtmlPage("resume.html", {"then": then, "pairs": _kept_pairs(form)}, status)
        return await in_turns(request, session, self._pages.rendered(page, secret=session.secret))

    async def _signed_out(self, request: Request, body: bytes) -> Response:
        """Show the sign-in page; a form sent from one of the dashboard's pages is kept, to be sent again."""
        if request.headers.get("hx-request"):  # a fragment of a page has no room for signing in
            return Response(status_code=204, headers={**HEADERS, "HX-Redirect": "/sign-in"})
        if request.method != "POST":
            return await self._sign_in_page(request, url_of(request))
        is_kept = request.headers.get("origin") is not None and len(body) <= MAX_KEPT
        form = (await form_of(request, None, body))[0] if is_kept else None
        return await self._sign_in_page(request, url_of(request), form, ENDED, 403)

    async def _sign_in_page(
        self, request: Request, then: str, kept: FormValues | None = None, wrong: str = "", status: int = 200
    ) -> Response:
        visitor = request.cookies.get(VISITOR) or new_secret()
        data = {"then": then, "is_kept": kept is not None, "kept": _kept_pairs(kept) if kept else [], "wrong": wrong}
        steps = self._pages.rendered(HtmlPage("sign_in.html", data, status), secret=visitor)
        response = await in_turns(request, None, steps) if kept else finished(steps)
        set_cookie(response, request, VISITOR, visitor)
        return response


def _kept_pairs(form: FormValues) -> list[tuple[str, str]]:
    return [(name, text) for name, text in form.pairs() if name not in SIGN_IN_FIELDS]
