"""dnsd.yaml: its keys, their forms and ranges, and the environment that overrides them."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from dnsd.errors import InvalidDataError
from dnsd.settings.file import load_settings
from dnsd.settings.server import Settings

MINIMAL = "default_addresses: [198.51.100.10]\n"


def load(folder: pathlib.Path, text: str = MINIMAL, environment: dict[str, str] | None = None) -> Settings:
    file = folder / "dnsd.yaml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environment or {}).settings


def value(settings: Settings, path: str) -> Any:
    found: Any = settings
    for step in path.split("."):
        found = getattr(found, step)
    return found


def shown(found: Any) -> Any:
    """The value in its written form."""
    if isinstance(found, tuple):
        return [shown(one) for one in found]
    return found if isinstance(found, bool | int | float | None) else str(found)


DEFAULTS = {
    "listen": ["127.0.0.1:5300", "[::1]:5300"],
    "workers": "auto",
    "default_addresses": ["198.51.100.10"],
    "data": "accounts",
    "missing_family": "nodata",
    "nameservers": [],
    "resolver": [],
    "version": None,
    "identity": None,
    "nsid": None,
    "role": "standalone",
    "fleet": None,
    "api": None,
    "metrics": None,
    "limits.rrl.responses_per_second": 200,
    "quotas.zones": 10_000,
    "quotas.records_per_zone": 100_000,
    "quotas.records": 1_000_000,
    "quotas.maps": 1_000,
    "quotas.addresses_per_map": 200,
    "quotas.members_per_map": 10_000,
    "quotas.prefixes": 100,
    "quotas.delegations": 1_000,
    "quotas.history_octets": 1024**3,
    "quotas.audit_octets": 64 * 1024**2,
    "audit_days": 365,
    "audit": "deletes",
    "quotas.writes_per_minute": 12_000,
    "limits.rrl.slip": 2,
    "limits.rrl.ipv4_prefix": 24,
    "limits.rrl.ipv6_prefix": 56,
    "limits.rrl.log_only": False,
    "limits.rrl.exempt": ["127.0.0.0/8", "::1/128"],
    "limits.file_mib": 1024,
    "limits.memory_mib": None,
    "limits.tcp.connections": 1000,
    "limits.tcp.per_client": 100,
    "limits.tcp.per_network": 300,
    "limits.tcp.idle_s": 10,
    "limits.tcp.first_byte_s": 2,
    "limits.tcp.queries": 1000,
    "reload.max_drop_percent": 30,
    "reload.brake.accounts": 25,
    "reload.brake.accounts_percent": 5,
    "reload.brake_limits": [25, 5],
    "reload.window": "10m",
    "reload.window_s": 600,
}


@pytest.mark.parametrize(("path", "default"), DEFAULTS.items(), ids=DEFAULTS.keys())
def test_default(tmp_path: pathlib.Path, path: str, default: Any) -> None:
    assert shown(value(load(tmp_path), path)) == default


# Line, key, value
FORMS: dict[str, tuple[str, str, Any]] = {
    "an IPv4 address and port": ('listen: ["192.0.2.1:53"]', "listen", ["192.0.2.1:53"]),
    "an IPv6 address and port": ('listen: ["[2001:DB8::1]:53"]', "listen", ["[2001:db8::1]:53"]),
    "an IPv4 address alone": ("listen: [192.0.2.1]", "listen", ["192.0.2.1:53"]),
    "an IPv6 address alone": ('listen: ["::1"]', "listen", ["[::1]:53"]),
    "an IPv6 address in brackets": ('listen: ["[::1]"]', "listen", ["[::1]:53"]),
    "all addresses": ('listen: ["0.0.0.0:53", "[::]:53"]', "listen", ["0.0.0.0:53", "[::]:53"]),
    "port 0": ('listen: ["127.0.0.1:0"]', "listen", ["127.0.0.1:0"]),
    "port 65535": ('listen: ["127.0.0.1:65535"]', "listen", ["127.0.0.1:65535"]),
    "a list as one text": ('listen: "127.0.0.1:53, [::1]:53"', "listen", ["127.0.0.1:53", "[::1]:53"]),
    "workers": ("workers: 4", "workers", 4),
    "memory": ("limits: {memory_mib: 2048}", "limits.memory_mib", 2048),
    "large files": ("limits: {file_mib: 16384}", "limits.file_mib", 16_384),
    "evidence of all changes": ("audit: required", "audit", "required"),
    "a quota of nothing": ("quotas: {zones: 0}", "quotas.zones", 0),
    "1024 workers": ("workers: 1024", "workers", 1024),
    "auto workers": ("workers: auto", "workers", "auto"),
    "another brake": ("reload: {brake: {accounts: 7}}", "reload.brake_limits", [7, 5]),
    "no brake": ("reload: {brake: off}", "reload.brake_limits", None),
    "no brake by percent": ("reload: {brake: {accounts_percent: 100}}", "reload.brake_limits", None),
    "a window in seconds": ("reload: {window: 90s}", "reload.window_s", 90),
    "a window in hours": ("reload: {window: 24h}", "reload.window_s", 86_400),
    "fallback": ("missing_family: fallback", "missing_family", "fallback"),
    "nameservers": (
        "nameservers: [ns1.example.net, ns2.example.net.]",
        "nameservers",
        ["ns1.example.net.", "ns2.example.net."],
    ),
    "a fleet": ("fleet: {servers: ['tls://192.0.2.1:4222', 'tls://[::1]']}", "fleet.identity", "identity"),
    "servers as one text": (
        "fleet: {servers: 'tls://n1.example:4222, tls://n2.example'}",
        "fleet.servers",
        ["tls://n1.example:4222", "tls://n2.example"],
    ),
    "a control": ("role: control\nfleet: {servers: 'tls://192.0.2.1'}\napi: {listen: '::1'}", "role", "control"),
    "an edge": ("role: edge\nfleet: {servers: 'tls://192.0.2.1'}", "role", "edge"),
    "a port for edges": ("fleet: {servers: 'tls://a', join: {listen: '[::]:8443'}}", "fleet.join.listen", "[::]:8443"),
    "URLs for edges": (
        "fleet: {servers: 'tls://a', join: {listen: '::', urls: 'tls://c1.example, tls://c2.example:1'}}",
        "fleet.join.urls",
        ["tls://c1.example", "tls://c2.example:1"],
    ),
    "a resolver": ("resolver: 192.0.2.53", "resolver", ["192.0.2.53:53"]),
    "resolvers": ('resolver: ["[::1]:5300", "127.0.0.1:54"]', "resolver", ["[::1]:5300", "127.0.0.1:54"]),
    "version": ("version: 9.18", "version", "9.18"),
    "null as version": ("version: null", "version", None),
    "api": ('api: {listen: "127.0.0.1:8053"}', "api.listen", "127.0.0.1:8053"),
    "metrics": ('metrics: {listen: "[::1]:9153"}', "metrics.listen", "[::1]:9153"),
    "hosts": (
        "api: {listen: 127.0.0.1, hosts: [DNS.Example.net., bücher.example, edge_1]}",
        "api.hosts",
        ["dns.example.net", "xn--bcher-kva.example", "edge_1"],
    ),
    "a certificate": (
        "api: {listen: 127.0.0.1, tls: {certificate: tls.crt, key: tls.key}}",
        "api.tls.certificate",
        "tls.crt",
    ),
    "a token file": ("metrics: {listen: 127.0.0.1, token_file: token}", "metrics.token_file", "token"),
    "hosts as one text": ("metrics: {listen: 127.0.0.1, hosts: 'a.example, b'}", "metrics.hosts", ["a.example", "b"]),
    "no rate limit": ("limits: {rrl: {responses_per_second: 0}}", "limits.rrl.responses_per_second", 0),
    "fractions of a second": ("limits: {tcp: {idle_s: 0.5}}", "limits.tcp.idle_s", 0.5),
    "exempt": ("limits: {rrl: {exempt: [192.0.2.0/24]}}", "limits.rrl.exempt", ["192.0.2.0/24"]),
    "no exempt networks": ("limits: {rrl: {exempt: []}}", "limits.rrl.exempt", []),
    "limits next to a given one keep their default": ("limits: {tcp: {connections: 5}}", "limits.tcp.queries", 1000),
}


@pytest.mark.parametrize(("line", "path", "expected"), FORMS.values(), ids=FORMS.keys())
def test_form(tmp_path: pathlib.Path, line: str, path: str, expected: Any) -> None:
    assert shown(value(load(tmp_path, f"{MINIMAL}{line}\n"), path)) == expected


# Line 2, the column of the problem, a part of its text
WRONG: dict[str, tuple[str, int, str]] = {
    "an unknown key": ("lisen: []", 1, "unknown key; did you mean 'listen'?"),
    "a key unlike all": ("zzz: 1", 1, "unknown key; known keys: listen, workers"),
    "an unknown key inside": ("limits: {tcp: {idle: 5}}", 16, "unknown key; did you mean 'idle_s'?"),
    "too little memory": ("limits: {memory_mib: 63}", 10, "expected a number from 64 to"),
    "files too large": ("limits: {file_mib: 16385}", 10, "expected a number from 1 to"),
    "memory as a text": ("limits: {memory_mib: 2G}", 10, "whole number"),
    "an unknown limit": ("limits: {udp: {}}", 10, "unknown key"),
    "no listeners": ("listen: []", 1, "must not be empty"),
    "a host name": ("listen: ['localhost:53']", 10, "'localhost:53' is not an address to listen on"),
    "a port over 65535": ("listen: ['127.0.0.1:53', '127.0.0.1:65536']", 26, "65536"),
    "a negative port": ("listen: ['127.0.0.1:-1']", 10, "is not an address"),
    "no port": ("listen: ['127.0.0.1:']", 10, "is not an address"),
    "a port of other digits": ("listen: ['127.0.0.1:５３']", 10, "is not an address"),
    "evidence of some changes": ("audit: some", 1, "required"),
    "no days": ("audit_days: 0", 1, "from 1 to 100,000"),
    "an unknown quota": ("quotas: {zone: 1}", 10, "did you mean 'zones'?"),
    "a negative quota": ("quotas: {maps: -1}", 10, "from 0 to 1,000,000,000"),
    "no writes": ("quotas: {writes_per_minute: 0}", 10, "from 1 to 1,000,000,000"),
    "a brake as a word": ("reload: {brake: on}", 10, "expected keys and values, found 'on'"),
    "a brake of no account": ("reload: {brake: {accounts: 0}}", 18, "from 1 to 10,000,000"),
    "a brake over 100": ("reload: {brake: {accounts_percent: 101}}", 18, "from 0 to 100"),
    "a window without a unit": ("reload: {window: 600}", 10, "'600' is not a time such as 90s, 10m or 1h"),
    "a window too long": ("reload: {window: 25h}", 10, "expected a time from 1s to 24h"),
    "no workers": ("workers: 0", 1, "expected auto, or a number from 1 to 1024, found '0'"),
    "too many workers": ("workers: 1025", 1, "from 1 to 1024"),
    "half a worker": ("workers: 1.5", 1, "from 1 to 1024"),
    "workers in words": ("workers: many", 1, "found 'many'"),
    "a missing family": ("missing_family: pool", 1, "found 'pool'"),
    "a nameserver that is no name": ("nameservers: [a..b]", 15, "empty label"),
    "an unknown role": ("role: hub", 1, "found 'hub'"),
    "an edge without a fleet": ("role: edge", 1, "`edge` needs the section `fleet`, with the fleet's servers"),
    "a control without a fleet": ("role: control", 1, "`control` needs the section `fleet`"),
    "a fleet without servers": ("fleet: {servers: []}", 9, "must not be empty"),
    "a server without TLS": (
        "fleet: {servers: ['nats://192.0.2.1']}",
        19,
        "is not a server of a fleet, such as tls://",
    ),
    "a server with a path": ("fleet: {servers: ['tls://192.0.2.1:4222/x']}", 19, "is not a server of a fleet"),
    "a port for edges without an address": ("fleet: {servers: 'tls://192.0.2.1', join: {}}", 37, "is missing"),
    "a URL for edges without TLS": (
        "fleet: {servers: 'tls://192.0.2.1', join: {listen: '::', urls: ['http://c.example']}}",
        65,
        "is not a server of a fleet, such as tls://",
    ),
    "a resolver by name": ("resolver: [dns.example.net]", 12, "the address of a resolver, such as 127.0.0.1"),
    "a resolver at port 0": ("resolver: ['127.0.0.1:0']", 12, "the address of a resolver"),
    "five resolvers": ("resolver: 192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5", 1, "4"),
    "a version too long": (f"version: {'x' * 256}", 1, "255"),
    "a list for a version": ("version: [x]", 1, "expected text"),
    "api without an address": ("api: {}", 1, "is missing"),
    "api as an address": ("api: '127.0.0.1:8053'", 1, "expected keys and values"),
    "an address as host": ("metrics: {listen: 127.0.0.1, hosts: [192.0.2.1]}", 38, "always accepted"),
    "an IPv6 address as host": ("api: {listen: 127.0.0.1, hosts: ['[::1]']}", 34, "always accepted"),
    "a host with a port": ("api: {listen: 127.0.0.1, hosts: ['a.example:80']}", 34, "without port and path"),
    "a URL as host": ("api: {listen: 127.0.0.1, hosts: ['https://a.example/']}", 34, "without port and path"),
    "a wildcard host": ("api: {listen: 127.0.0.1, hosts: ['*.example']}", 34, "without port and path"),
    "a host of empty labels": ("api: {listen: 127.0.0.1, hosts: ['a..b']}", 34, "empty label"),
    "a certificate without a key": ("api: {listen: 127.0.0.1, tls: {certificate: a}}", 26, "is missing"),
    "tls as a word": ("metrics: {listen: 127.0.0.1, tls: on}", 30, "expected keys and values"),
    "limits as text": ("limits: none", 1, "expected keys and values"),
    **{
        f"{key} {bad}": (f"limits: {{{group}: {{{key}: {bad}}}}}", len(f"limits: {{{group}: {{") + 1, f"found '{bad}'")
        for group, key, values in (
            ("rrl", "responses_per_second", ("-1", "many", "1.5")),
            ("rrl", "slip", ("-1", "11")),
            ("rrl", "ipv4_prefix", ("0", "33")),
            ("rrl", "ipv6_prefix", ("0", "129")),
            ("rrl", "log_only", ("perhaps",)),
            ("tcp", "connections", ("0",)),
            ("tcp", "per_client", ("0",)),
            ("tcp", "per_network", ("0",)),
            ("tcp", "idle_s", ("0", "-1")),
            ("tcp", "first_byte_s", ("0",)),
            ("tcp", "queries", ("0",)),
        )
        for bad in values
    },
    "exempt with host bits": ("limits: {rrl: {exempt: [192.0.2.1/24]}}", 25, "did you mean 192.0.2.0/24"),
}


@pytest.mark.parametrize(("line", "column", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong(tmp_path: pathlib.Path, line: str, column: int, said: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        load(tmp_path, f"{MINIMAL}{line}\n")
    [problem] = caught.value.problems
    assert str(problem).startswith(f"{tmp_path}/dnsd.yaml:2:{column}: ")
    assert said in problem.message


def test_an_edge_has_no_api(tmp_path: pathlib.Path) -> None:
    fleet = "role: edge\nfleet: {servers: ['tls://192.0.2.1']}\n"
    with pytest.raises(InvalidDataError, match=r"dnsd\.yaml:4:1: api: an edge has no API"):
        load(tmp_path, f"{MINIMAL}{fleet}api: {{listen: 127.0.0.1}}\n")


def test_an_edge_lets_nobody_in(tmp_path: pathlib.Path) -> None:
    fleet = "role: edge\nfleet:\n  servers: ['tls://192.0.2.1']\n  join: {listen: 127.0.0.1}\n"
    with pytest.raises(InvalidDataError, match=r"fleet\.join: an edge lets nobody in: a control does"):
        load(tmp_path, f"{MINIMAL}{fleet}")


@pytest.mark.parametrize("line", ["default_addresses: []", "default_addresses: [198.51.100.0/24]", "data: accounts"])
def test_pool_is_required(tmp_path: pathlib.Path, line: str) -> None:
    with pytest.raises(InvalidDataError, match="default_addresses"):
        load(tmp_path, line)


def test_every_problem_is_reported_at_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidDataError) as caught:
        load(tmp_path, "workers: 0\nlisten: [x]\nmissing_family: x\n")
    assert len(caught.value.problems) == 4


def test_settings_file_is_missing(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidDataError, match=r"cannot be read.*-c.*DNSD_CONFIG"):
        load_settings(tmp_path / "none.yaml", {})


def test_file_in_binary(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dnsd.yaml").write_bytes(b"\xff")
    with pytest.raises(InvalidDataError, match="not UTF-8"):
        load_settings(tmp_path / "dnsd.yaml", {})


# Variables, key, value
ENVIRONMENT: dict[str, tuple[dict[str, str], str, Any]] = {
    "a text": ({"DNSD_DATA": "elsewhere"}, "data", "elsewhere"),
    "a number": ({"DNSD_WORKERS": "3"}, "workers", 3),
    "one address": ({"DNSD_LISTEN": "127.0.0.1:0"}, "listen", ["127.0.0.1:0"]),
    "one IPv6 address": ({"DNSD_LISTEN": "[::1]:53"}, "listen", ["[::1]:53"]),
    "several addresses": ({"DNSD_LISTEN": "127.0.0.1:53, [::1]:53"}, "listen", ["127.0.0.1:53", "[::1]:53"]),
    "several, IPv6 first": ({"DNSD_LISTEN": "[::1]:53,127.0.0.1:53"}, "listen", ["[::1]:53", "127.0.0.1:53"]),
    "a YAML list": ({"DNSD_LISTEN": '["127.0.0.1:53", "[::1]:53"]'}, "listen", ["127.0.0.1:53", "[::1]:53"]),
    "an IPv6 pool": (
        {"DNSD_DEFAULT_ADDRESSES": "2001:db8::1,198.51.100.1"},
        "default_addresses",
        ["2001:db8::1", "198.51.100.1"],
    ),
    "nesting that the file lacks": ({"DNSD_API__LISTEN": "127.0.0.1:1"}, "api.listen", "127.0.0.1:1"),
    "a list inside": (
        {"DNSD_METRICS__LISTEN": "127.0.0.1:1", "DNSD_METRICS__HOSTS": "dnsd, localhost"},
        "metrics.hosts",
        ["dnsd", "localhost"],
    ),
    "nesting next to the file's own keys": ({"DNSD_LIMITS__RRL__SLIP": "5"}, "limits.rrl.ipv4_prefix", 20),
    "nesting twice": ({"DNSD_LIMITS__RRL__SLIP": "5"}, "limits.rrl.slip", 5),
    "a switch": ({"DNSD_LIMITS__RRL__LOG_ONLY": "true"}, "limits.rrl.log_only", True),
    "nothing": ({"DNSD_VERSION": "null"}, "version", None),
    "the file's own variable": ({"DNSD_CONFIG": "/x"}, "data", "accounts"),
    "other variables": ({"DNSDATA": "x", "dnsd_data": "x", "PATH": "/"}, "data", "accounts"),
}
FILE = MINIMAL + "version: file\nlimits: {rrl: {ipv4_prefix: 20, slip: 1}}\n"


@pytest.mark.parametrize(("environment", "path", "expected"), ENVIRONMENT.values(), ids=ENVIRONMENT.keys())
def test_environment_overrides_the_file(
    tmp_path: pathlib.Path, environment: dict[str, str], path: str, expected: Any
) -> None:
    assert shown(value(load(tmp_path, FILE, environment), path)) == expected


def test_environment_may_set_required_keys(tmp_path: pathlib.Path) -> None:
    assert shown(load(tmp_path, "data: x\n", {"DNSD_DEFAULT_ADDRESSES": "192.0.2.1"}).default_addresses) == [
        "192.0.2.1"
    ]


BAD_ENVIRONMENT = {
    "an unknown key": ("DNSD_LISEN", "x", "unknown key; did you mean 'listen'?"),
    "an unknown key inside": ("DNSD_LIMITS__RRL__SLIPS", "1", "unknown key; did you mean 'slip'?"),
    "a value out of range": ("DNSD_LIMITS__RRL__SLIP", "99", "found '99'"),
    "an empty list": ("DNSD_LISTEN", "[]", "must not be empty"),
    "one bad item of a list": ("DNSD_LISTEN", "127.0.0.1:53, x", "'x' is not an address"),
}


@pytest.mark.parametrize(("name", "text", "said"), BAD_ENVIRONMENT.values(), ids=BAD_ENVIRONMENT.keys())
def test_problem_names_its_variable(tmp_path: pathlib.Path, name: str, text: str, said: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        load(tmp_path, FILE, {name: text})
    [problem] = caught.value.problems
    assert str(problem).startswith(f"${name}: ")
    assert said in problem.message


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", 300), ("per_client: 50", 300), ("per_client: 301", 301), ("per_client: 301, per_network: 200", 200)],
)
def test_network_has_room_for_each_client(tmp_path: pathlib.Path, text: str, limit: int) -> None:
    (tmp_path / "dnsd.yaml").write_text(f"default_addresses: [198.51.100.10]\nlimits: {{tcp: {{{text}}}}}\n")
    assert load_settings(tmp_path / "dnsd.yaml", {}).settings.limits.tcp.network_limit == limit
