"""Broken configurations: each is refused as a whole, with every problem at its place.

In the texts, → marks the place of a reported problem; it is removed before the text is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dnsd.app import load
from dnsd.errors import InvalidDataError

NEWLINE = "\n"
SETTINGS = "dnsd.yaml"
ACCOUNT = "accounts/a1/account.yaml"
MAP = "accounts/a1/maps/m.yaml"
ZONE = "accounts/a1/zones/example.com.yaml"
MASTER = "accounts/a1/zones/example.net.zone"
OTHER = "accounts/a2/account.yaml"
OTHER_ZONE = "accounts/a2/zones/example.org.yaml"

Files = dict[str, str | bytes]
Edit = tuple[Files, list[str]]  # files that differ from VALID; part of the message at each →, in order of the files

VALID: Files = {
    SETTINGS: """\
listen: ["127.0.0.1:0"]
default_addresses: [198.51.100.10, "2001:db8:f::10"]
data: accounts
nameservers: [ns1.example.net]
""",
    ACCOUNT: """\
prefixes:
  - {cidr: 203.0.113.0/24, approved: V, delegations: [{cidr: 203.0.113.64/26, account: a2}]}
  - {cidr: "2001:db8:100::/48", approved: P}
static_ips: [192.0.2.200]
""",
    MAP: """\
enabled: true
ips: [203.0.113.10, 192.0.2.200]
memberships:
  - {kind: zone, identifier: example.com}
""",
    ZONE: """\
records:
  - {name: www, type: A, content: 192.0.2.1, proxied: true}
  - {name: "@", type: MX, content: mail.example.com, priority: 10}
""",
    MASTER: """\
