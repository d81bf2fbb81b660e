"""The API, the dashboard and the metrics over TLS: certificates and their renewal, handshakes, cookies, clients."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from cloudflare import Cloudflare

from dnsd.cli import main
from dnsd.web.http import MAX_CONNECTIONS
from tests.api.server import BASE, SETTINGS, Z1, Api
from tests.certificates import Authority
from tests.limits import HANG_S
from tests.soak.harness import wait_until

NAMES = ("dns.example.com", "localhost", "127.0.0.1")
TOKEN = "0123456789abcdef-metrics"
METRICS = re.compile(r"listening on (\S+) metrics")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def api(authority: Authority) -> Iterator[Api]:
    """A server with TLS for the API and the metrics, and a token for the metrics."""
    authority.issue(*NAMES)
    (authority.folder / "metrics.token").write_text(f"{TOKEN}\n")
    tls = "tls: {certificate: server.pem, key: server.key}"
    settings = SETTINGS.replace(
        'api: {listen: "127.0.0.1:0"}',
        f'api: {{listen: "127.0.0.1:{free_port()}", hosts: [dns.example.com], {tls}}}\n'
        f'metrics: {{listen: "127.0.0.1:0", {tls}, token_file: metrics.token}}',
    )
    with Api(authority.folder, settings=settings, trust=authority.trust()).running() as api:
        yield api


def endpoint(api: Api) -> tuple[str, int]:
    host, port = api.origin.removeprefix("https://").split(":")
    return host, int(port)


def metrics(api: Api, path: str, token: str = "") -> httpx.Response:
    found = METRICS.search(api.dns.stdout.text())
    assert found
    headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
    assert api.trust
    return httpx.get(f"https://{found[1]}{path}", headers=headers, verify=api.trust, timeout=HANG_S)


def wait_for(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, [*arguments], env=environment)


# Service


def test_requests_and_writes_are_answered(api: Api) -> None:
    assert {zone["name"] for zone in api.result("GET", "/zones")} >= {"example.com", "example.net"}
    record = {"type": "A", "name": "tls", "content": "192.0.2.77", "ttl": 300}
    assert api.result("POST", f"/zones/{Z1}/dns_records", record)["content"] == "192.0.2.77"
    assert api.ask("tls.example.com") == ["192.0.2.77"]
    large = api.call("POST", f"/zones/{Z1}/dns_records/batch", content=b"x" * 300_000)
    assert large.status_code == 400


def test_browsers_keep_to_tls_for_listed_names_alone(api: Api) -> None:
    listed = api.call("GET", "/user", headers={"Host": "dns.example.com"})
    assert listed.headers["strict-transport-security"] == "max-age=31536000"
    assert "strict-transport-security" not in api.call("GET", "/user").headers


def test_cookies_are_for_tls_only(api: Api) -> None:
    assert api.trust
    with httpx.Client(base_url=api.origin, verify=api.trust, timeout=HANG_S) as browser:
        page = browser.get("/sign-in")
        secret = re.search(r'name="form_secret" value="([^"]+)"', page.text)
        assert secret
        form = {"form_secret": secret[1], "token": api.operator, "next": "/"}
        foreign = browser.post("/sign-in", data=form, headers={"Origin": api.origin.replace("https", "http")})
        assert foreign.status_code == 403
        signed_in = browser.post("/sign-in", data=form, headers={"Origin": api.origin})
        assert signed_in.status_code == 303
        cookies = [*page.headers.get_list("set-cookie"), *signed_in.headers.get_list("set-cookie")]
        assert any(cookie.startswith("dnsd_session=") for cookie in cookies)
        for cookie in cookies:
            assert "; Secure" in cookie or "Max-Age=0" in cookie, cookie
            assert "HttpOnly" in cookie or "Max-Age=0" in cookie, cookie


def test_metrics_require_their_token(api: Api) -> None:
    for token in ("", "wrong", TOKEN[:-1], f"{TOKEN}x", "é"):
        refused = metrics(api, "/metrics", token)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert "dnsd_" not in refused.text
    page = metrics(api, "/metrics", TOKEN).text
    assert 'dnsd_tls_certificate_usable{service="api"} 1.0' in page
    ends = re.search(r'dnsd_tls_certificate_expiry_timestamp_seconds\{service="metrics"\} (\S+)', page)
    assert ends
    assert float(ends[1]) - time.time() > 80 * 86_400
    assert metrics(api, "/readyz").text == "ok\n"
    assert metrics(api, "/healthz").status_code == 200
    assert TOKEN not in api.dns.stderr.text()


def test_new_token_counts_at_once(api: Api, authority: Authority) -> None:
    file = authority.folder / "metrics.token"
    try:
        file.write_text("another-token-of-good-length\n")
        assert metrics(api, "/metrics", TOKEN).status_code == 401
        assert metrics(api, "/metrics", "another-token-of-good-length").status_code == 200
        file.write_text("\n")
        assert metrics(api, "/metrics", "another-token-of-good-length").status_code == 401
        wait_until(lambda: "metrics.token holds no token" in api.dns.stderr.text())
    finally:
        file.write_text(f"{TOKEN}\n")


# Renewal


def served(api: Api) -> bytes | None:
    """The certificate that a new connection gets."""
    assert api.trust
    with (
        socket.create_connection(endpoint(api), timeout=HANG_S) as sock,
        api.trust.wrap_socket(sock, server_hostname="127.0.0.1") as client,
    ):
        return client.getpeercert(binary_form=True)


def test_renewal_loses_no_request_and_keeps_connections(api: Api, authority: Authority) -> None:
    before = served(api)
    with httpx.Client(base_url=api.origin + BASE, verify=authority.trust(), timeout=HANG_S) as kept:
        headers = {"Authorization": f"Bearer {api.operator}"}
        assert kept.get("/user", headers=headers).status_code == 200
        authority.issue(*NAMES)
        statuses = []

        def is_renewed() -> bool:
            statuses.append(kept.get("/user", headers=headers).status_code)
            return served(api) != before

        wait_for(is_renewed, api.dns.stderr.text)
        assert kept.get("/user", headers=headers).status_code == 200
    assert {*statuses} == {200}
    wait_for(lambda: "api.tls: new certificate of dns.example.com" in api.dns.stderr.text(), api.dns.stderr.text)


# Handshakes


def is_closed(client: socket.socket) -> bool:
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_clients_that_finish_no_handshake_keep_nobody_out(api: Api) -> None:
    hello = client_hello()
    firsts = [b"", hello, hello[:20], b"\x16\x03\x01\x40\x00", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"]
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(2 * MAX_CONNECTIONS):
            client = stack.enter_context(socket.create_connection(endpoint(api), timeout=HANG_S))
            with contextlib.suppress(OSError):
                client.sendall(firsts[number % len(firsts)])
            clients.append(client)
        assert api.trust
        answered = httpx.get(f"{api.origin}/docs", verify=api.trust, timeout=HANG_S)
        assert answered.status_code == 200
        assert api.ask("www.example.com")
        assert all(is_closed(client) for client in clients)
    assert api.call("GET", "/user").status_code == 200
    assert "Traceback" not in api.dns.stderr.text()


def test_flood_of_handshakes_leaves_dns_and_other_clients_alone(api: Api) -> None:
    """Whole handshakes, which cost the server the most, until DNS and the API have answered."""
    done = threading.Event()
    counted = []

    def flood() -> None:
        assert api.trust
        while not done.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(endpoint(api), timeout=HANG_S) as sock,
                api.trust.wrap_socket(sock, server_hostname="localhost"),
            ):
                counted.append(1)

    floods = [threading.Thread(target=flood) for _ in range(4)]
    for one in floods:
        one.start()
    try:
        for _ in range(200):
            assert api.ask("www.example.com")
        assert api.trust
        assert httpx.get(f"{api.origin}/docs", verify=api.trust, timeout=HANG_S).status_code == 200
    finally:
        done.set()
        for one in floods:
            one.join()
    assert counted


def spoken(api: Api, context: ssl.SSLContext) -> str | None:
    """The version of TLS of a new connection."""
    with (
        socket.create_connection(endpoint(api), timeout=HANG_S) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as client,
    ):
        return client.version()


def speaking(authority: Authority, version: str) -> ssl.SSLContext:
    """A client's context that offers one version, also one that OpenSSL no longer offers by itself."""
    context = authority.trust()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
