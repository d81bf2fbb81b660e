"""Connections of the API and the dashboard: a token used from many networks has no more than a share of them."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from dnsd.web.http import MAX_CONNECTIONS
from tests.api.server import A1, A2, BASE, FILES, Z1, Z2, Api
from tests.browser.sessions import Person
from tests.limits import HANG_S

Headers = dict[str, str]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("places"), FILES).running() as running:
        yield running


def bearer(secret: str) -> tuple[str, Headers]:
    return f"{BASE}/zones", {"Authorization": f"Bearer {secret}"}


def one_token(api: Api) -> Callable[[int], tuple[str, Headers]]:
    secret = api.token("--account", A1)
    return lambda number: bearer(secret)


def tokens_of_an_account(api: Api) -> Callable[[int], tuple[str, Headers]]:
    secrets = [api.token(*scope) for scope in (("--account", A1), ("--zone", Z1), ("--zone", Z2)) for _ in range(8)]
    return lambda number: bearer(secrets[number % len(secrets)])


def session(api: Api) -> Callable[[int], tuple[str, Headers]]:
    with Person(api, api.token("--account", A1)) as person:
        cookies = "; ".join(f"{name}={value}" for name, value in person.client.cookies.items())
    return lambda number: ("/accounts", {"Cookie": cookies})


@pytest.mark.parametrize("credentials", [one_token, tokens_of_an_account, session])
def test_connections_of_one_holder_leave_those_of_others(
    api: Api, credentials: Callable[[Api], Callable[[int], tuple[str, Headers]]]
) -> None:
    stolen, honest = credentials(api), bearer(api.token("--account", A2))
    with ExitStack() as opened:

        def client(source: str) -> http.client.HTTPConnection:
            host, _, port = api.origin.removeprefix("http://").partition(":")
            made = http.client.HTTPConnection(host, int(port), timeout=HANG_S, source_address=(source, 0))
            made.connect()
            assert made.sock
            made.auto_open = 0
            return opened.enter_context(closing(made))

        def status(one: http.client.HTTPConnection, path: str, headers: Headers) -> int:
            one.request("GET", path, headers=headers)
            reply = one.getresponse()
            reply.read()
            return reply.status

        idle_longest = client("127.0.5.1")
        assert status(idle_longest, *honest) == 200
        for number in range(MAX_CONNECTIONS + 10):
            assert status(client(f"127.0.6.{number + 1}"), *stolen(number)) == 200
        assert status(idle_longest, *honest) == 200
        assert status(client("127.0.5.2"), *honest) == 200
