"""Servers as named on the command line, and their configuration files."""

from __future__ import annotations

import pytest

from dnsd.fleet.server_file import FleetServer, ServerTrust, parse_server, server_file

TRUST = ServerTrust("OPERATOR.JWT", "ASYS", {"ADNSD": "DNSD.JWT", "AEDGES": "EDGES.JWT"}, "5ec4e7")
SERVERS = [FleetServer(f"n{number}", f"192.0.2.{number}") for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("text", "server", "url"),
    [
        ("n1=192.0.2.1", FleetServer("n1", "192.0.2.1", 4222), "tls://192.0.2.1:4222"),
        ("n1=192.0.2.1:4300", FleetServer("n1", "192.0.2.1", 4300), "tls://192.0.2.1:4300"),
        ("a-b=N1.Example.net", FleetServer("a-b", "n1.example.net", 4222), "tls://n1.example.net:4222"),
        ("n1=localhost:63535", FleetServer("n1", "localhost", 63535), "tls://localhost:63535"),
        ("n1=2001:DB8::1", FleetServer("n1", "2001:db8::1", 4222), "tls://[2001:db8::1]:4222"),
        ("n1=[2001:db8::1]:4300", FleetServer("n1", "2001:db8::1", 4300), "tls://[2001:db8::1]:4300"),
        ("n1=[2001:db8::1]", FleetServer("n1", "2001:db8::1", 4222), "tls://[2001:db8::1]:4222"),
    ],
)
def test_a_server_is_a_name_an_address_and_perhaps_a_port(text: str, server: FleetServer, url: str) -> None:
    assert parse_server(text) == server
    assert server.url == url


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("n1", "is not NAME=ADDRESS, such as n1=192.0.2.1"),
        ("=192.0.2.1", "is not the name of a node"),
        ("N1=192.0.2.1", "is not the name of a node: use 1 to 32 of a-z, 0-9 and inner hyphens"),
        ("n.1=192.0.2.1", "is not the name of a node"),
        ("../n=192.0.2.1", "is not the name of a node"),
        ("n1=", "is not an address or a host name"),
        ("n1=192.0.2.256", "is not an address or a host name"),
        ("n1=a b", "is not an address or a host name"),
        ('n1=a"b', "is not an address or a host name"),
        ("n1=0.0.0.0", "is not an address that others can reach"),
        ("n1=192.0.2.1:0", "the port must be from 1 to 63535"),
        ("n1=192.0.2.1:63536", "the port must be from 1 to 63535"),
        ("n1=192.0.2.1:x", "the port must be from 1 to 63535"),
    ],
)
def test_other_servers_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_server(text)


def test_a_lone_server_has_no_cluster() -> None:
    text = server_file(SERVERS[0], SERVERS[:1], TRUST)
    assert "cluster" not in text
    assert TRUST.route_secret not in text
    assert 'server_name: "n1"\nlisten: "192.0.2.1:4222"\n' in text
    assert 'resolver_preload {\n  ADNSD: "DNSD.JWT"\n  AEDGES: "EDGES.JWT"\n}' in text


def test_each_of_three_servers_names_all_with_the_secret() -> None:
    text = server_file(SERVERS[1], SERVERS, TRUST)
    for server in SERVERS:
        assert f'"tls://server:5ec4e7@{server.host}:6222"' in text
    assert 'listen: "192.0.2.2:6222"' in text
    assert text.count('min_version: "1.3"') == text.count("verify: true") == 2
