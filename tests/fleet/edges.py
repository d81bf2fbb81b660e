"""Edges for tests: real servers of the role, and what stands in a fleet for them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.rcode

from dnsd.app import load
from dnsd.fleet.import_files import import_files
from dnsd.fleet.node import as_control
from dnsd.fleet.root import RootFolder
from tests.fleet.servers import control_folder, new_edge
from tests.limits import HANG_S
from tests.live.server import Dnsd

SETTINGS = {
    "listen": ["127.0.0.1:0"],
    "workers": 1,
    "default_addresses": ["198.51.100.1", "2001:db8:f::1"],
    "nameservers": ["ns1.edge.example"],
}
POOL = ["198.51.100.1"]
BUTIK = "enabled: true\nips: [203.0.113.7]\nmemberships:\n- {kind: zone, identifier: ost.example}\n"
FILES: dict[str, str | bytes | None] = {  # of two accounts; odd names, line ends, a byte order mark, a large file
    "öst/account.yaml": "\ufeffname: Öst\r\nprefixes:\r\n- {cidr: 203.0.113.0/24, approved: V}\r\n",
    "öst/maps/butik 1.yaml": BUTIK,
    "öst/zones/ost.example.yaml": "records:\n- {name: www, type: A, content: 192.0.2.1, proxied: true}\n",
    "öst/zones/plain.example.zone": b"@ SOA ns1 h 7 2 3 4 5\n@ NS ns1\na A 192.0.2.2\n\\255 A 192.0.2.3 ;\xe9\n",
    "west/account.yaml": "name: West\nstatic_ips: [192.0.2.200]\n",
    "west/zones/west.example.yaml": "records:\n- {name: www, type: AAAA, content: '2001:db8::1', proxied: true}\n",
}


class FleetSource:
    """A folder of accounts, and its import into a fleet."""

    def __init__(self, root: RootFolder, folder: Path) -> None:
        self.root, self.accounts, self.config = root, folder / "accounts", folder / "source.yaml"
        self.accounts.mkdir()
        self.config.write_text(json.dumps(SETTINGS))

    def use(self, identity: Path, *, servers: tuple[str, ...] = ()) -> None:
        """Have commands use an identity, and these servers in place of the fleet's."""
        fleet = {"servers": [*(servers or urls_of(self.root))], "identity": str(identity)}
        self.config.write_text(json.dumps({**SETTINGS, "fleet": fleet}))

    def put(self, texts: Mapping[str, str | bytes | None]) -> None:
        """Write files, or remove them."""
        for name, text in texts.items():
            file = self.accounts / name
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text if isinstance(text, bytes) else text.encode())

    def send(
        self, texts: Mapping[str, str | bytes | None] | None = None, *, max_drop: int = 100, is_forced: bool = False
    ) -> tuple[int, ...]:
        """Write files, and import the folder."""
        self.put(texts or {})
        variables = {"DNSD_DATA": str(self.accounts), "DNSD_RELOAD__MAX_DROP_PERCENT": str(max_drop)}
        loaded = load(self.config, {**os.environ, **variables})
        identity, urls = control_folder(self.root), urls_of(self.root)
        return as_control(
            identity, urls, lambda node: import_files(node, loaded, replicas=len(urls), is_forced=is_forced)
        )


def urls_of(root: RootFolder) -> tuple[str, ...]:
    return tuple(server.url for server in root.servers)


class EdgeFolder:
    """The settings, identity and state of an edge."""

    def __init__(self, root: RootFolder, folder: Path, name: str = "e1") -> None:
        folder.mkdir()
        fleet = {"servers": [*urls_of(root)], "identity": str(new_edge(root, name))}
        self.config, self.state = folder / "dnsd.yaml", folder / "state"
        self.config.write_text(json.dumps({**SETTINGS, "role": "edge", "fleet": fleet}))

    @contextmanager
    def serving(self) -> Iterator[Edge]:
        """The running server."""
        with Dnsd(self.config) as server:
            yield Edge(server)


class Edge:
    """A running edge that is asked."""

    def __init__(self, server: Dnsd) -> None:
        self.server = server

    def addresses(self, name: str, kind: str = "A") -> list[str]:
        """The addresses in the answer to a question; none but the code's name if it is not NOERROR."""
        reply = dns.message.from_wire(self.server.udp(dns.message.make_query(name, kind).to_wire()))
        if reply.rcode():
            return [dns.rcode.to_text(reply.rcode())]
        return sorted(str(item) for rrset in reply.answer for item in rrset)

    def becomes(self, name: str, wanted: list[str], kind: str = "A") -> None:
        """Wait for an answer."""
        deadline = time.monotonic() + HANG_S
        while (found := self.addresses(name, kind)) != wanted:
            assert time.monotonic() < deadline, (found, wanted, self.server.stderr.text())
            time.sleep(0.02)
