"""A world published in editions, and queries whose answers show the served edition.

Any two editions of the map, the zone and each added zone differ in every record, so that an answer mixed from two
editions, or with half of one, is detected.
"""

from __future__ import annotations

import re
from typing import Any

import dns.message
import dns.rcode

from tests.packets import answers, query
from tests.soak.flow import EDITIONS, Question
from tests.soak.harness import Soaked, wait_until
from tests.worlds import AccountFiles, World, as_yaml

MAP = "accounts/a1/maps/m.yaml"
ZONE = "accounts/a1/zones/example.net.zone"
YAML_ZONE = "accounts/a1/zones/example.com.yaml"
WWW = query("www.example.com")
MULTI = query("multi.example.net")
DNS = query("dns.example.com")
DNS_ANSWER = ["192.0.2.2"]


def edition_world(**settings: Any) -> World:
    """Edition 0."""
    files = AccountFiles(
        {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}]},
        {"m": map_of(0)},
        {
            "example.com.yaml": {
                "records": [
                    {"name": "www", "type": "A", "content": "192.0.2.1", "proxied": True},
                    {"name": "dns", "type": "A", "content": DNS_ANSWER[0]},
                    {"name": "a", "type": "CNAME", "content": "www.example.com"},
                ]
            },
            "example.net.zone": zone_of(0),
        },
    )
    given = {
        "default_addresses": ["198.51.100.10"],
        "nameservers": ["ns1.example.org"],
        "workers": 2,
        "metrics": {"listen": "127.0.0.1:0"},
        **settings,
    }
    return World(given, {"a1": files})


def map_of(edition: int) -> dict[str, Any]:
    members = [{"kind": "zone", "identifier": "example.com"}]
    return {"enabled": True, "ips": edge_addresses(edition), "memberships": members}


def map_text(edition: int) -> str:
    return as_yaml(map_of(edition))


def edge_addresses(edition: int) -> list[str]:
    first = 1 + 4 * (edition % EDITIONS)
    return [f"203.0.113.{number}" for number in range(first, first + 4)]


def zone_of(edition: int) -> str:
    """A master file; the edition determines the alias's TTL and all addresses."""
    apex = "@ 300 SOA ns1.example.org. host 1 7200 3600 1209600 300\n@ 300 NS ns1.example.org.\n"
    records = [f"alias {1000 + edition % EDITIONS} CNAME multi"]
    records += [f"multi 300 A {ip}" for ip in zone_addresses(edition)]
    return apex + "\n".join(records) + "\n"


def zone_addresses(edition: int) -> list[str]:
    first = 1 + 3 * (edition % EDITIONS)
    return [f"192.0.2.{number}" for number in range(first, first + 3)]


def added_zone(number: int) -> tuple[str, str]:
    """The file and text of a zone added later."""
    return f"accounts/a1/zones/new{number}.test.yaml", as_yaml(
        {"records": [{"name": "www", "type": "A", "content": "192.0.2.9"}]}
    )


def edge_edition(reply: bytes) -> int:
    """The edition of the map behind the answer for www.example.com, directly or through an alias."""
    ips = [text for text in answers(reply) if text[0].isdigit()]
    edition = (int(ips[0].rpartition(".")[2]) - 1) // 4 if ips else 0
    if ips != edge_addresses(edition):
        raise ValueError(f"of no edition: {answers(reply)}")
    return edition


def zone_edition(reply: bytes) -> int:
    """The edition of the zone behind the answer for multi.example.net, directly or through an alias."""
    rrsets = dns.message.from_wire(reply).answer
    ips = [str(rdata) for rdata in rrsets[-1]] if rrsets else []
    edition = (int(ips[0].rpartition(".")[2]) - 1) // 3 if ips else 0
    alias_ttls = {rrset.ttl for rrset in rrsets[:-1]}
    if ips != zone_addresses(edition) or alias_ttls - {1000 + edition}:
        raise ValueError(f"of no edition: {rrsets}")
    return edition


def added_edition(reply: bytes) -> int:
    """1 once the zone is served."""
    rcode = dns.message.from_wire(reply).rcode()
    if rcode == dns.rcode.REFUSED and not answers(reply):
        return 0
    if rcode == dns.rcode.NOERROR and answers(reply) == ["192.0.2.9"]:
        return 1
    raise ValueError(f"neither there nor not: {reply.hex()}")


def dns_edition(reply: bytes) -> int:
    """The edition of unchanging data."""
    if answers(reply) != DNS_ANSWER:
        raise ValueError(f"not {DNS_ANSWER}: {answers(reply)}")
    return 0


def questions(added: int = 0) -> list[Question]:
    """Questions about all data with editions, and about unchanging data."""
    found = [
        Question(WWW, edge_edition),
        Question(query("a.example.com"), edge_edition),
        Question(MULTI, zone_edition),
        Question(query("alias.example.net"), zone_edition),
        Question(DNS, dns_edition),
    ]
    return found + [Question(query(f"www.new{number}.test"), added_edition) for number in range(added)]


def serves_map(server: Soaked, edition: int) -> bool:
    return answers(server.udp(WWW)) == edge_addresses(edition)


def serves_zone(server: Soaked, edition: int) -> bool:
    return answers(server.udp(MULTI)) == zone_addresses(edition)


def wait_for_edition(server: Soaked, *, map: int | None = None, zone: int | None = None) -> float:
    """Wait until both are served; return the seconds waited."""

    def is_served() -> bool:
        return (map is None or serves_map(server, map)) and (zone is None or serves_zone(server, zone))

    return wait_until(is_served, server.stderr.text)


def wait_for_line(server: Soaked, pattern: str, seen: int = 0) -> str:
    """Wait for a matching log line after the first `seen` lines; return all lines."""
    wait_until(lambda: re.search(pattern, server.stderr.since(seen)) is not None, lambda: server.stderr.since(seen))
    return server.stderr.since(seen)
