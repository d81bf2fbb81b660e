"""A zone file exported by Cloudflare, served unedited: proxied names from the map, others as stored, no origins.

Expected records are read from the export by a small independent reader.
"""

from __future__ import annotations

import ipaddress
import pathlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import dns.message
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from tests.live.server import PROJECT, Dnsd
from tests.packets import answers, opt, query, rcode_text
from tests.worlds import AccountFiles, World, write_world

EXPORT = PROJECT.parent / "shared" / "data" / "cloudflare-export.zone"
pytestmark = pytest.mark.skipif(not EXPORT.is_file(), reason=f"{EXPORT} is not there")

ZONE = "shop.example"
V4, V6 = ["203.0.113.10", "203.0.113.11"], ["2001:db8:100::10"]
POOL = ["198.51.100.10", "2001:db8:f::10"]
HTTPS = f'1 . alpn="h3,h2" ipv4hint="{",".join(V4)}" ipv6hint="{",".join(V6)}"'
ORIGINS = [ipaddress.ip_address(ip).packed for ip in ("192.0.2.177", "192.0.2.178", "2001:db8:dead::177")]
TYPES = [
    "A",
    "AAAA",
    "CNAME",
    "HTTPS",
    "SVCB",
    "TXT",
    "MX",
    "NS",
    "SOA",
    "CAA",
    "SRV",
    "PTR",
    "DS",
    "RRSIG",
    "ANY",
    "TYPE65280",
]
LINE = re.compile(r"^(\S+)\t(\d+)\tIN\t(\S+)\t(.*?)(?:\s;(?: .*)? cf_tags=cf-proxied:(true|false))?$", re.MULTILINE)


@dataclass(frozen=True)
class Exported:
    """One line of the export; `name` is the owner name to query."""

    name: str
    ttl: int
    rtype: str
    data: str
    proxied: bool


def exported() -> list[Exported]:
    if not EXPORT.is_file():
        return []
    lines = LINE.findall(EXPORT.read_text(encoding="utf-8"))
    return [Exported(owner.rstrip("."), int(ttl), rtype, data, tag == "true") for owner, ttl, rtype, data, tag in lines]


RECORDS = exported()
PROXIED = sorted({record.name for record in RECORDS if record.proxied})
STORED: dict[tuple[str, str], list[Exported]] = defaultdict(list)
for one in RECORDS:
    if not one.proxied:
        STORED[one.name, one.rtype].append(one)


def instances(name: str) -> list[str]:
    """The names to query: the name, or for a wildcard some covered names and itself."""
    if not name.startswith("*."):
        return [name]
    return [name, name.replace("*", "acme"), name.replace("*", "a.b.c"), name.replace("*", "ACME").swapcase()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dnsd]:
    account = {
        "prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}, {"cidr": "2001:db8:100::/48", "approved": "V"}]
    }
    address_map = {"enabled": True, "ips": V4 + V6, "memberships": [{"kind": "zone", "identifier": ZONE}]}
    files = AccountFiles(account, {"shop": address_map}, {f"{ZONE}.zone": EXPORT.read_text(encoding="utf-8")})
    path = write_world(World({"default_addresses": POOL}, {"acme": files}), tmp_path_factory.mktemp("export"))
    assert (path.parent / f"accounts/acme/zones/{ZONE}.zone").read_bytes() == EXPORT.read_bytes()
    with Dnsd(path) as running:
        yield running


def test_the_export_is_understood() -> None:
    assert len(RECORDS) == sum("\tIN\t" in line for line in EXPORT.read_text(encoding="utf-8").splitlines()) == 20
    assert PROXIED == [
        "*.tenants.shop.example",
        "blog.shop.example",
        "login.shop.example",
        "shop.example",
        "v6.shop.example",
        "www.shop.example",
    ]


@pytest.mark.parametrize("name", PROXIED)
def test_proxied_name_is_answered_from_the_map(server: Dnsd, name: str) -> None:
    for asked in instances(name):
        for qtype, expected in (("A", V4), ("AAAA", V6), ("HTTPS", [HTTPS])):
            message = dns.message.from_wire(server.udp(query(asked, qtype)))
            [rrset] = message.answer
            assert [str(rdata) for rdata in rrset] == expected
            assert (str(rrset.name), rrset.ttl) == (f"{asked}.", 300)
        assert answers(server.udp(query(asked, "CNAME"))) == []
        assert answers(server.udp(query(asked, "ANY"))) == ['"RFC8482" ""']


@pytest.mark.parametrize(("name", "rtype"), STORED, ids=" ".join)
def test_other_record_is_answered_as_stored(server: Dnsd, name: str, rtype: str) -> None:
    number = dns.rdatatype.from_text(rtype)
    expected = {dns.rdata.from_text(dns.rdataclass.IN, number, one.data) for one in STORED[name, rtype]}
    for asked in instances(name):
        for message in (query(asked, rtype, after=opt()), query(asked, rtype, after=opt(size=512))):
            [rrset] = dns.message.from_wire(server.udp(message)).answer
            assert set(rrset) == expected
            assert (rrset.rdtype, rrset.ttl) == (
                number,
                300 if STORED[name, rtype][0].ttl == 1 else STORED[name, rtype][0].ttl,
            )


def test_dns_only_cname_is_answered_as_stored(server: Dnsd) -> None:
    assert answers(server.udp(query("status.shop.example", "A"))) == ["status.example.org."]


def test_origin_of_a_proxied_record_is_in_no_reply(server: Dnsd) -> None:
    """Only api.shop.example, which is DNS-only and has the same address, may show it."""
    names = {asked for record in RECORDS for asked in instances(record.name)} | {f"nope.{ZONE}", "x.y.v6.shop.example"}
    assert ORIGINS[0] in server.udp(query("api.shop.example"))
    for name in sorted(names - {"api.shop.example"}):
        for qtype in TYPES:
            for message in (query(name, qtype), query(name, qtype, after=opt(flags=0x8000))):
                replies = (
                    (server.udp(message), server.tcp(message))
                    if qtype in ("A", "AAAA", "ANY")
                    else (server.udp(message),)
                )
                for reply in replies:
                    assert not any(origin in reply for origin in ORIGINS), (name, qtype)
                    assert rcode_text(reply) in ("NOERROR", "NXDOMAIN")


def test_file_of_another_name_is_the_same_zone(tmp_path: pathlib.Path) -> None:
    """The zone is named by its SOA, which has no final dot in an export."""
    files = AccountFiles(zones={"export.zone": EXPORT.read_text(encoding="utf-8")})
    with Dnsd(write_world(World({"default_addresses": POOL}, {"acme": files}), tmp_path)) as server:
        assert answers(server.udp(query("www.shop.example"))) == POOL[:1]
        assert answers(server.udp(query("www.shop.example", "AAAA"))) == POOL[1:]
