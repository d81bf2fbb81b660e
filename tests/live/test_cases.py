"""The table of cases for the address maps' rules, queried from a running server over UDP and TCP.

One server runs; when a case needs another state of the maps, its files are rewritten and reloaded.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from tests.limits import HANG_S
from tests.live.server import Dnsd
from tests.reference import expect
from tests.worlds import AccountFiles, World, write_world

Fields = dict[str, Any]

# The initial data of all cases.

POOL_V4 = ["198.51.100.10", "198.51.100.11"]
POOL_V6 = ["2001:db8:f::10", "2001:db8:f::11"]
MZ_V4 = ["203.0.113.10", "203.0.113.11"]
MZ_V6 = ["2001:db8:100::10"]
MA_V4 = ["203.0.113.20"]
MI_V4 = ["203.0.113.30"]
MI_V6 = ["2001:db8:100::30"]

Z1_MEMBER = {"kind": "zone", "identifier": "example.com", "created_at": "2025-01-01T00:00:00Z"}
Z1_NEWER = {"kind": "zone", "identifier": "example.com", "created_at": "2025-06-01T00:00:00Z"}
Z3_MEMBER = {"kind": "zone", "identifier": "example.org"}
A1_MEMBER = {"kind": "account", "identifier": "a1"}
MZ = {"enabled": True, "ips": MZ_V4 + MZ_V6, "memberships": [Z1_MEMBER]}
MA = {"enabled": True, "ips": [*MA_V4, "2001:db8:100::20"], "memberships": [A1_MEMBER]}
MI = {"enabled": True, "ips": MI_V4 + MI_V6, "memberships": [A1_MEMBER], "immutable": True}
DELEGATED = {"enabled": True, "ips": ["203.0.113.70"], "memberships": [Z3_MEMBER]}

PREFIX_V4 = {"cidr": "203.0.113.0/24", "asn": 64500, "approved": "V"}
PREFIX_V6 = {"cidr": "2001:db8:100::/48", "asn": 64500, "approved": "V"}
OPEN = {"pool": "allowed"}  # else an account would be held when the next case lacks its immutable map
A1 = {**OPEN, "prefixes": [PREFIX_V4, PREFIX_V6]}
DELEGATION = {"cidr": "203.0.113.64/26", "account": "a2"}
A1_DELEGATES = {**OPEN, "prefixes": [{**PREFIX_V4, "delegations": [DELEGATION]}, PREFIX_V6]}

WWW = {"name": "www", "type": "A", "content": "192.0.2.1", "proxied": True}
Z1_RECORDS = [
    WWW,
    {"name": "dns", "type": "A", "content": "192.0.2.2", "ttl": 3600},
    {"name": "auto", "type": "A", "content": "192.0.2.5", "ttl": 1},
    {"name": "mix", "type": "A", "content": "192.0.2.3", "proxied": True},
    {"name": "mix", "type": "A", "content": "192.0.2.4", "proxied": False},
    {"name": "v6", "type": "AAAA", "content": "2001:db8:dead::1", "proxied": True},
    {"name": "four", "type": "A", "content": "192.0.2.6", "proxied": True, "settings": {"ipv4_only": True}},
    {"name": "six", "type": "A", "content": "192.0.2.7", "proxied": True, "settings": {"ipv6_only": True}},
    {"name": "al", "type": "CNAME", "content": "x.other.test", "proxied": True},
    {"name": "altxt", "type": "CNAME", "content": "x.other.test", "proxied": True},
    {"name": "altxt", "type": "TXT", "content": "v", "ttl": 600},
    {"name": "in", "type": "CNAME", "content": "www.example.com", "ttl": 600},
    {"name": "out", "type": "CNAME", "content": "x.other.test", "ttl": 900},
    {"name": "x", "type": "CNAME", "content": "www.target.test", "ttl": 900},
    {"name": "far", "type": "A", "content": "192.0.2.8", "ttl": 7200},
    {"name": "*", "type": "A", "content": "192.0.2.9", "proxied": True},
    {"name": "txtonly", "type": "TXT", "content": "t"},
    {"name": "sub", "type": "NS", "content": "ns.x.test", "ttl": 86400},
    {"name": "w.sub", "type": "A", "content": "192.0.2.77", "proxied": True},
]
Z2_RECORDS = [WWW, {"name": "toz1", "type": "CNAME", "content": "www.example.com", "proxied": True}]
Z3_RECORDS = [WWW]
TARGET = {"verified": False, "records": [WWW]}
APEX_MX = {"name": "@", "type": "MX", "content": "mail.example.com", "priority": 10, "ttl": 3600}
APEX_PROXIED = {"name": "@", "type": "CNAME", "content": "x.other.test", "proxied": True}
APEX_FLATTENED = {"name": "@", "type": "CNAME", "content": "far.example.com", "ttl": 3600}


@dataclass(frozen=True)
class State:
    """Differences from the initial data: A1's maps, settings of A1, Z1 and the server, records added to Z1's apex."""

    maps: tuple[tuple[str, Fields], ...] = ()
    a1: tuple[tuple[str, Any], ...] = ()
    z1: tuple[tuple[str, Any], ...] = ()
    server: tuple[tuple[str, Any], ...] = ()
    apex: tuple[Fields, ...] = ()
    delegated: bool = False


def state(*maps: Fields, **rest: Any) -> State:
    return State(tuple((f"m{number}", one) for number, one in enumerate(maps)), **rest)


NONE = state()
ONLY_MZ = state(MZ)
DISABLED = {**MZ, "enabled": False}
NO_MEMBERS = {**MZ, "memberships": []}
V4_ONLY = {**MZ, "ips": MZ_V4}
V6_ONLY = {**MZ, "ips": MZ_V6}
NO_IPS = {**MZ, "ips": []}
NEWER = {"enabled": True, "ips": ["203.0.113.50"], "memberships": [Z1_NEWER]}
FALLBACK = (("missing_family", "fallback"),)
ENFORCED = (("settings", {"enforce_dns_only": True}),)

# An answer: records `owner TTL type rdata`, or one of these.

NO_DATA = "no data"
NXDOMAIN = "NXDOMAIN"
REFERRAL = "referral"


def addresses(owner: str, ips: list[str], ttl: int = 300) -> list[str]:
    return [f"{owner}. {ttl} {'AAAA' if ':' in ip else 'A'} {ip}" for ip in ips]


def edge(owner: str, ips: list[str]) -> list[str]:
    return addresses(owner, ips)


WWW1, WWW2, WWW3 = "www.example.com", "www.example.net", "www.example.org"
HTTPS_BOTH = f'1 . alpn="h3,h2" ipv4hint="{",".join(MZ_V4)}" ipv6hint="{",".join(MZ_V6)}"'
HTTPS_V4 = f'1 . alpn="h3,h2" ipv4hint="{",".join(MZ_V4)}"'

# number, state, query, answer
CASES: list[tuple[str, State, str, list[str] | str]] = [
    ("1", NONE, f"{WWW1} A", edge(WWW1, POOL_V4)),
    ("2", NONE, f"{WWW1} AAAA", edge(WWW1, POOL_V6)),
    ("3", ONLY_MZ, f"{WWW1} A", edge(WWW1, MZ_V4)),
    ("4", ONLY_MZ, f"{WWW1} AAAA", edge(WWW1, MZ_V6)),
    ("5", ONLY_MZ, f"{WWW2} A", edge(WWW2, POOL_V4)),
    ("6", state(MA), f"{WWW2} A", edge(WWW2, MA_V4)),
    ("7", state(MZ, MA), f"{WWW1} A", edge(WWW1, MZ_V4)),
    ("8", state(MZ, MA), f"{WWW2} A", edge(WWW2, MA_V4)),
    ("9", state(DISABLED, MA), f"{WWW1} A", edge(WWW1, MA_V4)),
    ("10", state(DISABLED), f"{WWW1} A", edge(WWW1, POOL_V4)),
    ("11", state(MI), f"{WWW1} A", edge(WWW1, MI_V4)),
    ("12-com", state(MZ, MI), f"{WWW1} A", edge(WWW1, MZ_V4)),
    ("12-net", state(MZ, MI), f"{WWW2} A", edge(WWW2, MI_V4)),
    ("13", state(MA, MI), f"{WWW1} A", edge(WWW1, MA_V4)),
    ("14", state(MA), f"{WWW3} A", edge(WWW3, POOL_V4)),
    ("15", state(NO_MEMBERS), f"{WWW1} A", edge(WWW1, POOL_V4)),
    ("16-before", ONLY_MZ, f"{WWW1} A", edge(WWW1, MZ_V4)),
    ("16-after", state(NO_MEMBERS), f"{WWW1} A", edge(WWW1, POOL_V4)),
    ("17", state(V4_ONLY), f"{WWW1} AAAA", NO_DATA),
    ("18-nodata", state(V4_ONLY, MI), f"{WWW1} AAAA", NO_DATA),
    ("18-fallback", state(V4_ONLY, MI, server=FALLBACK), f"{WWW1} AAAA", edge(WWW1, MI_V6)),
    ("18-no-pool", state(V4_ONLY, server=FALLBACK), f"{WWW1} AAAA", NO_DATA),
    ("19", state(V6_ONLY), f"{WWW1} A", NO_DATA),
    ("20", state(NO_IPS, MA), f"{WWW1} A", edge(WWW1, MA_V4)),
    ("21", state(MZ, NEWER), f"{WWW1} A", edge(WWW1, ["203.0.113.50"])),
    ("22", ONLY_MZ, "dns.example.com A", addresses("dns.example.com", ["192.0.2.2"], ttl=3600)),
    ("23", ONLY_MZ, "auto.example.com A", addresses("auto.example.com", ["192.0.2.5"], ttl=300)),
    ("24", ONLY_MZ, "mix.example.com A", edge("mix.example.com", MZ_V4)),
    ("25-a", ONLY_MZ, "v6.example.com A", edge("v6.example.com", MZ_V4)),
    ("25-aaaa", ONLY_MZ, "v6.example.com AAAA", edge("v6.example.com", MZ_V6)),
    ("26-aaaa", state(MZ, z1=(("settings", {"ipv6": False}),)), f"{WWW1} AAAA", NO_DATA),
    ("26-a", state(MZ, z1=(("settings", {"ipv6": False}),)), f"{WWW1} A", edge(WWW1, MZ_V4)),
    ("27", ONLY_MZ, "four.example.com AAAA", NO_DATA),
    ("28", ONLY_MZ, "six.example.com A", NO_DATA),
    ("29", ONLY_MZ, "al.example.com A", edge("al.example.com", MZ_V4)),
    ("30-cname", ONLY_MZ, "al.example.com CNAME", NO_DATA),
    ("30-txt", ONLY_MZ, "al.example.com TXT", NO_DATA),
    ("31", ONLY_MZ, "altxt.example.com TXT", ['altxt.example.com. 600 TXT "v"']),
    ("32-a", state(MZ, apex=(APEX_PROXIED, APEX_MX)), "example.com A", edge("example.com", MZ_V4)),
    ("32-mx", state(MZ, apex=(APEX_PROXIED, APEX_MX)), "example.com MX", ["example.com. 3600 MX 10 mail.example.com."]),
    ("33", state(apex=(APEX_FLATTENED,)), "example.com A", addresses("example.com", ["192.0.2.8"], ttl=3600)),
    ("34", ONLY_MZ, "in.example.com A", ["in.example.com. 600 CNAME www.example.com.", *edge(WWW1, MZ_V4)]),
    ("35", ONLY_MZ, "out.example.com A", ["out.example.com. 900 CNAME x.other.test."]),
    ("36", ONLY_MZ, "toz1.example.net A", edge("toz1.example.net", POOL_V4)),
    ("37", ONLY_MZ, "a.b.example.com A", edge("a.b.example.com", MZ_V4)),
    ("38-here", ONLY_MZ, "txtonly.example.com A", NO_DATA),
    ("38-below", ONLY_MZ, "deep.txtonly.example.com A", NXDOMAIN),
    ("39", ONLY_MZ, "w.sub.example.com A", REFERRAL),
    ("40-pending", state(MZ, z1=(("status", "pending"),)), f"{WWW1} A", addresses(WWW1, ["192.0.2.1"])),
    ("40-paused", state(MZ, z1=(("paused", True),)), f"{WWW1} A", addresses(WWW1, ["192.0.2.1"])),
    ("40-enforced", state(MZ, a1=ENFORCED), f"{WWW1} A", addresses(WWW1, ["192.0.2.1"])),
    ("41", state(MZ, a1=ENFORCED), "al.example.com A", ["al.example.com. 300 CNAME x.other.test."]),
    ("42", ONLY_MZ, f"{WWW1} HTTPS", [f"{WWW1}. 300 HTTPS {HTTPS_BOTH}"]),
    ("43", state(V4_ONLY), f"{WWW1} HTTPS", [f"{WWW1}. 300 HTTPS {HTTPS_V4}"]),
    ("44-none", NONE, f"{WWW1} ANY", [f'{WWW1}. 3789 HINFO "RFC8482" ""']),
    ("44-mz", ONLY_MZ, f"{WWW1} ANY", [f'{WWW1}. 3789 HINFO "RFC8482" ""']),
    ("45", state(MZ, delegated=True), f"{WWW3} A", edge(WWW3, ["203.0.113.70"])),
    ("48", ONLY_MZ, "x.example.com A", ["x.example.com. 900 CNAME www.target.test."]),
    ("48-itself", ONLY_MZ, "www.target.test A", edge("www.target.test", POOL_V4)),
]
NUMBERED = [pytest.param(where, query, answer, id=f"case-{number}") for number, where, query, answer in CASES]


def world_of(one: State) -> World:
    """The two accounts with their four zones, in this state."""
    z1 = {"records": [*Z1_RECORDS, *one.apex], **dict(one.z1)}
    a1 = AccountFiles(
        {**(A1_DELEGATES if one.delegated else A1), **dict(one.a1)},
        dict(one.maps),
        {"example.com.yaml": z1, "example.net.yaml": {"records": Z2_RECORDS}},
    )
    a2 = AccountFiles(
        {},
        {"m": DELEGATED} if one.delegated else {},
        {"example.org.yaml": {"records": Z3_RECORDS}, "target.test.yaml": TARGET},
    )
    settings = {
        "default_addresses": POOL_V4 + POOL_V6,
        "nameservers": ["ns1.example.edu"],
        "workers": 1,
        # Case 20 empties a map in use. Files are written one after another: the watch would load them halfway.
        "reload": {"max_drop_percent": 100, "watch": False},
    }
    return World({**settings, **dict(one.server)}, {"a1": a1, "a2": a2})


class Stage:
    """A running server whose files change from case to case."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.state = NONE
        self.config = write_world(world_of(NONE), folder)
        self.server = Dnsd(self.config)

    def show(self, wanted: State) -> Dnsd:
        """The server, with the files of this state."""
        if wanted != self.state:
            for path in self.folder.glob("accounts/*/maps/*.yaml"):
                path.unlink()
            write_world(world_of(wanted), self.folder)
            ask(state_folder(self.config), MessageKind.RELOAD, {"force": False}, timeout_s=HANG_S)
            self.state = wanted
        return self.server


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server that starts without maps."""
    one = Stage(tmp_path_factory.mktemp("cases"))
    with one.server:
        yield one
        assert one.server.stop() == 0


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("where", "query", "answer"), NUMBERED)
def test_case(stage: Stage, where: State, query: str, answer: list[str] | str, transport: str) -> None:
    qname, qtype = query.split()
    message = dns.message.make_query(qname, qtype)
    ask = {"udp": stage.show(where).udp, "tcp": stage.show(where).tcp}[transport]
    reply = dns.message.from_wire(ask(message.to_wire()))
    assert message.is_response(reply)
    assert rcode_and_aa(reply) == {NXDOMAIN: ("NXDOMAIN", True), REFERRAL: ("NOERROR", False)}.get(
        str(answer), ("NOERROR", True)
    )
    assert as_text(reply.answer) == (answer if isinstance(answer, list) else [])
    assert names_and_types(reply.authority) == authority_of(answer)
    assert as_text(reply.additional) == []


@pytest.mark.parametrize(("where", "query", "answer"), NUMBERED)
def test_reference_gives_the_same(where: State, query: str, answer: list[str] | str) -> None:
    qname, qtype = query.split()
    expected = expect(world_of(where), qname, qtype)
    records = [
        f"{owner} {ttl} {dns.rdatatype.to_text(rdtype)} {rdata}" for owner, rdtype, ttl, rdata in expected.answer
    ]
    assert records == (answer if isinstance(answer, list) else [])
    assert (dns.rcode.to_text(expected.rcode), expected.aa) == (
        "NXDOMAIN" if answer == NXDOMAIN else "NOERROR",
        answer != REFERRAL,
    )
    assert [(str(owner), dns.rdatatype.to_text(kind)) for owner, kind, *_ in expected.authority] == authority_of(answer)


def test_every_case_of_the_table_is_here() -> None:
    numbers = [int(number.split("-")[0]) for number, *_ in CASES]
    assert [number for number, _ in itertools.groupby(numbers)] == [*range(1, 46), 48]


def authority_of(answer: list[str] | str) -> list[tuple[str, str]]:
    """Owner and type of the records in the authority section."""
    negative = [("example.com.", "SOA")]
    return {NO_DATA: negative, NXDOMAIN: negative, REFERRAL: [("sub.example.com.", "NS")]}.get(str(answer), [])


def rcode_and_aa(reply: dns.message.Message) -> tuple[str, bool]:
    return dns.rcode.to_text(reply.rcode()), bool(reply.flags & dns.flags.AA)


def as_text(section: list[dns.rrset.RRset]) -> list[str]:
    """Records as `owner TTL type rdata`, in the order of the reply."""
    return [
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
        for rrset in section
        for rdata in rrset
    ]


def names_and_types(section: list[dns.rrset.RRset]) -> list[tuple[str, str]]:
    return [(str(rrset.name), dns.rdatatype.to_text(rrset.rdtype)) for rrset in section]
