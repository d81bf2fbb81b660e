"""Requests of every form, unusual and malformed ones included; every response is in the envelope."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from dnsd.api.app import api_app
from dnsd.api.codes import CODES
from dnsd.api.routes import BASE
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.state_names import TOKENS
from dnsd.manage.token_file import TokenFile
from dnsd.process.turns import ClientGoneError
from tests.api.server import A1, MI, PREFIX1, Z1, Api
from tests.limits import HANG_S

MAPS = f"/accounts/{A1}/addressing/address_maps"
PREFIXES = f"/accounts/{A1}/addressing/prefixes"
RECORDS = f"/zones/{Z1}/dns_records"
JSON = {"Content-Type": "application/json"}


def envelope(response: httpx.Response) -> tuple[int, int]:
    """Status and first code of a refusal, after checking its envelope."""
    said = response.json()
    assert response.headers["content-type"] == "application/json"
    assert said.keys() == {"success", "errors", "messages", "result"}
    assert (said["success"], said["messages"], said["result"]) == (False, [], None)
    for error in said["errors"]:
        assert error.keys() <= {"code", "message", "source"}
        assert isinstance(error["code"], int)
        assert error["message"]
    return response.status_code, said["errors"][0]["code"]


# Bodies


NESTED = '{"a":' * 3000 + "1" + "}" * 3000
BROKEN = {
    "not JSON": b"{",
    "two texts": b"{}{}",
    "a list": b"[]",
    "a text": b'"text"',
    "null": b"null",
    "100,000 brackets": b"[" * 100_000,
    "100,000 brackets, closed": b"[" * 100_000 + b"]" * 100_000,
    "3,000 nested objects": NESTED.encode(),
    "nested objects in a value": b'{"description":' + NESTED.encode() + b"}",
    "1e999": b'{"ttl": 1e999}',
    "-1e999": b'{"enabled": -1e999}',
    "NaN": b'{"ttl": NaN}',
    "Infinity": b'{"asn": Infinity}',
    "an integer of 5,000 digits": b'{"ttl": ' + b"9" * 5000 + b"}",
    "a lone surrogate": rb'{"description": "\ud800"}',
    "a lone surrogate as a key": rb'{"\udfff": 1}',
    "NUL": rb'{"description": "a\u0000b"}',
    "an unescaped NUL": b'{"description": "a\x00b"}',
    "an escape sequence": rb'{"description": "\u001b[2J"}',
    "octets that are not UTF-8": b'{"description": "\xff\xfe"}',
    "an overlong encoding": b'{"description": "\xc0\xaf"}',
    "UTF-7": b"+AHsAfQ-",
    "a form": b"description=x",
}
WRITES = {
    "new map": ("POST", MAPS),
    "plan": ("POST", f"{MAPS}/plan"),
    "map": ("PATCH", f"{MAPS}/{MI}"),
    "new account": ("POST", "/accounts"),
    "account's settings": ("PATCH", f"/accounts/{A1}/dns_settings"),
    "new prefix": ("POST", PREFIXES),
    "prefix": ("PATCH", f"{PREFIXES}/{PREFIX1}"),
    "BGP status": ("PATCH", f"{PREFIXES}/{PREFIX1}/bgp/status"),
    "new BGP prefix": ("POST", f"{PREFIXES}/{PREFIX1}/bgp/prefixes"),
    "new binding": ("POST", f"{PREFIXES}/{PREFIX1}/bindings"),
    "new lease": ("POST", f"/accounts/{A1}/addressing/leases"),
    "new zone": ("POST", "/zones"),
    "zone": ("PATCH", f"/zones/{Z1}"),
    "new record": ("POST", RECORDS),
    "batch": ("POST", f"{RECORDS}/batch"),
    "import": ("POST", f"{RECORDS}/import"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_unusable_body_is_refused(api: Api, what: str) -> None:
    for where, (method, path) in WRITES.items():
        response = api.call(method, path, content=BROKEN[what], headers=JSON)
        assert envelope(response) == (400, 1001), where


DEEP = json.loads("[" * 400 + "]" * 400)
LONG = "x" * 100_000
STRANGE: list[Any] = [
    DEEP,
    LONG,
    [LONG],
    {LONG: LONG},
    10**4000,
    -1,
    1.5,
    True,
    "",
    [],
    {},
    [[]],
    [None],
    "\u202e",
    "💥",
]
FIELDS = {
    "new map": ("description", "enabled", "ips", "memberships", "default_sni", "immutable"),
    "plan": ("id", "delete", "ips", "memberships"),
    "map": ("description", "enabled", "default_sni"),
    "new account": ("name",),
    "account's settings": ("enforce_dns_only",),
    "new prefix": ("cidr", "asn", "description", "approved", "delegate_loa_creation", "loa_document_id"),
    "prefix": ("description", "approved", "advertised", "delegate_loa_creation", "loa_document_id"),
    "BGP status": ("advertised",),
    "new BGP prefix": ("cidr", "on_demand"),
    "new binding": ("cidr", "service_id"),
    "new lease": ("ip",),
    "new zone": ("name", "account", "type"),
    "zone": ("paused",),
    "new record": ("name", "type", "content", "data", "priority", "ttl", "proxied", "comment", "tags", "settings"),
    "batch": ("deletes", "patches", "puts", "posts"),
}
NEEDED = {
    "new account": {"name": "Strange"},
    "new prefix": {"cidr": "nothing"},
    "BGP status": {"advertised": "nothing"},
    "new BGP prefix": {"cidr": "nothing"},
    "new binding": {"cidr": "nothing", "service_id": "nothing"},
    "new lease": {"ip": "nothing"},
    "new zone": {"name": "..", "account": {"id": A1}},
    "new record": {"name": "strange", "type": "A", "content": "nothing"},
}


@pytest.mark.parametrize("where", FIELDS)
def test_strange_values_are_taken_or_refused(api: Api, where: str) -> None:
    method, path = WRITES[where]
    for field in FIELDS[where]:
        for value in STRANGE:
            response = api.call(method, path, NEEDED.get(where, {}) | {field: value})
            assert response.is_success or envelope(response)[0] in (400, 404), (field, repr(value)[:50])
            assert len(response.content) < 500_000, (field, repr(value)[:50])


def test_many_values_are_refused_in_a_short_answer(api: Api) -> None:
    many = 20_000
    for body in (
        {"ips": ["x"] * many},
        {"memberships": [{"kind": "zone"}] * many},
        {"ips": [f"203.0.{n // 256 % 256}.{n % 256}" for n in range(many)]},
        {f"key{n}": n for n in range(many)},
    ):
        response = api.call("POST", MAPS, body)
        assert response.status_code == 200 or envelope(response)[0] == 400
        assert len(response.content) < 100_000


EMPTY = {
    "P 5.x": {"headers": JSON | {"Content-Length": "0"}},
    "P 4.x": {"json": {}},
    "N": {"headers": {"Content-Length": "0"}},
    "white space": {"content": b" \r\n", "headers": JSON},
    "another type": {"content": b"{}", "headers": {"Content-Type": "text/plain"}},
    "a broken type": {"content": b"{}", "headers": {"Content-Type": ";;;="}},
}


@pytest.mark.parametrize("client", EMPTY)
def test_write_without_a_body_is_accepted(api: Api, client: str) -> None:
    made = api.result("POST", MAPS, **EMPTY[client])
    path = f"{MAPS}/{made['id']}"
    for call in (("PUT", f"{path}/ips/203.0.113.80"), ("DELETE", f"{path}/ips/203.0.113.80"), ("DELETE", path)):
        assert api.call(*call, **EMPTY[client]).status_code == 200
    assert api.refused("GET", path)[:2] == (404, 1000)


def test_body_without_a_content_type_is_read_as_json(api: Api) -> None:
    made = api.result("POST", MAPS, content=b'{"description": "typeless"}')
    assert made["description"] == "typeless"
    api.result("DELETE", f"{MAPS}/{made['id']}")


IMPORTS: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", b"--x\r\n\r\n--x--"),
    "no parts": ("multipart/form-data; boundary=x", b"--x--\r\n"),
    "cut off": ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nab'),
    "not UTF-8": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n\xff\xfe\r\n--x--\r\n',
    ),
    "a file that is not UTF-8": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n\xff\xfe\r\n--x--\r\n',
    ),
    "NUL": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na\0b 60 IN A 192.0.2.1\0\r\n--x--\r\n',
    ),
    "an unknown charset": (
        "multipart/form-data; boundary=x; charset=nonsense",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\na A 192.0.2.1\r\n--x--\r\n',
    ),
    "2,000 parts": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="p"\r\n\r\n1\r\n' * 2000 + b"--x--\r\n",
    ),
    "includes a file": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n$INCLUDE /etc/passwd\r\n--x--\r\n',
    ),
    "generates": (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n$GENERATE 0-9999999 a$ A 192.0.2.1\r\n--x--\r\n',
    ),
}


@pytest.mark.parametrize("what", IMPORTS)
def test_import_of_a_body_other_than_a_form_is_refused(api: Api, what: str) -> None:
    content_type, content = IMPORTS[what]
    response = api.call("POST", f"{RECORDS}/import", content=content, headers={"Content-Type": content_type})
    assert envelope(response)[0] == 400
    assert "root:" not in response.text


# Paths, methods, parameters


UNLISTED = [
    ("TRACE", "/zones"),
    ("QUERY", "/zones"),
    ("OPTIONS", "/zones"),
    ("PROPFIND", MAPS),
    ("DELETE", MAPS),
    ("PUT", f"/zones/{Z1}"),
    ("POST", f"{RECORDS}/export"),
    ("BREW", "/user"),
]


def test_head_is_get_without_its_body(api: Api) -> None:
    for path in ("/zones", f"/zones/{Z1}"):
        got, head = api.call("GET", path), api.call("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(("method", "path"), UNLISTED)
def test_method_that_a_path_does_not_have_is_refused(api: Api, method: str, path: str) -> None:
    for one in (path, f"{path}/"):
        response = api.call(method, one)
        assert response.status_code == 405
        assert envelope(response) == (405, 1011)
        assert method not in response.headers["allow"].split(", ")


def test_allow_names_all_methods_of_a_path(api: Api) -> None:
    assert api.call("BREW", MAPS).headers["allow"] == "GET, POST"
    assert api.call("BREW", f"{MAPS}/{MI}").headers["allow"] == "DELETE, GET, PATCH"
    assert api.call("BREW", f"{RECORDS}/{MI}").headers["allow"] == "DELETE, GET, PATCH, PUT"


UNKNOWN = [
    "/nonsense",
    "",
    "/zones/x",
    f"/zones/{'g' * 32}",
    f"/zones/{Z1}0",
    f"/zones/{Z1}/nonsense",
    f"/zones/{Z1}%00",
    f"/zones/{Z1}%0A",
    "/zones/..%2f..%2fetc%2fpasswd",
    "/zones/%2e%2e/%2e%2e/etc/passwd",
    f"/accounts/{A1}/addressing/address_maps/{MI}/ips/203.0.113.0/24",
    "/%ff%fe",
    "/" + "a" * 8000,
    "//zones",
    f"/zones/{Z1};jsessionid=1",
]


@pytest.mark.parametrize("path", UNKNOWN, ids=lambda path: path[:40])
def test_path_that_leads_nowhere_is_not_found(api: Api, path: str) -> None:
    for method in ("GET", "PUT", "BREW"):
        response = api.call(method, path)
        assert envelope(response) in ((404, 7003), (405, 1011))
    assert envelope(api.call("GET", path)) == (404, 7003)


IPS = (
    "203.0.113.0%2F24",
    "203.0.113.0/24",
    "fe80::1%25eth0",
    "203.0.113.1%00",
    "%20",
    "1",
    "0x7f000001",
    "1.2.3.4:80",
)


@pytest.mark.parametrize("ip", IPS)
def test_invalid_address_in_a_path_is_refused(api: Api, ip: str) -> None:
    for method in ("PUT", "DELETE"):
        assert envelope(api.call(method, f"{MAPS}/{MI}/ips/{ip}")) in ((400, 1001), (404, 7003), (405, 1011))


def test_slash_at_the_end_of_a_path_changes_nothing(api: Api) -> None:
    for path in ("/zones?name=example.com", RECORDS, f"{MAPS}/{MI}"):
        with_slash = path.replace("?", "/?") if "?" in path else f"{path}/"
        response = api.call("GET", with_slash)
        assert response.status_code == 200
        assert response.json() == api.call("GET", path).json()
    made = api.result("POST", f"{MAPS}/", {})
    api.result("DELETE", f"{MAPS}/{made['id']}/")


def test_several_slashes_in_a_path_are_one(api: Api) -> None:
    for path in (f"//zones/{Z1}/dns_records", f"///zones//{Z1}/dns_records//"):
        response = api.client.get(f"{api.origin}{BASE}{path}", headers={"Authorization": f"Bearer {api.operator}"})
        assert response.status_code == 200
        assert response.json() == api.call("GET", RECORDS).json()


QUERIES = [
    "page=0&per_page=0",
    "page=-1&per_page=-1",
    "page=1e308&per_page=1e308",
    "page=nan&per_page=inf",
    "page=99999999999999999999&per_page=5",
    "per_page=x&page=%00",
    "page=1&page=2",
    "name=%00&name.exact=%ff&content.contains=%ED%A0%80",
    "name=equal:&order=nonsense&direction=nonsense",
    "name=equal%3A%00",
    "name=" + "a." * 3000,
    "type=nonsense&type=A",
    "type=TYPE99999999999999999999",
    "tag=:&tag.present=&search=%2B&match=any&proxied=maybe",
    "account.id=nonsense&status=nonsense",
    "&&&===&",
    "%ff=%ff",
]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:40])
def test_parameters_of_lists_are_read_as_far_as_possible(api: Api, query: str) -> None:
    for path in ("/zones", "/accounts", RECORDS, MAPS):
        said = api.call("GET", f"{path}?{query}").json()
        assert said["success"] is True
        info = said["result_info"]
        assert info["count"] == len(said["result"])
        assert info["page"] >= 1
        assert info["per_page"] >= 1


# Connections


def talk(api: Api, *parts: bytes, timeout_s: float = HANG_S) -> list[tuple[int, Any]]:
    """The responses on one connection, status and body of each, until the server closes it."""
    host, port = api.origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=timeout_s) as client:
        for part in parts:
            client.sendall(part)
        octets = b""
        while part := client.recv(65536):
            octets += part
    return list(responses(octets))


def responses(octets: bytes) -> Iterator[tuple[int, Any]]:
    while octets:
        head, _, rest = octets.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        size = int(headers["content-length"])
        yield int(lines[0].split()[1]), json.loads(rest[:size])
        octets = rest[size:]


def request(api: Api, method: str, path: str, body: bytes = b"", *, more: str = "") -> bytes:
    head = f"{method} {BASE}{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.operator}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


CLOSE = "Connection: close\r\n"
UNREAD = {
    "GET": ("GET", "/user", 200),
    "DELETE": ("DELETE", f"/zones/{Z1}/dns_records/{MI}", 404),
    "unknown path": ("GET", "/nonsense", 404),
    "unlisted method": ("BREW", "/user", 405),
    "malformed id": ("DELETE", "/zones/x", 404),
}


@pytest.mark.parametrize("size", [2, 100_000])
@pytest.mark.parametrize("what", UNREAD)
def test_unneeded_body_is_read(api: Api, what: str, size: int) -> None:
    method, path, status = UNREAD[what]
    body = b"{" + b" " * (size - 2) + b"}"
    sent = request(api, method, path, body), request(api, "GET", f"/zones/{Z1}", more=CLOSE)
    first, second = talk(api, *sent)
    assert first[0] == status
    assert second[0] == 200
    assert second[1]["result"]["id"] == Z1


def test_body_of_a_refused_request_is_read(api: Api) -> None:
    bad = request(api, "POST", MAPS, b"{}" + b" " * 100_000).replace(api.operator.encode(), b"wrong")
    first, second = talk(api, bad, request(api, "GET", "/user", more=CLOSE))
    assert (first[0], second[0]) == (403, 200)


def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    paths = ["/user", f"/zones/{Z1}", "/nonsense", RECORDS, "/accounts"] * 10
    sent = b"".join(request(api, "GET", path) for path in paths) + request(api, "GET", "/zones", more=CLOSE)
    statuses = [status for status, _ in talk(api, sent)]
    assert statuses == [404 if path == "/nonsense" else 200 for path in paths] + [200]


def test_answer_is_sent_at_once(api: Api) -> None:
    """Nothing waits for the client's ACK, which may be delayed by 40 ms: it is not faster if ACKs are sent at once."""
    assert any(spent_s(api) <= 3 * spent_s(api, acks_at_once=True) for _ in range(5))


