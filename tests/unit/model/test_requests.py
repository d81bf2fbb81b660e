"""The rules on values in requests: TTLs, addresses behind a proxy, the server's own records, names of new zones."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from dnsd.model.records import record_from_rdata
from dnsd.model.requests import (
    check_host_name,
    is_reachable,
    is_servers_own,
    is_ttl,
    nearest_ttl,
    parse_zone_name,
    unreachable_target,
)
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import NS, SOA, A, parse_rdata_text

ZONE = parse_name_text("example.com")
WWW = parse_name_text("www.example.com")

TTLS = [(0, 60), (1, 1), (2, 60), (59, 60), (60, 60), (86_400, 86_400), (86_401, 86_400), (2**31, 86_400)]


@pytest.mark.parametrize(("ttl", "nearest"), TTLS)
def test_ttl(ttl: int, nearest: int) -> None:
    assert is_ttl(ttl) is (ttl == nearest)
    assert nearest_ttl(ttl) == nearest
    assert is_ttl(nearest)


REACHABLE = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "::ffff:192.0.2.1", "100.64.0.1"]
UNREACHABLE = ["0.0.0.1", "10.0.0.1", "127.0.0.1", "169.254.0.1", "172.31.0.1", "192.168.0.1", "224.0.0.1"]
UNREACHABLE += ["255.255.255.255", "::", "::1", "fc00::1", "fe80::1", "ff02::1", "::ffff:10.0.0.1"]


@pytest.mark.parametrize("ip", [*REACHABLE, *UNREACHABLE])
def test_addresses_that_a_proxy_reaches(ip: str) -> None:
    assert is_reachable(ip_address(ip)) is (ip in REACHABLE)


def test_target_is_an_address() -> None:
    def target(text: str) -> str | None:
        return unreachable_target(record_from_rdata(WWW, parse_rdata_text(A, text), ttl=60))

    assert (target("10.0.0.1"), target("192.0.2.1")) == ("10.0.0.1", None)
    assert unreachable_target(record_from_rdata(WWW, parse_rdata_text(NS, "localhost."), ttl=60)) is None


@pytest.mark.parametrize(
    ("owner", "rtype", "expected"), [(ZONE, SOA, True), (ZONE, NS, True), (WWW, NS, False), (ZONE, A, False)]
)
def test_apex_records_are_the_servers_own(owner: bytes, rtype: int, expected: bool) -> None:
    assert is_servers_own(ZONE, owner, rtype) is expected


@pytest.mark.parametrize("text", ["example.com", "Example.COM.", "example.com..."])
def test_names_of_zones_are_read_in_any_case_with_final_dots(text: str) -> None:
    assert parse_zone_name(text) == ZONE


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "the root zone cannot be created"), (".", "the root zone"), ("a..b", "the zone's name: ")],
)
def test_invalid_zone_names(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_zone_name(text)


@pytest.mark.parametrize("text", ["example.com", "_a.example", "0/25.2.0.192.in-addr.arpa", "xn--bcher-kva.example"])
def test_host_names(text: str) -> None:
    check_host_name(parse_name_text(text).lower())


@pytest.mark.parametrize("text", [r"a\032b.example", "*.example", "-a.example", "a-"])
def test_names_other_than_host_names(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid zone name: use letters, digits, hyphens and dots"):
        check_host_name(parse_name_text(text).lower())