def test_old_versions_of_tls_are_refused(api: Api, authority: Authority, version: str) -> None:
    with pytest.raises((ssl.SSLEOFError, ConnectionError)):  # the server closes, the client did offer the version
        spoken(api, speaking(authority, version))


@pytest.mark.parametrize(("version", "name"), [("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")])
def test_current_versions_of_tls_are_spoken(api: Api, authority: Authority, version: str, name: str) -> None:
    assert spoken(api, speaking(authority, version)) == name


def client_hello() -> bytes:
    """The first message of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def test_malformed_request_is_answered_and_the_connection_closed(api: Api) -> None:
    assert api.trust
    with (
        socket.create_connection(endpoint(api), timeout=HANG_S) as sock,
        api.trust.wrap_socket(sock, server_hostname="localhost") as client,
    ):
        client.sendall(b"nonsense\r\n\r\n")
        octets = b""
        with contextlib.suppress(ssl.SSLError):
            while part := client.recv(65536):
                octets += part
    assert octets.startswith(b"HTTP/1.1 400 ")
    assert b'"success":false' in octets


def test_requests_sent_with_the_end_of_the_handshake_are_answered(api: Api) -> None:
    assert api.trust
    request = b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for _ in range(20):
        with socket.create_connection(endpoint(api), timeout=HANG_S) as sock:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = api.trust.wrap_bio(incoming, outgoing, server_hostname="localhost")
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))
            client.write(request)
            sock.sendall(outgoing.read())  # Finished and the request, in one segment
            while True:
                incoming.write(sock.recv(65536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    assert client.read(15) == b"HTTP/1.1 200 OK"
                    break


# Clients


def test_commands_trust_the_certificate_of_their_settings(api: Api) -> None:
    done = run("zone", "list", "-c", str(api.config))
    assert done.exit_code == 0, done.output
    assert "example.com" in done.stdout
    assert "https://127.0.0.1" in run("status", "-c", str(api.config)).stdout


def test_commands_need_the_authority_of_another_server(api: Api, authority: Authority, tmp_path: Path) -> None:
    given = {"DNSD_API_URL": api.origin.replace("127.0.0.1", "localhost"), "DNSD_API_TOKEN": api.operator}
    refused = run("zone", "list", **given)
    assert refused.exit_code == 3
    assert "is not trusted" in refused.stderr
    assert "--ca" in refused.stderr
    for trusted in (authority.ca, authority.folder / "server.pem"):
        done = run("zone", "list", "--ca", str(trusted), **given)
        assert done.exit_code == 0, done.output
    assert run("zone", "list", DNSD_API_CA=str(authority.ca), **given).exit_code == 0
    other = Authority(tmp_path)
    assert run("zone", "list", "--ca", str(other.ca), **given).exit_code == 3
    assert "no certificate" in run("zone", "list", "--ca", str(api.config), **given).stderr
    assert "cannot be read" in run("zone", "list", "--ca", str(tmp_path / "none"), **given).stderr


def test_certificate_of_the_settings_is_trusted_alone(api: Api, authority: Authority, tmp_path: Path) -> None:
    """Another certificate of the same authority is refused: names are not checked, so it could be anybody's."""
    with contextlib.suppress(FileExistsError):
        (tmp_path / "server.key").symlink_to(authority.folder / "server.key")
    issued, _ = authority.issue(*NAMES, stem="other")
    settings = api.config.read_text().replace("server.pem", str(issued))
    settings = settings.replace("state:", "#") + f"state: {api.folder / 'state'}\ndata: {api.folder / 'accounts'}\n"
    (tmp_path / "dnsd.yaml").write_text(settings)
    refused = run("zone", "list", "-c", str(tmp_path / "dnsd.yaml"))
    assert refused.exit_code == 3, refused.output
    assert "is not trusted" in refused.stderr