def spent_s(api: Api, *, acks_at_once: bool = False) -> float:
    """The time that fifty requests take on one connection."""
    octets = request(api, "GET", "/user")
    host, port = api.origin.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=HANG_S) as client:
        start = time.monotonic()
        for _ in range(50):
            client.sendall(octets)
            received = b""
            while not received.endswith(b"}"):
                if acks_at_once:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                received += client.recv(65536)
        return time.monotonic() - start


def test_request_octet_by_octet_is_a_request(api: Api) -> None:
    sent = request(api, "POST", f"{MAPS}/plan", b"{}", more=CLOSE)
    ((status, said),) = talk(api, *(sent[n : n + 1] for n in range(len(sent))))
    assert (status, said["success"]) == (200, True)


MALFORMED = [
    b"\r\n\r\nnonsense\r\n\r\n",
    b"GET /client/v4/zones HTTP/1.1\r\n\r\n",  # no Host
    b"GET /client/v4/zones HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /client/v4/\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /client/v4/zones HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /client/v4/zones HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST /client/v4/zones HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: nonsense\r\n\r\n",
    b"GET /client/v4/zones HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n",
    b"GET /client/v4/zones HTTP/1.1\r\nHost: a\r\nA: b\0\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),  # TLS
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


@pytest.mark.parametrize("octets", MALFORMED, ids=lambda octets: repr(octets[:60]))
def test_garbage_is_refused_in_the_envelope(api: Api, octets: bytes) -> None:
    *_, (status, said) = talk(api, octets)
    assert (status, said["success"], said["errors"][0]["code"]) == (400, False, 1001)


def test_malformed_chunk_ends_the_connection(api: Api) -> None:
    head = request(api, "POST", MAPS).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    assert [status for status, _ in talk(api, head, b"nonsense\r\n")] == [400]
    said = talk(api, head.replace(MAPS.encode(), b"/nonsense"), b"nonsense\r\n")
    assert [status for status, _ in said] in ([404], [400])
    assert api.result("GET", "/user")


# Files


HOSTILE = [
    "../../../x",
    "..",
    ".",
    "/etc/x",
    "a/../../b",
    "..\\..\\x",
    "~",
    "~root",
    "con",
    "-rf",
    "$(id)",
    "x;y",
    ".hidden",
]


def test_no_name_leads_out_of_an_account_s_folder(api: Api) -> None:
    before = set(files_below(api.folder.parent))
    for name in HOSTILE:
        api.call("POST", "/accounts", {"name": name})
        api.call("POST", MAPS, {"description": name})
        api.call("POST", "/zones", {"name": name, "account": {"id": A1}})
        api.call("POST", "/zones", {"name": f"{name}.example", "account": {"id": A1}})
        api.call("POST", "/zones", {"name": name.replace("/", "\\047") + ".example", "account": {"id": A1}})
        api.call("POST", PREFIXES, {"cidr": "198.51.100.0/24", "description": name})
    made = set(files_below(api.folder.parent)) - before
    assert len(made) > 3 * len(HOSTILE)
    for file in made:
        first, *rest = file.relative_to(api.folder).parts
        assert first in ("accounts", "state"), file
        assert not any(part.startswith((".", "-", "~")) for part in rest), file
        if first == "accounts":
            assert rest[1:] == ["account.yaml"] or rest[1] in ("maps", "zones"), file
            assert len(rest) <= 3
            assert file.suffix == ".yaml"


def files_below(folder: Path) -> Iterator[Path]:
    for path, _, names in os.walk(folder):
        yield from (Path(path) / name for name in names)


# Internal errors


class Broken:
    """A service that fails in every call."""

    def __init__(self, error: Exception, tokens: TokenFile) -> None:
        self._error = error
        self.tokens = tokens

    async def catch_up(self) -> None:
        """Nobody else changes tokens."""

    @property
    def loaded(self) -> Any:
        raise self._error


class Broker:
    """The application without a server, with two tokens."""

    def __init__(self, folder: Path, error: Exception) -> None:
        self.file = TokenFile(folder)
        now = datetime.now(UTC)
        self.operator = self.file.create(name="", now=now)[1]
        self.tenant = self.file.create(name="", now=now, accounts=[A1])[1]
        self.reported: list[str] = []
        app = api_app(Broken(error, self.file), self.reported.append)  # type: ignore[arg-type]
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def get(self, path: str, token: str) -> httpx.Response:
        async def response() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://dnsd", timeout=HANG_S) as client:
                return await client.get(f"{BASE}{path}", headers={"Authorization": f"Bearer {token}"})

        return asyncio.run(response())


def test_internal_error_is_reported_and_reveals_nothing(tmp_path: Path) -> None:
    broker = Broker(tmp_path, RuntimeError("a secret of /etc"))
    for token in (broker.operator, broker.tenant):
        response = broker.get("/zones", token)
        assert envelope(response) == (500, 1009)
        assert response.headers["x-should-retry"] == "false"
        assert "secret" not in response.text
    assert broker.reported == [f"GET {BASE}/zones: RuntimeError: a secret of /etc"] * 2


def test_only_the_operator_learns_about_problems_with_files(tmp_path: Path) -> None:
    broker = Broker(tmp_path, refused(Reason.NO_ROOM, "/srv/x cannot be written"))
    for token, told in ((broker.operator, True), (broker.tenant, False)):
        response = broker.get("/zones", token)
        assert envelope(response) == (507, 1006)
        assert response.headers["x-should-retry"] == "false"
        assert ("/srv" in response.text) is told


def test_damaged_token_file_refuses_every_token(tmp_path: Path) -> None:
    broker = Broker(tmp_path, RuntimeError())
    (tmp_path / TOKENS).write_text("{}")
    response = broker.get("/user", broker.operator)
    assert envelope(response) == (503, 1008)
    assert str(tmp_path) not in response.text
    assert "damaged" in broker.reported[0]


@pytest.mark.parametrize("reason", Reason)
def test_codes_of_5xx_are_never_tried_again(tmp_path: Path, reason: Reason) -> None:
    code = CODES[reason]
    broker = Broker(tmp_path, refused(reason, "the message", "a~b", 0, "c/d"))
    response = broker.get("/zones", broker.operator)
    assert envelope(response) == (code.status, code.number)
    assert response.json()["errors"][0] == {
        "code": code.number,
        "message": code.sentence or "the message",
        "source": {"pointer": "/a~0b/0/c~1d"},
    }
    is_ours = code.status >= 500 or code.status == 429
    assert response.headers.get("x-should-retry") == ("false" if is_ours else None)


def test_client_that_has_gone_is_no_error(tmp_path: Path) -> None:
    broker = Broker(tmp_path, ClientGoneError("the client has gone"))
    assert broker.get("/zones", broker.operator).status_code == 499
    assert broker.reported == []
