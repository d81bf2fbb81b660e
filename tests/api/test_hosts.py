"""DNS rebinding: a page under an attacker's name reaches nothing of the API, the dashboard and the metrics."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import httpx
import pytest
from click.testing import CliRunner

from dnsd.cli import main
from tests.api.server import SETTINGS, Api
from tests.limits import HANG_S

METRICS = 'metrics: {listen: "127.0.0.1:0"}\n'
EVERYWHERE = 'api: {listen: "0.0.0.0:0"}'
LISTENING = re.compile(r"listening on \S+:(\d+) (api|metrics)")
API_PATHS = ("/client/v4/user", "/client/v4/zones", "/client/v4/nonsense", "/openapi.json", "/docs")
PAGES = ("/", "/sign-in", "/nonsense")
MONITORING = ("/metrics", "/healthz", "/readyz", "/nonsense")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server on the loopback address, with metrics."""
    with Api(tmp_path_factory.mktemp("local"), settings=SETTINGS + METRICS).running() as api:
        yield api


def origin(api: Api, service: str) -> str:
    ports = {name: port for port, name in LISTENING.findall(api.dns.stdout.text())}
    return f"http://127.0.0.1:{ports[service]}"


def get(api: Api, path: str, host: str, *, service: str = "api", token: str = "") -> httpx.Response:
    headers = {"Host": host} | ({"Authorization": f"Bearer {token}"} if token else {})
    return httpx.get(origin(api, service) + path, headers=headers, timeout=HANG_S)


def static_file(api: Api) -> str:
    """The path of the dashboard's style sheet."""
    found = re.search(r'"(/static/[^"]+)"', get(api, "/sign-in", "127.0.0.1").text)
    assert found
    return found[1]


@pytest.mark.parametrize("host", ["rebound.example", "REBOUND.example.:8053", "127.0.0.1.rebound.example"])
def test_name_of_an_attacker_reaches_nothing(local: Api, host: str) -> None:
    for path in (*API_PATHS, *PAGES, static_file(local)):
        for token in ("", local.operator):
            refused = get(local, path, host, token=token)
            assert refused.status_code == 421, path
            assert "api: {hosts: […]}" in refused.text or "api: {hosts: [\\u2026]}" in refused.text
            assert not refused.cookies
    for path in MONITORING:
        refused = get(local, path, host, service="metrics")
        assert refused.status_code == 421, path
        assert "metrics: {hosts: […]}" in refused.text
        assert "dnsd_" not in refused.text
    form = {"token": local.operator}
    posted = httpx.post(f"{origin(local, 'api')}/sign-in", headers={"Host": host}, data=form, timeout=HANG_S)
    assert posted.status_code == 421


def test_refusal_of_the_api_is_in_its_envelope(local: Api) -> None:
    said = get(local, "/client/v4/zones", "rebound.example").json()
    assert (said["success"], said["errors"][0]["code"]) == (False, 1021)
    said = get(local, "/client/v4/zones", "a@b").json()
    assert (said["success"], said["errors"][0]["code"]) == (False, 1001)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "192.0.2.7:1", "localhost:99", "LOCALHOST.", "[::1]:8053", "[fe80::1%eth0]"]
)
def test_address_and_localhost_reach_everything(local: Api, host: str) -> None:
    assert get(local, "/client/v4/user", host, token=local.operator).status_code == 200
    assert {get(local, path, host).status_code for path in ("/sign-in", "/docs", static_file(local))} == {200}
    assert {get(local, path, host, service="metrics").status_code for path in MONITORING[:3]} == {200}


# Octets of a request, status
RAW = {
    "HTTP/1.0 without a Host": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "HTTP/1.0 with a foreign Host": (b"GET /metrics HTTP/1.0\r\nHost: rebound.example\r\n\r\n", 421),
    "HTTP/1.1 without a Host": (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: rebound.example\r\n\r\n", 400),
    "an absolute target": (b"GET http://rebound.example/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421),
    "an absolute target of ours": (b"GET http://127.0.0.1/healthz HTTP/1.1\r\nHost: rebound.example\r\n\r\n", 200),
    "other headers about hosts": (
        b"GET /metrics HTTP/1.1\r\nHost: rebound.example\r\nX-Forwarded-Host: ::1\r\nForwarded: host=localhost\r\n\r\n",
        421,
    ),
    "two names": (b"GET /metrics HTTP/1.1\r\nHost: localhost, rebound.example\r\n\r\n", 400),
}


@pytest.mark.parametrize(("octets", "status"), RAW.values(), ids=RAW.keys())
def test_request_in_an_unusual_form(local: Api, octets: bytes, status: int) -> None:
    host, port = origin(local, "metrics").removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=HANG_S) as client:
        client.sendall(octets)
        assert client.recv(65536).split()[1] == str(status).encode()


def test_listed_names_change_with_a_reload(local: Api) -> None:
    settings = local.config.read_text()
    listed = settings.replace('api: {listen: "127.0.0.1:0"}', 'api: {listen: "127.0.0.1:0", hosts: [DNS.example.net]}')
    try:
        local.config.write_text(listed)
        assert CliRunner().invoke(main, ["reload", "-c", str(local.config)]).exit_code == 0
        assert get(local, "/sign-in", "dns.Example.net:8053").status_code == 200
        assert get(local, "/sign-in", "other.example.net").status_code == 421
        assert get(local, "/metrics", "dns.example.net", service="metrics").status_code == 421
    finally:
        local.config.write_text(settings)
    assert CliRunner().invoke(main, ["reload", "-c", str(local.config)]).exit_code == 0
    assert get(local, "/sign-in", "dns.example.net").status_code == 421
    assert "api.listen" not in local.dns.stderr.text()


def test_server_on_all_addresses_serves_tokens_under_any_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = SETTINGS.replace('api: {listen: "127.0.0.1:0"}', EVERYWHERE)
    with Api(tmp_path_factory.mktemp("everywhere"), settings=settings).running() as api:
        assert (
            api.dns.stderr.text().count("warning: api: 0.0.0.0:0 has no TLS: tokens and sessions cross the network")
            == 1
        )
        assert get(api, "/client/v4/user", "dnsd.internal", token=api.operator).status_code == 200
        assert get(api, "/client/v4/user", "dnsd.internal", token="dnsd_wrong").status_code == 421
        keyed = httpx.get(
            f"{origin(api, 'api')}/client/v4/user", headers={"Host": "dnsd", "X-Auth-Key": api.operator}, timeout=HANG_S
        )
        assert keyed.status_code == 200
        for path in (*API_PATHS, *PAGES):
            assert get(api, path, "rebound.example").status_code == 421, path
