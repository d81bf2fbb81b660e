"""The configuration file of each nats-server of a fleet. Pure; paths in it are relative to the server's folder."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dnsd.fleet.access import check_node_name

PORT = 4222
ROUTES_ABOVE = 2000  # a server listens for the others at its port and this many: 6222 for 4222
MAX_PORT = 65535 - ROUTES_ABOVE
ROUTE_USER = "server"
FILE_NAME = "nats.conf"
ACCOUNT = re.compile(r"\b([A-Z2-7]{56})([\s:=\"]{1,8})([\w-]+\.[\w-]+\.[\w-]+)")  # the key and the JWT of an account

TLS = """{
  cert_file: "cert.pem", key_file: "key.pem", ca_file: "ca.pem"
  verify: true, min_version: "1.3", timeout: 5
}"""


@dataclass(frozen=True, slots=True)
class FleetServer:
    """A nats-server: its name, its address or host name, and its port for clients."""

    name: str
    host: str
    port: int = PORT

    def at(self, port: int) -> str:
        """Host and port as text."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"tls://{self.at(self.port)}"


def parse_server(text: str) -> FleetServer:
    """A server from `NAME=ADDRESS` or `NAME=ADDRESS:PORT`; IPv6 with a port is in brackets. Raises ValueError."""
    name, equals, place = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is not NAME=ADDRESS, such as n1=192.0.2.1")
    host, port = place, str(PORT)
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        port = port.removeprefix(":") or str(PORT)
    elif place.count(":") == 1:
        host, _, port = place.partition(":")
    if not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= MAX_PORT:
        raise ValueError(f"{text!r}: the port must be from 1 to {MAX_PORT}")
    return FleetServer(check_node_name(name), _checked_host(host), int(port))


def _checked_host(host: str) -> str:
    """An address or a host name. Raises ValueError."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        labels = host.split(".")
        is_name = all(label.replace("-", "").isalnum() and label.isascii() for label in labels) and len(host) <= 253
        if not is_name or labels[-1].isdecimal():
            raise ValueError(f"{host!r} is not an address or a host name") from None
        return host.lower()
    if address.is_unspecified:
        raise ValueError(f"{host} is not an address that others can reach")
    return str(address)


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """What all servers know: the operator's JWT, the accounts' JWTs by public key, and a secret for routes."""

    operator: str
    system_account: str
    accounts: Mapping[str, str]
    route_secret: str


def server_file(server: FleetServer, servers: Sequence[FleetServer], trust: ServerTrust) -> str:
    """The file of one of the servers. It has the secret of routes, and no private key."""
    preload = "\n".join(f"  {key}: {json.dumps(jwt)}" for key, jwt in trust.accounts.items())
    parts = [
        "# Made by `dnsd fleet init`. Start in this folder: nats-server -c nats.conf",
        f"server_name: {json.dumps(server.name)}",
        f"listen: {json.dumps(server.at(server.port))}",
        "jetstream {\n"
        '  store_dir: "js", sync_interval: always\n'  # a power cut loses nothing that was acknowledged
        "  max_memory_store: 256MB, max_file_store: 8GB\n}",
        f"tls {TLS}",
        *_cluster(server, servers, trust.route_secret),
        f"operator: {json.dumps(trust.operator)}",
        f"system_account: {trust.system_account}",
        'resolver { type: full, dir: "jwt", allow_delete: false, interval: "2m" }',
        f"resolver_preload {{\n{preload}\n}}",
    ]
    return "\n".join(parts) + "\n"


def with_accounts(text: str, accounts: Mapping[str, str]) -> str:
    """A server's file with other account JWTs, given by public key; everything else in it stays, as edited by hand."""
    return ACCOUNT.sub(lambda found: found[1] + found[2] + accounts.get(found[1], found[3]), text)


def _cluster(server: FleetServer, servers: Sequence[FleetServer], secret: str) -> list[str]:
    """The block of routes; a lone server has none, or it would wait for others for ever (error 10008).

    An edge, too, has a certificate that leads to the root. So servers also show each other a secret.
    """
    if len(servers) == 1:
        return []
    login = f"{ROUTE_USER}:{secret}"
    routes = "\n".join(f'    "tls://{login}@{one.at(one.port + ROUTES_ABOVE)}"' for one in servers)
    return [
        f"cluster {{\n  name: dnsd, listen: {json.dumps(server.at(server.port + ROUTES_ABOVE))}\n"
        f"  authorization {{ user: {ROUTE_USER}, password: {json.dumps(secret)}, timeout: 5 }}\n"
        f"  routes: [\n{routes}\n  ]\n  tls {TLS}\n}}"
    ]
