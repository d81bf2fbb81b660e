"""A signed zone is answered without its signatures, and `check` warns of the consequences."""

from __future__ import annotations

from pathlib import Path

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from dnsd.app import Loaded, load
from dnsd.engine.respond import respond
from dnsd.errors import Problem
from tests.samples.zones import SIGNED
from tests.unit.store.test_broken_files import VALID, write

HEAD = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"
MASTER, YAML = "accounts/a1/zones/example.net.zone", "accounts/a1/zones/example.com.yaml"
TIMES = "13 2 300 20300101000000 20200101000000 4711 example.net. AQIDBA=="
OVER_SOA = f"@ RRSIG SOA {TIMES}\n"
KEY = "@ DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==\n"
DS = "4711 13 2 " + "ab" * 32

# Records of the zone, and the line with the warning
CASES: dict[str, tuple[str, int | None]] = {
    "a signature over the SOA": (OVER_SOA, 5),
    "its type by number": (f"@ TYPE46 TYPE6 {TIMES}\n", 5),
    "two signatures": (OVER_SOA + OVER_SOA.replace("4711", "4712"), 5),
    "a whole signed zone": (KEY + f"@ RRSIG DNSKEY {TIMES}\n" + OVER_SOA + f"ns1 RRSIG A {TIMES}\n@ NSEC @ SOA\n", 7),
    "in other letters": (OVER_SOA.replace("@", "EXAMPLE.net."), 5),
    "a signature over other data": (f"ns1 RRSIG A {TIMES}\n", None),
    "a signature over an SOA elsewhere": (OVER_SOA.replace("@", "a"), None),
    "a key alone": (KEY, None),
    "a DS at a cut": (f"d NS ns.d\nd DS {DS}\nns.d A 192.0.2.2\n", None),
}


def loaded(root: Path, zone: str, **more: str) -> Loaded:
    write(root, VALID | {MASTER: HEAD + zone, **more})
    return load(root / "dnsd.yaml", {})


def assert_says_what_it_means(found: Problem, place: str) -> None:
    assert found.warning
    assert str(found.place).endswith(place)
    for words in ("is signed", "without its signatures", "validators reject", "Remove the DS"):
        assert words in found.message


@pytest.mark.parametrize(("zone", "line"), CASES.values(), ids=CASES.keys())
def test_signed_zone_is_served_with_a_warning(tmp_path: Path, zone: str, line: int | None) -> None:
    found = loaded(tmp_path, zone)
    if line is None:
        assert not found.warnings
    else:
        (warning,) = found.warnings
        assert_says_what_it_means(warning, f"{MASTER}:{line}:1")
    reply = asked(found, "ns1.example.net", "A")
    assert [rrset.to_text() for rrset in reply.answer] == ["ns1.example.net. 300 IN A 192.0.2.1"]


def test_a_zone_as_a_signer_writes_it(tmp_path: Path) -> None:
    """Without $ORIGIN; with omitted owners, and data in parentheses over several lines."""
    write(tmp_path, VALID | {"accounts/a1/zones/signed.example.zone": SIGNED.read_text("ascii")})
    found = load(tmp_path / "dnsd.yaml", {})
    (warning,) = found.warnings
    assert_says_what_it_means(warning, "signed.example.zone:10:1")
    reply = asked(found, "a.wild.signed.example", "A")
    assert [rrset.to_text() for rrset in reply.answer] == ["a.wild.signed.example. 300 IN A 192.0.2.11"]
    reply = asked(found, "www.secure.signed.example", "A")
    assert [rrset.rdtype for rrset in reply.authority] == [dns.rdatatype.NS]


def test_a_signed_zone_in_yaml(tmp_path: Path) -> None:
    yaml = f"records:\n- {{name: a, type: A, content: 192.0.2.1}}\n- {{name: '@', type: RRSIG, content: SOA {TIMES}}}\n"
    (warning,) = loaded(tmp_path, "", **{YAML: yaml}).warnings
    assert_says_what_it_means(warning, f"{YAML}:3:3")


def test_warning_is_repeated_at_each_reload(tmp_path: Path) -> None:
    first = loaded(tmp_path, OVER_SOA)
    (tmp_path / "accounts/a2/account.yaml").write_text("name: Three\n")
    second = load(tmp_path / "dnsd.yaml", {}, previous=first)
    assert second is not first
    assert second.warnings == first.warnings


def test_ds_at_a_cut_is_answered(tmp_path: Path) -> None:
    found = loaded(tmp_path, OVER_SOA + f"d NS ns.d\nd DS {DS}\nns.d A 192.0.2.2\n")
    reply = asked(found, "d.example.net", "DS")
    assert reply.flags & dns.flags.AA
    assert [rdata.to_text() for rrset in reply.answer for rdata in rrset] == [DS]


def asked(found: Loaded, name: str, rtype: str) -> dns.message.Message:
    wire = respond(found.snapshot, dns.message.make_query(name, rtype, want_dnssec=True).to_wire())
    assert wire is not None
    return dns.message.from_wire(wire)
