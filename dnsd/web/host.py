"""The Host of a request: only names that the operator has listed reach the server (DNS rebinding).

A page of another site can point its own name to this server's address, and its scripts may then read what they ask
for under that name. An address, `localhost` or a listed name cannot be pointed elsewhere by others.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

MALFORMED = "the Host header is not a name or an address, with or without a port"
WRONG_HOST = 421  # RFC 9110 §15.5.20: not the server of this name
LOCALHOST = "localhost"
HSTS = (b"strict-transport-security", b"max-age=31536000")  # RFC 6797: a year
# RFC 9110 §7.2: a name, an IPv4 address or an IPv6 address in brackets, and perhaps a port.
HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+(?:%[\w.~%-]+)?\]|[^\s\[\]:@/?#\\]*)(?::[0-9]*)?")
ABSOLUTE = re.compile(rb"https?://(?P<host>[^/]*)(?P<path>/.*)?", re.IGNORECASE | re.DOTALL)

HostRefusal = Callable[[Scope, int, str], ASGIApp]  # the response, by status and message


@dataclass(frozen=True, slots=True)
class HostRules:
    """The names to which a service answers."""

    service: str  # the section of the settings
    hosts: frozenset[str]
    is_wildcard: bool  # it listens on all addresses of the machine

    @property
    def serves_tokens(self) -> bool:
        """Whether requests with a token may use any name: the operator could not foresee the machine's names."""
        return self.is_wildcard and not self.hosts

    def accepts(self, name: str) -> bool:
        """Whether everybody may use this name, as `host_name` returns it."""
        return not name or name == LOCALHOST or name in self.hosts or _is_address(name)

    def message(self, name: str) -> str:
        """The reason why a name is refused."""
        remedy = f"add it to `{self.service}: {{hosts: […]}}` in dnsd.yaml, or use the server's address"
        token = " without a valid token" if self.serves_tokens else ""
        return f"this server does not answer to the name {name[:255]!a}{token}: {remedy}"


def host_name(text: str) -> str:
    """The name or address in a Host header, in lower case, without port and final dot; "" if there is none.

    Raises ValueError if it is malformed.
    """
    found = HOST.fullmatch(text.strip(" \t"))
    if not found:
        raise ValueError(MALFORMED)
    name = found["name"].lower()
    if name.startswith("["):
        try:
            ipaddress.IPv6Address(name.strip("[]").partition("%")[0])  # a zone id is the client's own (RFC 6874)
        except ValueError:
            raise ValueError(MALFORMED) from None
    return name.removesuffix(".")


def _is_address(name: str) -> bool:
    """Whether `host_name` has returned an address."""
    if name.startswith("["):
        return True
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


class HostCheck:
    """Passes requests to an application if they name a host that the rules accept.

    HTTP/1.0 clients may send no Host: they mean the address that they connected to, and no browser is among them.
    """

    def __init__(
        self,
        app: ASGIApp,
        rules: Callable[[], HostRules],
        refusal: HostRefusal,
        has_token: Callable[[Scope], bool],
    ) -> None:
        self._app = app
        self._rules = rules
        self._refusal = refusal
        self._has_token = has_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse a request."""
        scope = _in_origin_form(scope)
        rules = self._rules()
        try:
            name = host_name(Headers(scope=scope).get("host", ""))
        except ValueError as error:
            await self._refusal(scope, 400, str(error))(scope, receive, send)
            return
        if rules.accepts(name) or (rules.serves_tokens and self._has_token(scope)):
            is_strict = scope["scheme"] == "https" and name in rules.hosts
            await self._app(scope, receive, _strict(send) if is_strict else send)
        else:
            await self._refusal(scope, WRONG_HOST, rules.message(name))(scope, receive, send)


def _in_origin_form(scope: Scope) -> Scope:
    """The request with a path alone; the host of an absolute target takes the place of Host (RFC 9112 §3.2.2)."""
    found = ABSOLUTE.fullmatch(scope["raw_path"])
    if not found:
        return scope
    path = found["path"] or b"/"
    headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {
        **scope,
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "headers": [(b"host", found["host"]), *headers],
    }


def _strict(send: Send) -> Send:
    """Send responses that tell browsers to use TLS only."""

    async def strict(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), HSTS]}  # type: ignore[misc]
        await send(message)

    return strict  # type: ignore[return-value]
