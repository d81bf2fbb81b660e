"""The limits of RRsets are settings: errors name the setting, and within the limits every answer fits into TCP."""

from __future__ import annotations

from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import pytest

from dnsd.app import Loaded, load
from dnsd.engine.respond import respond
from dnsd.errors import InvalidDataError
from tests.unit.store.test_broken_files import VALID, write

HEAD = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"
MASTER, YAML = "accounts/a1/zones/example.net.zone", "accounts/a1/zones/example.com.yaml"
SETTINGS = str(VALID["dnsd.yaml"])
RECORDS, OCTETS = "limits.rrset_records in dnsd.yaml", "limits.rrset_octets in dnsd.yaml"
LABEL = "l" * 63
LONG = ".".join([LABEL, LABEL, LABEL, "x" * 47])  # with .example.net., 254 octets as text


def addresses(name: str, count: int) -> str:
    return "".join(f"{name} A 10.0.{number >> 8}.{number & 255}\n" for number in range(count))


def loaded(root: Path, limits: str, zone: str, **more: str) -> Loaded:
    write(root, VALID | {"dnsd.yaml": f"{SETTINGS}limits: {{{limits}}}\n", MASTER: HEAD + zone, **more})
    return load(root / "dnsd.yaml", {})


# Limits, records, message
CASES: dict[str, tuple[str, str, str]] = {
    "as many as there may be by default": ("", addresses("a", 100), ""),
    "one more": ("", addresses("a", 101), f"101 A records at a.example.net; the limit is 100 ({RECORDS})"),
    "one more, allowed": ("rrset_records: 101", addresses("a", 101), ""),
    "fewer": ("rrset_records: 1", "@ NS ns2\n", f"2 NS records at example.net; the limit is 1 ({RECORDS})"),
    "the most": ("rrset_records: 3500", addresses("a", 3500), ""),
    "more than the most": (
        "rrset_records: 3500",
        addresses("a", 3501),
        "3501 A records at a.example.net; the limit is",
    ),
    "octets": (
        "rrset_octets: 600",
        f"a TXT {'x ' * 300}\n",
        f"a.example.net take 612 octets; the limit is 600 ({OCTETS})",
    ),
    "octets enough": ("rrset_octets: 612", f"a TXT {'x ' * 300}\n", ""),
}


@pytest.mark.parametrize(("limits", "zone", "expected"), CASES.values(), ids=CASES.keys())
def test_limit(tmp_path: Path, limits: str, zone: str, expected: str) -> None:
    if not expected:
        assert not loaded(tmp_path, limits, zone).warnings
        return
    with pytest.raises(InvalidDataError) as caught:
        loaded(tmp_path, limits, zone)
    (found,) = caught.value.problems
    assert expected in found.message
    assert found.place
    assert found.place.file.endswith(MASTER)


@pytest.mark.parametrize(
    ("limits", "place", "expected"),
    [
        ("rrset_records: 3501", "5:10", "from 1 to 3,500"),
        ("rrset_records: 0", "5:10", "1"),
        ("rrset_octets: 60001", "5:10", "from 512 to 60,000"),
        ("rrset_octets: many", "5:10", "number"),
    ],
)
def test_setting_out_of_range(tmp_path: Path, limits: str, place: str, expected: str) -> None:
    with pytest.raises(InvalidDataError, match=expected) as caught:
        loaded(tmp_path, limits, "")
    assert [str(one.place) for one in caught.value.problems] == [f"{tmp_path}/dnsd.yaml:{place}"]


def test_an_unchanged_zone_is_checked_against_the_new_limit(tmp_path: Path) -> None:
    first = loaded(tmp_path, "rrset_records: 200", addresses("a", 150))
    (tmp_path / "dnsd.yaml").write_text(f"{SETTINGS}limits: {{rrset_records: 149}}\n")
    with pytest.raises(InvalidDataError, match=r"150 A records at a\.example\.net; the limit is 149"):
        load(tmp_path / "dnsd.yaml", {}, previous=first)
    with pytest.raises(InvalidDataError, match=r"150 A records at a\.example\.net; the limit is 149"):
        load(tmp_path / "dnsd.yaml", {})
    (tmp_path / "dnsd.yaml").write_text(f"{SETTINGS}limits: {{rrset_records: 150}}\n")
    again = load(tmp_path / "dnsd.yaml", {}, previous=first)
    assert again.dataset.zones == first.dataset.zones
    assert load(tmp_path / "dnsd.yaml", {"DNSD_LIMITS__RRSET_RECORDS": "160"}, previous=first).dataset.zones


