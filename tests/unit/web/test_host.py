"""The Host of a request: which names reach an application, and what the others hear."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Scope

from dnsd.web.host import HostCheck, HostRules

LISTED = frozenset({"dns.example.net", "edge_1.example.org"})
ONE, WILDCARD = (HostRules("api", LISTED, is_wildcard=wildcard) for wildcard in (False, True))
NO_NAMES = HostRules("metrics", frozenset(), is_wildcard=False)
UNFORESEEN = HostRules("api", frozenset(), is_wildcard=True)

# Host, status for everybody under ONE
HOSTS: dict[str, int] = {
    "127.0.0.1": 200,
    "127.0.0.1:8053": 200,
    "192.0.2.7:1": 200,
    "127.0.0.1.": 200,
    "[::1]": 200,
    "[::1]:8053": 200,
    "[2001:DB8::1]:8053": 200,
    "[fe80::1%eth0]:8053": 200,
    "[fe80::1%25eth0]": 200,
    "localhost": 200,
    "LOCALHOST:8053": 200,
    "localhost.": 200,
    "dns.example.net": 200,
    "dns.example.net:": 200,
    "DNS.Example.NET:8053": 200,
    "dns.example.net.": 200,
    "dns.example.net.:443": 200,
    "edge_1.example.org": 200,
    "": 200,
    "evil.example": 421,
    "evil.example:8053": 421,
    "EVIL.example.": 421,
    "localhost.evil.example": 421,
    "x.localhost": 421,
    "127.0.0.1.evil.example": 421,
    "xdns.example.net": 421,
    "x.dns.example.net": 421,
    "dns.example.net..": 421,
    "127.1": 421,
    "2130706433": 421,
    "0x7f.0.0.1": 421,
    "127.0.0.01": 421,
    "127.0.0.1%eth0": 421,
    "bücher.example": 421,
    ".": 200,
    "::1": 400,
    "[::1": 400,
    "[::g]": 400,
    "[127.0.0.1]": 400,
    "[::1]evil.example": 400,
    "[::1%]": 400,
    "evil.example@127.0.0.1": 400,
    "127.0.0.1:80@evil.example": 400,
    "127.0.0.1:80.evil.example": 400,
    "127.0.0.1, evil.example": 400,
    "127.0.0.1/evil": 400,
    "127.0.0.1#evil.example": 400,
    "dns.example.net:443x": 400,
}


def request(host: str | None, target: str = "/metrics", *, scheme: str = "http") -> Scope:
    path, _, query = target.partition("?")
    headers = [] if host is None else [(b"host", host.encode("utf-8"))]
    return {
        "type": "http",
        "method": "GET",
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
    }


def sent(scope: Scope, rules: HostRules, *, has_token: bool = False) -> tuple[int, dict[bytes, bytes], str]:
    """The status, the headers and the body of the response; the application's body is the path and Host that it saw."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen = " ".join([scope["path"], scope["raw_path"].decode(), dict(scope["headers"]).get(b"host", b"").decode()])
        await PlainTextResponse(seen)(scope, receive, send)

    def refusal(scope: Scope, status: int, message: str) -> ASGIApp:
        return PlainTextResponse(message, status)

    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        raise AssertionError("the body is not read")

    asyncio.run(HostCheck(app, lambda: rules, refusal, lambda scope: has_token)(scope, receive, send))
    return messages[0]["status"], dict(messages[0]["headers"]), b"".join(one["body"] for one in messages[1:]).decode()


@pytest.mark.parametrize(("host", "status"), HOSTS.items(), ids=[repr(host) for host in HOSTS])
def test_only_addresses_localhost_and_listed_names_reach_the_application(host: str, status: int) -> None:
    for rules in (ONE, WILDCARD):
        assert sent(request(host), rules)[0] == status
        assert sent(request(host), rules, has_token=True)[0] == status  # a list of names is complete


def test_request_without_host_means_the_address() -> None:
    assert sent(request(None), NO_NAMES)[0] == 200


@pytest.mark.parametrize(
    ("rules", "has_token", "status"),
    [
        (UNFORESEEN, True, 200),
        (UNFORESEEN, False, 421),
        (NO_NAMES, True, 421),
        (NO_NAMES, False, 421),
    ],
)
def test_unlisted_names_need_a_token_and_a_wildcard_address(rules: HostRules, has_token: bool, status: int) -> None:
    assert sent(request("dnsd.internal:8053"), rules, has_token=has_token)[0] == status


def test_refusal_names_the_name_and_the_setting() -> None:
    _, _, said = sent(request("evil.example:80"), NO_NAMES)
    assert "'evil.example'" in said
    assert "`metrics: {hosts: […]}`" in said
    _, _, said = sent(request("evil.example"), UNFORESEEN)
    assert "without a valid token" in said


# Target, Host, status, path that the application sees
TARGETS = {
    "of an attacker": ("http://evil.example/metrics", "127.0.0.1", 421, ""),
    "of an attacker, in capitals": ("HTTP://EVIL.example:80/metrics", "127.0.0.1", 421, ""),
    "of ours": ("http://dns.example.net:1/a%20b", "evil.example", 200, "/a b /a%20b dns.example.net:1"),
    "without a path": ("https://127.0.0.1", "127.0.0.1", 200, "/ / 127.0.0.1"),
    "with a user": ("http://127.0.0.1@evil.example/", "127.0.0.1", 400, ""),
    "without a host": ("http:///metrics", "evil.example", 200, "/metrics /metrics "),
}


@pytest.mark.parametrize(("target", "host", "status", "seen"), TARGETS.values(), ids=TARGETS.keys())
def test_absolute_target_takes_the_place_of_host(target: str, host: str, status: int, seen: str) -> None:
    found, _, said = sent(request(host, target), ONE)
    assert found == status
    assert not seen or said == seen


@pytest.mark.parametrize(
    ("scheme", "host", "is_strict"),
    [
        ("https", "DNS.example.net:8053", True),
        ("https", "127.0.0.1", False),
        ("https", "localhost", False),
        ("http", "dns.example.net", False),
    ],
)
def test_browsers_keep_to_tls_for_listed_names(scheme: str, host: str, is_strict: bool) -> None:
    _, headers, _ = sent(request(host, scheme=scheme), ONE)
    assert (headers.get(b"strict-transport-security") == b"max-age=31536000") is is_strict