$TTL 300
@ IN SOA ns1.example.net. host.example.net. 1 2 3 4 5
@ IN NS ns1.example.net.
ns1 A 192.0.2.53
""",
    OTHER: "name: Two\n",
    OTHER_ZONE: "records: []\n",
}
SOA = "@ 60 IN SOA ns1.example.net. host.example.net. 1 2 3 4 5\n"
NS = "@ 60 IN NS ns1.example.net.\n"


def account(text: str, *messages: str) -> Edit:
    return {ACCOUNT: text, MAP: "ips: []"}, list(messages)


def in_map(text: str, *messages: str) -> Edit:
    return {MAP: text}, list(messages)


def zone(text: str, *messages: str) -> Edit:
    return {ZONE: text}, list(messages)


def records(*lines: str) -> Edit:
    """A zone with the records among `lines`; the other lines are messages."""
    found = [line for line in lines if line.lstrip("→").startswith("{")]
    text = "records:\n" + "".join(f"- {line}\n" for line in found)
    return zone(text, *(line for line in lines if line not in found))


def master(text: str, *messages: str) -> Edit:
    return {MASTER: text}, list(messages)


def setting(line: str, *messages: str) -> Edit:
    """The valid settings with a line added, or replaced if its key is there."""
    key = line.lstrip("→").partition(":")[0]
    kept = [one for one in str(VALID[SETTINGS]).splitlines(keepends=True) if not one.startswith(key + ":")]
    return {SETTINGS: "".join(kept) + line + "\n"}, list(messages)


CASES: dict[str, Edit] = {
    # YAML itself; test_yaml_text.py has the rest.
    "a tab in YAML": zone("records:\n→\t- {}", "indent with spaces"),
    "an unquoted @": zone("records:\n- {name: →@, type: A}", "needs quotes"),
    "an unquoted wildcard": zone("records:\n- {name: →*, type: A}", "needs quotes"),
    "an unclosed bracket": in_map("ips: [203.0.113.10\nenabled→: true", "expected ',' or ']'"),
    "duplicate keys": in_map("ips: []\n→ips: []\nenabled: no\n→enabled: yes", "first in line 1", "first in line 3"),
    "duplicate keys and a wrong list": account("prefixes: []\n→prefixes: []", "first in line 1"),
    "an alias bomb": in_map(
        "ips: [&a [" + "x, " * 500 + "], " + "*a, " * 199 + "→" + "*a, " * 9 + "]", "aliases repeat"
    ),
    "nesting": in_map("ips: " + "[" * 31 + "→" + "[" * 100_000, "nested too deeply"),
    "a tag": in_map("ips: →!!python/tuple []", "is not supported"),
    "NUL in YAML": zone("records:\n- {name: →\0}", "NUL"),
    "NUL in a master file": master(SOA + NS + "www →\0 A 192.0.2.1", "NUL"),
    "two documents": zone("records: []\n→---\nrecords: []\n", "a second document"),
    "an emptied zone": zone("→", "the file is empty"),
    "an emptied master file": master("→", "the file holds no records"),
    "an emptied account": account("→\n\n", "the file is empty"),
    "an emptied map": in_map("→# nothing left\n", "the file is empty"),
    "emptied settings": ({SETTINGS: "→"}, ["the file is empty"]),
    "a list instead of a zone": zone("→- {name: www}", "expected keys and values, found a list"),
    "text instead of a map": in_map("→later", "expected keys and values, found 'later'"),
    # Files
    "not UTF-8": ({ZONE: b"records: []\n# caf\xe9\n"}, [ZONE + ":2:6 not UTF-8"]),
    "a master file in UTF-16": ({MASTER: b"\xff\xfe;\0\n\0"}, [MASTER + ":1:1 the text is in UTF-16"]),
    "an unknown file extension": (
        {"accounts/a1/zones/example.edu.yml": "→records: []"},
        ["unknown file extension '.yml'"],
    ),
    "a map as a master file": ({"accounts/a1/maps/x.zone": "→" + SOA}, ["unknown file extension '.zone'"]),
    "a stray file in an account": ({"accounts/a1/notes.txt": "→x"}, ["not part of an account"]),
    "a zone defined twice": (
        {"accounts/a1/zones/example.com.zone": "→" + SOA, ZONE: "records: []"},
        ["is defined twice"],
    ),
    # Keys and values
    "an unknown key": in_map("→enable: true\nips: []", "did you mean 'enabled'"),
    "an unknown key of a record": records(
        "{name: www, type: A, content: 192.0.2.1, →proxy: true}", "did you mean 'proxied'"
    ),
    "an unknown key of a zone's settings": zone("settings: {→ipv_6: false}", "did you mean 'ipv6'"),
    "an unknown key of an account": account("→prefix: []", "did you mean 'prefixes'"),
    "an unknown key of a member": in_map(
        "memberships: [{kind: account, identifier: a1, →create_at: x}]", "did you mean 'created_at'"
    ),
    "a switch that is a word": in_map("→enabled: perhaps", "found 'perhaps'"),
    "a switch of a zone": zone("→paused: 7", "found '7'"),
    "an unknown status": zone("→status: activ", "found 'activ'"),
    "a mapping instead of a list": in_map("→ips: {a: 203.0.113.10}", "expected a list, found keys and values"),
    "text instead of a list": in_map("→ips: 203.0.113.10", "expected a list, found '203.0.113.10'"),
    "a list instead of text": records("{name: www, type: A, →content: [192.0.2.1]}", "expected text, found a list"),
    "a record that is text": zone("records:\n- →www A 192.0.2.1", "expected keys and values"),
    "records that are text": zone("→records: none", "expected a list"),
    "a null zone": zone("→null", "expected keys and values, found nothing"),
    "a null map": in_map("→~", "expected keys and values, found nothing"),
    "a null account": account("→null # later", "expected keys and values, found nothing"),
    "null settings": ({SETTINGS: "→~"}, ["expected keys and values, found nothing"]),
    "a record without type and content": records("→→{name: www}", "type: is missing", "content: is missing"),
    "a TTL that is text": records("{name: www, type: A, content: 192.0.2.1, →ttl: 1h}", "found '1h'"),
    "a TTL out of range": records("{name: www, type: A, content: 192.0.2.1, →ttl: 2147483648}", "found '2147483648'"),
    "a negative TTL": records("{name: www, type: A, content: 192.0.2.1, →ttl: -1}", "found '-1'"),
    "a priority out of range": records(
        "{name: www, type: MX, content: a.example.com, →priority: 65536}", "found '65536'"
    ),
    "an AS number out of range": account("prefixes: [{cidr: 203.0.113.0/24, →asn: 4294967296}]", "found '4294967296'"),
    "an invalid id": in_map("→id: 12ab", "32 hexadecimal digits"),
    "a time without a zone": in_map(
        "memberships: [{kind: account, identifier: a1, →created_at: 2026-01-01T00:00:00}]", "a time with a time zone"
    ),
    # Address maps
    "an address outside the account's space": in_map(
        "enabled: true\nips:\n- 203.0.113.10\n- →198.51.100.1", "is outside the account's prefixes"
    ),
    "an address of a pending prefix": in_map('enabled: true\nips: [→"2001:db8:100::1"]', "not approved yet"),
    "an address of another account's delegation": (
        {OTHER: "name: Two", "accounts/a2/maps/m.yaml": "enabled: true\nips: [203.0.113.70, →203.0.113.10]"},
        ["is outside the account"],
    ),
    "a static IP of another account": (
        {"accounts/a2/maps/m.yaml": "enabled: true\nips: [→192.0.2.200]"},
        ["is outside the account"],
    ),
    "an address with a scope": in_map('ips: [→"fe80::1%eth0"]', "is not an IP address"),
    "an address with a length": in_map("ips: [→203.0.113.10/32]", "remove the prefix length"),
    "an address with leading zeros": in_map("ips: [→203.0.113.010]", "is not an IP address"),
    "an address twice": in_map("ips: [203.0.113.10, →203.0.113.10]", "listed twice"),
    "an unknown zone": in_map(
        "memberships: [{kind: zone, →identifier: example.edu}]", "there is no zone 'example.edu'"
    ),
    "a zone of another account": in_map(
        "memberships: [{kind: zone, →identifier: example.org}]", "belong to different accounts"
    ),
    "another account": in_map("memberships: [{kind: account, →identifier: a2}]", "not the map's own account"),
    "a member twice": in_map(
        "memberships:\n- {kind: account, identifier: a1}\n- {kind: account, →identifier: a1}", "already"
    ),
    "an unknown kind": in_map("memberships: [{→kind: zones, identifier: example.com}]", "found 'zones'"),
    "an immutable map for a zone": in_map(
        "immutable: true\nenabled: true\nips: [203.0.113.10]\nmemberships: [{kind: zone, →identifier: example.com}]",
        "only the account can be a member",
    ),
    # Zones and records
    "an impossible zone name": zone("→name: example..com", "empty label"),
    "the zone of another file": (
        {"accounts/a2/zones/example.edu.yaml": "→name: example.com\nrecords: []"},
        ["example.com"],
    ),
    "a zone in two accounts": ({"accounts/a2/zones/example.com.yaml": "→records: []"}, ["example.com"]),
    "a name outside the zone": records("{→name: www.example.org., type: A, content: 192.0.2.1}", "outside the zone"),
    "a label too long": records("{→name: " + "a" * 64 + ", type: A, content: 192.0.2.1}", "63"),
    "an unknown type": records("{name: www, →type: AAA, content: 192.0.2.1}", "'AAA'"),
    "a query type": records("{name: www, →type: ANY, content: x}", "ANY"),
    "no IPv4 address": records("{name: www, type: A, →content: 192.0.2.256}", "is not an IP address"),
    "an IPv6 address in A": records('{name: www, type: A, →content: "2001:db8::1"}', "is not an IPv4 address"),
    "an IPv4 address in AAAA": records("{name: www, type: AAAA, →content: 192.0.2.1}", "is not an IPv6 address"),
    "an IPv6 address with a scope": records(
        '{name: www, type: AAAA, →content: "fe80::1%eth0"}', "is not an IP address"
    ),
    "bad MX": records("{name: '@', type: MX, →content: mail.example.com}", "needs a priority"),
    "bad SRV": records("{name: _a._tcp, type: SRV, →content: 1 2 host.example.com}", "not valid SRV data"),
    "bad CAA": records("{name: '@', type: CAA, →content: issue ca.example.net}", "not valid CAA data"),
    "bad TLSA": records("{name: _25._tcp, type: TLSA, →content: 3 1 1 xyz}", "not valid TLSA data"),
    "bad SSHFP": records("{name: www, type: SSHFP, →content: 4 2}", "not valid SSHFP data"),
    "bad NAPTR": records("{name: www, type: NAPTR, →content: 100 10 S}", "not valid NAPTR data"),
    "bad DS": records("{name: sub, type: DS, →content: 1 13 2 00}", "digest length"),
    "bad LOC": records("{name: www, type: LOC, →content: 95 N 4 E 0m}", "degrees not in range"),
    "bad HTTPS": records("{name: www, type: HTTPS, →content: 1 . alpn}", "not valid HTTPS data"),
    "bad unknown type": records("{name: www, type: TYPE65280, →content: '\\# 3 c000'}", "wrong length"),
    "an unclosed quote": records("{name: www, type: TXT, →content: '\"abc'}", "not valid TXT data"),
    "record data in two lines": records('{name: www, type: TXT, →content: "a\\nb"}', "one line"),
    "no record data": records("{name: www, type: TXT, →content: ''}", "is empty"),
    "a proxied TXT": records("{name: www, type: TXT, content: x, →proxied: true}", "cannot be proxied"),
    "a proxied MX": records("{name: www, type: MX, content: 1 a.example.com, →proxied: true}", "cannot be proxied"),
    "a CNAME next to A": records(
        "{name: www, type: A, content: 192.0.2.1}",
        "→{name: www, type: CNAME, content: a.example.com}",
        "cannot coexist with",
    ),
    "two CNAMEs": records(
        "{name: www, type: CNAME, content: a.example.com}",
        "→{name: www, type: CNAME, content: b.example.com}",
        "only one is allowed",
    ),
    "a CNAME to itself": records("{name: www, type: CNAME, →content: WWW.example.com}", "points to itself"),
    "a record twice": records(
        "{name: www, type: A, content: 192.0.2.1}", "→{name: WWW, type: A, content: 192.0.2.1}", "duplicate of records"
    ),
    "an RRset too large": records(
        *(f"{{name: www, type: A, content: 192.0.2.{i}}}" for i in range(100)),
        "→{name: www, type: A, content: 192.0.2.100}",
        "the limit is 100",
    ),
    "NS at a wildcard": records("→{name: '*', type: NS, content: ns1.example.net}", "a wildcard cannot own NS"),
    "DNAME at a wildcard": records(
        "→{name: '*.a', type: DNAME, content: b.example.net}", "a wildcard cannot own DNAME"
    ),
    "data below a DNAME": records(
        "{name: a, type: DNAME, content: b.example.net}",
        "→{name: x.a, type: A, content: 192.0.2.1}",
        "below the DNAME",
    ),
    "an SOA below the apex": records(
        "→{name: a, type: SOA, content: a.example.com b.example.com 1 2 3 4 5}", "must be at the apex"
    ),
    "a nameserver that is not a name": zone("nameservers: [→'a..b']", "empty label"),
    "an SOA with a bad mailbox": zone("soa: {→rname: a..b}", "empty label"),
    "an SOA time out of range": zone("soa: {→refresh: -1}", "found '-1'"),
    # Master files
    "$INCLUDE": master(SOA + NS + "→$INCLUDE other.zone", "$INCLUDE is not supported"),
    "$GENERATE": master(SOA + NS + "→$GENERATE 1-9 host$ A 192.0.2.$", "$GENERATE is not supported"),
    "a bad TTL": master(SOA + NS + "www →3x A 192.0.2.1", "'3x' is not a TTL"),
    "a bad $TTL": master("$TTL →soon\n" + SOA + NS, "TTL"),
    "an unknown type in a master file": master(SOA + NS + "www →AAB 192.0.2.1", "'AAB' is not a record type"),
    "class CH": master(SOA + NS + "www →CH TXT x", "class CH is not supported"),
    "an unbalanced parenthesis": master(SOA + NS + "www TXT →( a\nb A 192.0.2.1\n", "unbalanced parentheses"),
    "a closing parenthesis alone": master(SOA + NS + "www TXT →a )\n", "not valid TXT data"),
    "an owner outside": master(SOA + NS + "→www.example.org. A 192.0.2.1", "outside the zone"),
    "an unterminated quote": master(SOA + NS + 'www TXT →"abc\nb A 192.0.2.1\n', "ends too early"),
    "two SOAs that differ": master(SOA + NS + "→@ SOA ns1.example.net. host.example.net. 2 2 3 4 5", "SOA"),
    "no owner at the beginning": master(" →NS ns1.example.net.\n" + SOA, "no owner"),
    "a record that ends early": master(SOA + NS + "→www 60 IN", "type is missing"),
    "data that ends early": master(SOA + NS + "@ MX →10", "not valid MX data"),
    "surplus data": master(SOA + NS + "www A →192.0.2.1 192.0.2.2", "unexpected text"),
    "several problems in a master file": master(
        SOA + NS + "www →X 1\nok A 192.0.2.1\nb →3x A 192.0.2.1\nc A →1.2.3\n", "record type", "TTL", "not valid A data"
    ),
    "a CNAME next to A in a master file": master(
        SOA + NS + "www A 192.0.2.1\n→www CNAME a.example.net.", "cannot coexist with"
    ),
    # Prefixes
    "host bits": account("prefixes: [{→cidr: 203.0.113.1/24}]", "did you mean 203.0.113.0/24"),
    "an address instead of a prefix": account("prefixes: [{→cidr: 203.0.113.0}]", "is not a prefix"),
    "a prefix length out of range": account("prefixes: [{→cidr: 203.0.113.0/33}]", "is not a prefix"),
    "an unknown approval": account("prefixes: [{cidr: 203.0.113.0/24, →approved: yes}]", "found 'yes'"),
    "a prefix of another account": (
        {OTHER: "prefixes:\n- {cidr: 192.0.2.0/25, approved: V}\n- {→cidr: 203.0.113.128/25, approved: V}"},
        ["overlaps with 203.0.113.0/24"],
    ),
    "a static IP of two accounts": ({OTHER: "static_ips: [→192.0.2.200]"}, ["is a static IP of the account 'a1'"]),
    "a delegation outside the prefix": account(
        "prefixes: [{cidr: 203.0.113.0/24, delegations: [{→cidr: 198.51.100.0/25, account: a2}]}]",
        "outside the prefix",
    ),
    "a delegation to a missing account": account(
        "prefixes: [{cidr: 203.0.113.0/24, delegations: [{cidr: 203.0.113.0/25, →account: a9}]}]",
        "there is no account 'a9'",
    ),
    "a delegation to oneself": account(
        "prefixes: [{cidr: 203.0.113.0/24, delegations: [{cidr: 203.0.113.0/25, →account: a1}]}]", "to its own account"
    ),
    # Settings
    "an unknown setting": setting("→lisen: []", "did you mean 'listen'"),
    "a listener with a bad port": setting('listen: [→"127.0.0.1:65536"]', "65536"),
    "a listener with a name": setting('listen: [→"localhost:53"]', "localhost"),
    "no listeners": setting("→listen: []", "must not be empty"),
    "no workers": setting("→workers: 0", "found '0'"),
    "a word for workers": setting("→workers: many", "auto"),
    "a bad missing_family": setting("→missing_family: pool", "found 'pool'"),
    "an empty pool": setting("→default_addresses: []", "must not be empty"),
    "a pool with a prefix": setting("default_addresses: [→198.51.100.0/24]", "is not an IP address"),
    "a missing folder": (
        {SETTINGS: str(VALID[SETTINGS]).replace("accounts", "none")},
        ["dnsd.yaml:3:1 there is no folder"],
    ),
    "an unknown limit": setting("limits: {rrl: {→slips: 2}}", "did you mean 'slip'"),
    # Everything at once
    "problems in many files": (
        {
            SETTINGS: VALID[SETTINGS],
            ACCOUNT: "prefixes: [{→cidr: 203.0.113.1/24}]",
            MAP: "→enable: true",
            ZONE: "records: [{name: www, type: A, →content: x}, {name: www, →type: ZZ, content: x}]",
            MASTER: SOA + "www →X 1",
        },
        ["did you mean 203.0.113.0/24", "did you mean 'enabled'", "is not an IP address", "'ZZ'", "record type"],
    ),
}


def expected_problems(edit: Edit) -> list[tuple[str, str]]:
    """`file:line:column` and part of the message of each problem."""
    files, messages = edit
    places = [f"{file}:{place}" for file, text in files.items() if isinstance(text, str) for place in marked(text)]
    if not places:
        return [(place, message) for place, _, message in (stated.partition(" ") for stated in messages)]
    return list(zip(places, messages, strict=True))


def marked(text: str) -> Iterator[str]:
    """`line:column` of each →."""
    before = ""
    for part in text.split("→")[:-1]:
        before += part
        yield f"{before.count(NEWLINE) + 1}:{len(before) - before.rfind(NEWLINE)}"


def write(root: Path, files: Files) -> None:
    for file, text in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.replace("→", "").encode())


def test_valid_configuration_is_loaded(tmp_path: Path) -> None:
    write(tmp_path, VALID)
    loaded = load(tmp_path / SETTINGS, {})
    assert {zone.name_text for zone in loaded.dataset.zones.values()} == {"example.com", "example.net", "example.org"}
    assert not loaded.warnings


@pytest.mark.parametrize("edit", CASES.values(), ids=CASES.keys())
def test_broken_configuration_is_refused(edit: Edit, tmp_path: Path) -> None:
    write(tmp_path, VALID | edit[0])
    with pytest.raises(InvalidDataError) as caught:
        load(tmp_path / SETTINGS, {})
    errors = [str(problem) for problem in caught.value.problems if not problem.warning]
    found = [error.removeprefix(f"{tmp_path}/").partition(": ")[::2] for error in errors]
    expected = expected_problems(edit)
    assert sorted(place for place, _ in found) == sorted(place for place, _ in expected), errors
    for place, fragment in expected:
        assert any(place == at and fragment in message for at, message in found), errors