def test_environment_sets_the_limit(tmp_path: Path) -> None:
    write(tmp_path, VALID | {MASTER: HEAD + addresses("a", 300)})
    assert load(tmp_path / "dnsd.yaml", {"DNSD_LIMITS__RRSET_RECORDS": "300"}).settings.rrset_limits.records == 300
    with pytest.raises(InvalidDataError, match="the limit is 299"):
        load(tmp_path / "dnsd.yaml", {"DNSD_LIMITS__RRSET_RECORDS": "299"})


def test_maps_and_the_pool_keep_a_hundred_addresses(tmp_path: Path) -> None:
    ips = ", ".join(f"203.0.113.{number}" for number in range(101))
    with pytest.raises(InvalidDataError, match="101 IPv4 addresses; the limit is 100"):
        loaded(tmp_path, "rrset_records: 3500", "", **{"accounts/a1/maps/m.yaml": f"ips: [{ips}]\n"})


def chain(count: int, target: str) -> str:
    """A chain of CNAMEs with names of maximum length, to `target`."""
    names = [f"{number}{'c' * 62}.{LABEL}.{LABEL}.{'x' * 47}" for number in range(count)]
    return "".join(f"{name} CNAME {after}\n" for name, after in zip(names, [*names[1:], target], strict=True))


def largest(kind: str) -> tuple[str, str, str]:
    """Records that fill an answer, and their question."""
    if kind == "text":
        return f"a TXT {' '.join(['x' * 255] * 234)} {'y' * 83}\n", "a", "TXT"
    if kind == "addresses behind a chain":
        return chain(8, LONG) + addresses(LONG, 3500), f"0{'c' * 62}.{LABEL}.{LABEL}.{'x' * 47}", "A"
    if kind == "text behind a chain":
        text = f"{LONG} TXT {' '.join(['x' * 255] * 234)} {'y' * 83}\n"
        return chain(8, LONG) + text, f"0{'c' * 62}.{LABEL}.{LABEL}.{'x' * 47}", "TXT"
    if kind == "hosts":
        hosts = "".join(f"a MX {number} {number:05}{'m' * 58}.{LABEL}.{LABEL}.{'x' * 40}\n" for number in range(222))
        return hosts, "a", "MX"
    if kind == "a wildcard":
        return addresses("*.w", 3500), ".".join([LABEL, LABEL, LABEL, "x" * 45, "w"]), "A"
    servers = "".join(f"d NS {number}.d\n" for number in range(1800))  # a referral
    return (
        servers + "".join(f"{number}.d A 192.0.2.1\n{number}.d AAAA 2001:db8::1\n" for number in range(1800)),
        "x.d",
        "A",
    )


@pytest.mark.parametrize(
    "kind", ["text", "addresses behind a chain", "text behind a chain", "hosts", "a wildcard", "a referral"]
)
def test_the_largest_answer_fits_into_a_message(tmp_path: Path, kind: str) -> None:
    zone, name, rtype = largest(kind)
    snapshot = loaded(tmp_path, "rrset_records: 3500, rrset_octets: 60000", zone).snapshot
    query = dns.message.make_query(f"{name}.example.net", rtype, use_edns=0, options=options(), payload=65_535)
    wire = respond(snapshot, query.to_wire(), stream=True)
    assert wire is not None
    assert len(wire) <= 65_535
    reply = dns.message.from_wire(wire)
    if kind == "a referral":  # required glue may be too large for any message (RFC 9471 §3.1)
        return
    assert not reply.flags & dns.flags.TC
    assert sum(map(len, reply.answer)) >= 1
    if kind in ("addresses behind a chain", "a wildcard"):
        assert len(reply.answer[-1]) == 3500
    assert len(wire) > 40_000


def options() -> list[dns.edns.Option]:
    return [dns.edns.GenericOption(dns.edns.NSID, b""), dns.edns.GenericOption(dns.edns.COOKIE, b"12345678")]


def test_yaml_has_the_same_limit(tmp_path: Path) -> None:
    yaml = "records:\n" + "".join(f"- {{name: a, type: A, content: 10.0.0.{number}}}\n" for number in range(120))
    assert loaded(tmp_path, "rrset_records: 120", "", **{YAML: yaml}).dataset
    with pytest.raises(InvalidDataError, match=r"120 A records at a\.example\.com; the limit is 119") as caught:
        loaded(tmp_path, "rrset_records: 119", "", **{YAML: yaml})
    assert [str(one.place) for one in caught.value.problems] == [f"{tmp_path / YAML}:121:3"]
