"""A running server with the API, in a folder of its own, and a plain HTTP client and a resolver for it."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dns.message
import dns.rdatatype
import httpx
from click.testing import CliRunner

from dnsd.cli import main
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_search import LogQuery
from tests.limits import HANG_S
from tests.live.server import Dnsd

API = re.compile(r"listening on (\S+) api")
BASE = "/client/v4"

SETTINGS = """
listen: ["127.0.0.1:0"]
workers: 1
default_addresses: [198.51.100.10, 198.51.100.11, "2001:db8:f::10", "2001:db8:f::11"]
nameservers: [ns1.example.net, ns2.example.net]
api: {listen: "127.0.0.1:0"}
"""

A1 = "a1" * 16
A2 = "a2" * 16
Z1, Z2, Z3 = "21" * 16, "22" * 16, "23" * 16
MI = "1a" * 16
PREFIX1 = "91" * 16

WWW = "records:\n  - {name: www, type: A, content: 192.0.2.1, proxied: true}\n"
FILES = {
    "acme/account.yaml": f"""
# Acme, since 2019
id: {A1}
name: Acme
prefixes:
  - {{id: "{PREFIX1}", cidr: 203.0.113.0/24, asn: 64500, approved: V}}   # the old one
  - {{cidr: "2001:db8:100::/48", asn: 64500, approved: V}}
static_ips: [192.0.2.200]
""",
    "acme/zones/example.com.yaml": f"""
id: "{Z1}"
name: example.com
# the shop
records:
  - {{name: www, type: A, content: 192.0.2.1, proxied: true}}  # orange
  - {{name: dns, type: A, content: 192.0.2.2, ttl: 3600}}
""",
    "acme/zones/example.net.yaml": f'id: "{Z2}"\n{WWW}',
    "globex/account.yaml": f"id: {A2}\nname: Globex\n",
    "globex/zones/example.org.yaml": f'id: "{Z3}"\n{WWW}',
}
IMMUTABLE = f"""
id: {MI}
description: Fallback
enabled: true
ips: [203.0.113.30, "2001:db8:100::30"]
memberships: [{{kind: account, identifier: acme}}]
immutable: true
"""


class Api:
    """A server, its folder, and its clients."""

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str] = FILES,
        *,
        settings: str = SETTINGS,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.folder = folder
        self.trust = trust  # of clients; None: the API has no TLS, and certificates are not loaded
        self.config = folder / "dnsd.yaml"
        self.config.write_text(settings)
        for name, text in files.items():
            self.write(name, text)
        self.operator = self.token("--name", "operator")

    def write(self, name: str, text: str) -> None:
        file = self.folder / "accounts" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, name: str) -> str:
        return (self.folder / "accounts" / name).read_text()

    def audited(self) -> list[dict[str, Any]]:
        """The entries of the audit log, the oldest first."""
        return AuditLog(self.folder / "state/audit.log").read(LogQuery(100_000)).entries[::-1]

    def token(self, *arguments: str) -> str:
        """A new token's secret."""
        done = CliRunner().invoke(main, ["token", "create", "-c", str(self.config), *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()[-1]

    @contextlib.contextmanager
    def running(self, **options: Any) -> Iterator[Api]:
        with Dnsd(self.config, **options) as self.dns:
            found = API.search(self.dns.stdout.text())
            assert found, self.dns.stdout.text()
            self.origin = f"http{'s' if self.trust else ''}://{found[1]}"
            with httpx.Client(base_url=self.origin + BASE, timeout=HANG_S, verify=self.trust or False) as self.client:
                yield self

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **options: Any
    ) -> httpx.Response:
        """Send a request with a token, by default the operator's, and an optional JSON body."""
        headers = {"Authorization": f"Bearer {token or self.operator}"} | options.pop("headers", {})
        if body is not None:
            options["json"] = body
        return self.client.request(method, path, headers=headers, **options)

    def result(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The result of a request that must succeed."""
        response = self.call(method, path, body, **options)
        said = response.json()
        assert response.is_success, (response.status_code, said)
        assert said["success"] is True
        assert said["errors"] == []
        return said["result"]

    def refused(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, int, str]:
        """Status, first code and first message of a request that must be refused, in its envelope."""
        response = self.call(method, path, body, **options)
        said = response.json()
        assert response.status_code >= 400, said
        assert said["success"] is False
        assert said["result"] is None
        assert said["errors"], said
        return response.status_code, said["errors"][0]["code"], said["errors"][0]["message"]

    def ask(self, name: str, rtype: str = "A") -> list[str]:
        """The answer to a question over UDP, each record's data as text."""
        reply = self.reply(name, rtype)
        return [rdata.to_text() for rrset in reply.answer for rdata in rrset]

    def reply(self, name: str, rtype: str = "A") -> dns.message.Message:
        query = dns.message.make_query(name, rtype)
        return dns.message.from_wire(self.dns.udp(query.to_wire()))
