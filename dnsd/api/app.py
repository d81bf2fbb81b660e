"""The ASGI application of the API: dispatches requests to routes and wraps results and errors in the envelope."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from starlette import routing
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dnsd.api import into_open
from dnsd.api.access import Access, check_access, has_token, note_holders, presence_of
from dnsd.api.codes import status_of
from dnsd.api.docs_page import fixed_docs
from dnsd.api.edges import late_edges, waits_for_edges
from dnsd.api.envelope import NO_SNIFFING, Reply, gone, is_large, refusal, response
from dnsd.api.fixed_page import FixedPage
from dnsd.api.into_open import OpenWatch, refuses
from dnsd.api.openapi import openapi_document
from dnsd.api.request import Call, read_body
from dnsd.api.routes import BASE, ROUTES, Route
from dnsd.errors import printable
from dnsd.manage.fleet_words import WAIT
from dnsd.manage.pending import FIELD
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.service import Actor, Service
from dnsd.manage.token_port import TokenFileError
from dnsd.model.record_parts import finished
from dnsd.process.turns import ClientGoneError

SLASHES = re.compile("/{2,}")  # acme.sh ends the base URL with a slash and begins the path with another
JSON = "application/json"
UNAVAILABLE = "temporarily unavailable; the server's operator can see the cause"

Endpoint = Callable[[Request], Awaitable[Response]]
NOT_SERVED = "it is saved, but not every worker serves it yet: some DNS answers may still be the old ones"


def api_app(service: Service, report: Callable[[str], None]) -> ASGIApp:
    """The API of a running server; `report` is called with internal errors."""
    access = Access(service.tokens)
    logging.getLogger("python_multipart").disabled = True  # clients' malformed forms are not logged
    pages = [
        routing.Route(BASE + route.path, _endpoint(route, service, access, report), methods=[route.method])
        for route in ROUTES
    ]
    document = FixedPage(_openapi_octets, "application/json", NO_SNIFFING)
    pages += [routing.Route("/openapi.json", document.answer), routing.Route("/docs", fixed_docs().answer)]
    app = Starlette(
        routes=pages, exception_handlers={HTTPException: _on_http_error, Exception: partial(_on_failure, report)}
    )
    app.router.redirect_slashes = False
    return _Normalized(app)


def _endpoint(route: Route, service: Service, access: Access, report: Callable[[str], None]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        by_operator = False
        try:
            client = request.client.host if request.client else ""
            if not has_token(request, service.tokens):
                await service.catch_up()
            token = access.token_of(request, client)
            by_operator = token.is_operator
            note_holders(request, token, service)
            body = await read_body(request, route.largest)  # only after authentication: strangers cannot fill memory
            token = access.token_of(request, client)  # meanwhile, it may have been narrowed or revoked
            path = {name: text.lower() if name != "ip" else text for name, text in request.path_params.items()}
            check_access(token, route.permission, service.loaded.dataset, path)
            if route.changes:
                service.pace(token)
            _check_time(request, route)
            query = dict(request.query_params)
            waits = route.changes and waits_for_edges(query.get(WAIT))
            watch = OpenWatch(service, refuses=refuses(query.get(into_open.FIELD)))
            call = Call(
                watch.as_service(),
                Actor(token, client, presence=presence_of(request)),
                path,
                query,
                dict(request.headers),
                body,
            )
            if route.body and route.body_type == JSON:
                await call.read(lambda: call.json)
            reply = await route.answer(call)
            late = [NOT_SERVED] if route.changes and service.late() else []
            late += await late_edges(service, by_operator=by_operator) if waits else []
            if (notes := [*call.notes, *watch.notes, *late]) and isinstance(reply, Reply):
                reply = replace(reply, messages=[*reply.messages, *notes])
            rendered = response(reply, route.status)
            return await call.in_turns(rendered) if is_large(reply) else finished(rendered)
        except ClientGoneError:
            return gone()
        except RefusedError as error:
            if status_of(error) >= 500 and not by_operator:  # the message may name the server's files
                error = refused(error.faults[0].reason, UNAVAILABLE)
            return refusal(error)
        except (TokenFileError, OSError) as error:
            report(f"{request.method} {printable(request.url.path)}: {error}")
            return refusal(refused(Reason.NOT_LOADED, UNAVAILABLE))
        except Exception as error:  # the framework would close the connection
            return await _on_failure(report, request, error)

    return endpoint


def _check_time(request: Request, route: Route) -> None:
    """Refuse a time where changes cannot wait: they would be made at once."""
    if FIELD in request.query_params and FIELD not in route.query:
        raise refused(Reason.INVALID, "only changes of address maps can wait: leave it out", FIELD)


def _openapi_octets() -> bytes:
    return json.dumps(openapi_document(ROUTES), ensure_ascii=False, separators=(",", ":")).encode()


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        methods = ", ".join(_methods(request))
        message = f"method {request.method} is not allowed on this path; allowed: {methods}"
        return refusal(refused(Reason.BAD_METHOD, message), {"Allow": methods})
    return refusal(
        refused(Reason.NO_ROUTE, "Could not route to the request's path, perhaps your object identifier is invalid?")
    )


def _methods(request: Request) -> list[str]:
    """The methods of all routes that match a request's path."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not routing.Match.NONE]
    return sorted({method for route in routes for method in route.methods} - {"HEAD"})


async def _on_failure(report: Callable[[str], None], request: Request, error: Exception) -> Response:
    report(f"{request.method} {printable(request.url.path)}: {type(error).__name__}: {error}")
    return refusal(refused(Reason.FAILED, "internal error; the server's log has the details"))


class _Normalized:
    """Normalizes requests: repeated slashes become one, a trailing slash is dropped, and HEAD is handled as GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the HTTP server drops the body
            scope = {**scope, "method": method, "path": SLASHES.sub("/", scope["path"]).rstrip("/") or "/"}
        await self._app(scope, receive, send)
