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

import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from tests.live.server import Dnsd
from tests.packets import answers, opt, query, rcode_text
from tests.samples.zones import EXPORT
from tests.worlds import AccountFiles, World, write_world

ZONE = "bakery.example"
CUT = f"lab.{ZONE}"  # a delegation: of its records, only DS is the zone's to answer
FLAT = f"flat.{ZONE}"  # a flattened CNAME, whose target is in no zone here
V4, V6 = ["203.0.113.10", "203.0.113.11"], ["2001:db8:100::10"]
POOL = ["198.51.100.10", "2001:db8:f::10"]
HTTPS = f'1 . alpn="h3,h2" ipv4hint="{",".join(V4)}" ipv6hint="{",".join(V6)}"'
ORIGINS = [ipaddress.ip_address(ip).packed for ip in ("192.0.2.80", "192.0.2.81", "192.0.2.82", "2001:db8:ba::80")]
ORIGINS.append(dns.name.from_text("hosted-blog.example.org.").to_wire())
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
LINE = re.compile(
    r"""^(\S+)\t(\d+)\tIN\t(\S+)\t((?:"(?:[^"\\]|\\.)*"|[^";])*?)(?:\ ;\ (.*))?$""",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Exported:
    """One line of the export; `name` is the owner name to query."""

    name: str
    ttl: int
    rtype: str
    data: str
    proxied: bool


def exported() -> list[Exported]:
    lines = LINE.findall(EXPORT.read_text(encoding="utf-8"))
    return [
        Exported(owner.rstrip("."), int(ttl), rtype, data, "cf-proxied:true" in comment.partition("cf_tags=")[2])
        for owner, ttl, rtype, data, comment in lines
    ]


RECORDS = exported()
PROXIED = sorted({record.name for record in RECORDS if record.proxied})
STORED: dict[tuple[str, str], list[Exported]] = defaultdict(list)
for one in RECORDS:
    if not one.proxied and one.name != FLAT and (one.rtype == "DS" or not one.name.endswith(CUT)):
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
    assert len(RECORDS) == sum("\tIN\t" in line for line in EXPORT.read_text(encoding="utf-8").splitlines()) == 48
    assert PROXIED == [
        "*.ovens.bakery.example",
        "bakery.example",
        "blog.bakery.example",
        "login.bakery.example",
        "www.bakery.example",
        "xn--bckerei-5wa.bakery.example",
    ]


@pytest.mark.parametrize("name", PROXIED)
def test_proxied_name_is_answered_from_the_map(server: Dnsd, name: str) -> None:
    for asked in instances(name):
        synthesised = [] if (name, "HTTPS") in STORED else [("HTTPS", [HTTPS])]
        for qtype, expected in (("A", V4), ("AAAA", V6), *synthesised):
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
            reply = dns.message.from_wire(server.udp(message))
            if reply.flags & dns.flags.TC:
                reply = dns.message.from_wire(server.tcp(message))
            [rrset] = reply.answer
            ttl = STORED[name, rtype][0].ttl
            assert set(rrset) == expected
            assert (rrset.rdtype, rrset.ttl) == (number, 300 if ttl == 1 else ttl)


def test_cnames_without_proxy(server: Dnsd) -> None:
    assert answers(server.udp(query(f"status.{ZONE}", "A"))) == ["status.example.org."]
    assert rcode_text(server.udp(query(FLAT, "A"))) == "SERVFAIL"


def test_names_below_a_cut_are_referred(server: Dnsd) -> None:
    for name in (CUT, f"ns1.{CUT}", f"x.{CUT}"):
        reply = dns.message.from_wire(server.udp(query(name, "A")))
        assert not reply.answer
        assert {str(rdata) for rdata in reply.authority[0]} == {f"ns1.{CUT}.", "ns.example.org."}


def test_origin_of_a_proxied_record_is_in_no_reply(server: Dnsd) -> None:
    """Only the zone's own HTTPS record, which is not proxied and names the same addresses, may show them."""
    names = {asked for record in RECORDS for asked in instances(record.name)} | {f"nope.{ZONE}", f"x.y.mail.{ZONE}"}
    assert ORIGINS[0] in server.udp(query(ZONE, "HTTPS"))
    for name in sorted(names - {FLAT}):
        for qtype in TYPES:
            if (name, qtype) == (ZONE, "HTTPS"):
                continue
            for message in (query(name, qtype), query(name, qtype, after=opt(flags=0x8000))):
                replies = [server.udp(message)]
                if qtype in ("A", "AAAA", "ANY"):
                    replies.append(server.tcp(message))
                for reply in replies:
                    assert not any(origin in reply for origin in ORIGINS), (name, qtype)
                    assert rcode_text(reply) in ("NOERROR", "NXDOMAIN")


def test_file_of_another_name_is_the_same_zone(tmp_path: pathlib.Path) -> None:
    """The zone is named by its SOA, which has no final dot in an export."""
    files = AccountFiles(zones={"export.zone": EXPORT.read_text(encoding="utf-8")})
    with Dnsd(write_world(World({"default_addresses": POOL}, {"acme": files}), tmp_path)) as server:
        assert answers(server.udp(query("www.bakery.example"))) == POOL[:1]
        assert answers(server.udp(query("www.bakery.example", "AAAA"))) == POOL[1:]