def test_sdk_works(api: Api) -> None:
    assert api.trust
    with (
        httpx.Client(verify=api.trust, timeout=HANG_S) as http,
        Cloudflare(api_token=api.operator, base_url=api.origin + BASE, http_client=http) as sdk,
    ):
        assert "example.com" in {zone.name for zone in sdk.zones.list()}
        made = sdk.dns.records.create(zone_id=Z1, type="A", name="sdk", content="192.0.2.78", ttl=300)
        assert made is not None
        sdk.dns.records.delete(made.id, zone_id=Z1)


def test_ddclient_updates_an_address(api: Api, authority: Authority, tmp_path: Path) -> None:
    perl = shutil.which("perl")
    if not shutil.which("ddclient") or not perl:
        pytest.skip("ddclient is not installed")
    if subprocess.run([perl, "-MIO::Socket::SSL", "-e", "1"], capture_output=True, check=False).returncode:
        pytest.skip("ddclient has no TLS: libio-socket-ssl-perl is not installed")
    api.result("POST", f"/zones/{Z1}/dns_records", {"type": "A", "name": "home", "content": "192.0.2.1", "ttl": 60})
    token = api.token("--name", "ddclient", "--zone", "example.com", "--permission", "dns:edit")
    server = api.origin.removeprefix("https://")
    file = tmp_path / "ddclient.conf"
    file.write_text(
        f"ssl=yes\nssl_ca_file={authority.ca}\nusev4=ipv4,ipv4=192.0.2.99\n"
        f"protocol=cloudflare, server={server}{BASE}, zone=example.com, login=token, password={token} \\\n"
        "home.example.com\n"
    )
    file.chmod(0o600)
    command = [
        "ddclient",
        "-file",
        file,
        "-cache",
        tmp_path / "cache",
        "-pid",
        tmp_path / "pid",
        "-verbose",
        "-noquiet",
        "-daemon=0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert "IPv4 address set to 192.0.2.99" in done.stdout + done.stderr, done.stdout + done.stderr
    assert api.ask("home.example.com") == ["192.0.2.99"]
