"""Data that NSD, Knot and BIND load is loaded: types that dnspython lacks, and parameters in AliasMode."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dns.message
import dns.rdatatype
import pytest

from dnsd.api.records.data import shown_data
from dnsd.api.records.read import built_record
from dnsd.app import Loaded, load
from dnsd.engine.respond import respond
from dnsd.errors import InvalidDataError
from dnsd.formats.zone_export import export
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.record_parts import finished
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import canonical_rdata, parse_type_text
from tests.unit.store.test_broken_files import VALID, write

EXAMPLE = parse_name_text("example.com")
HEAD = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"
MASTER, YAML = "accounts/a1/zones/example.net.zone", "accounts/a1/zones/example.com.yaml"
IGNORED = "priority 0 is AliasMode: clients ignore the parameters"

# Data in a master file, and its form in dig
LOADED: dict[str, tuple[str, str]] = {
    "MINFO": ("MINFO b c.example.org.", "b.example.net. c.example.org."),
    "MB": ("MB Host", "Host.example.net."),
    "MG": ("MG @", "example.net."),
    "MR": ("MR new.example.org.", "new.example.org."),
    "MINFO in parentheses": ("MINFO ( b ; owner\n c ) ; errors", "b.example.net. c.example.net."),
    "MINFO of octets": (r"MINFO \# 6 016200016300", "b. c."),
    "MR by its number": (r"TYPE9 new", "new.example.net."),
    "HTTPS in AliasMode": ("HTTPS 0 x.example.org. alpn=h2", '0 x.example.org. alpn="h2"'),
    "SVCB in AliasMode": ("SVCB 0 . key667=hello port=53", '0 . port="53" key667="hello"'),
    "HTTPS of octets": (r"HTTPS \# 12 000001780000010003026832", '0 x. alpn="h2"'),
    "HTTPS without parameters": ("HTTPS 0 x", "0 x.example.net."),
    "TLSA with a digest of another length": ("TLSA 3 1 1 abab", "3 1 1 abab"),
    "SMIMEA with one, of octets": (r"SMIMEA \# 5 030102cdcd", "3 1 2 cdcd"),
    "HTTPS in ServiceMode": ("HTTPS 1 . alpn=h2", '1 . alpn="h2"'),
}
# Type and content over the API and in YAML, resulting content
CONTENTS = {
    "HTTPS": ("0 x.example.org. alpn=h2", '0 x.example.org. alpn="h2"'),
    "SVCB": (r"\# 12 000001780000010003026832", '0 x. alpn="h2"'),
    "MINFO": ("b.example.net c.example.net", "b.example.net c.example.net"),
    "MB": ("b.example.net.", "b.example.net"),
    "MR": (r"\# 3 016200", "b"),
}
REFUSED = {
    "MINFO of one name": ("MINFO b", "5:9", "a part of it is missing"),
    "MB of two names": ("MB b c", "5:6", "unexpected text at the end"),
    "MR of a name too long": (f"MR {'l' * 64}", "5:6", "63"),
    "MG without a name": ("MG", "5:1", "a part of it is missing"),
    "MG of an empty label": ("MG a..b", "5:6", "empty"),
    "MINFO with too many octets": (r"MINFO \# 7 01620001630000", "5:9", "not valid MINFO data"),
    "MB of a pointer": (r"MB \# 2 c000", "5:6", "not valid MB data"),
    "a type without a form": ("MD b", "5:6", r"no text form is known for this type; write its octets: \# LENGTH HEX"),
    "another": ("TYPE65280 b", "5:13", r"no text form is known for this type; write its octets: \# LENGTH HEX"),
    "octets without a length": (r"NULL \# ab", "5:8", "not valid NULL data"),
    "AliasMode with a key twice": ("HTTPS 0 x alpn=h2 alpn=h3", "5:9", "duplicate key"),
    "AliasMode with a missing key": ("HTTPS 0 x mandatory=alpn", "5:9", "mandatory but not present"),
    "AliasMode that ends too early": (r"HTTPS \# 9 000001780000010002", "5:9", "not valid HTTPS data"),
    "no priority": ("HTTPS x. alpn=h2", "5:9", "not valid HTTPS data"),
}


def loaded(root: Path, **files: str) -> Loaded:
    write(root, VALID | {{"master": MASTER, "yaml": YAML}[name]: text for name, text in files.items()})
    return load(root / "dnsd.yaml", {})


@pytest.mark.parametrize(("text", "shown"), LOADED.values(), ids=LOADED.keys())
def test_is_answered(tmp_path: Path, text: str, shown: str) -> None:
    snapshot = loaded(tmp_path, master=f"{HEAD}a {text}\n").snapshot
    query = dns.message.make_query("a.example.net", text.split()[0])
    wire = respond(snapshot, query.to_wire(), stream=True)
    assert wire
    (rrset,) = dns.message.from_wire(wire).answer
    assert [rdata.to_text() for rdata in rrset] == [shown]


@pytest.mark.parametrize(("text", "place", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_is_refused_at_its_place(tmp_path: Path, text: str, place: str, message: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        loaded(tmp_path, master=f"{HEAD}a {text}\n")
    (found,) = caught.value.problems
    assert (str(found.place), message in found.message) == (f"{tmp_path / MASTER}:{place}", True), found


@pytest.mark.parametrize(("rtype", "content", "shown"), [(rtype, *expected) for rtype, expected in CONTENTS.items()])
def test_is_accepted_over_the_api(rtype: str, content: str, shown: str) -> None:
    record = built_record({"type": rtype, "name": "a", "content": content}, EXAMPLE)
    content = shown_data(record.rtype, record.rdata).content
    assert content == shown
    assert built_record({"type": rtype, "name": "a", "content": content}, EXAMPLE).rdata == record.rdata


def test_parameters_in_data_are_kept() -> None:
    data = {"priority": 0, "target": "x.example.org", "value": 'alpn="h2"'}
    assert built_record({"type": "HTTPS", "name": "a", "data": data}, EXAMPLE).content == '0 x.example.org. alpn="h2"'


def test_ignored_parameters_are_warned_of_once_per_record(tmp_path: Path) -> None:
    yaml = "records:\n- {name: a, type: A, content: 192.0.2.1}\n- {name: b, type: HTTPS, content: 0 x. alpn=h2}\n"
    master = HEAD + "a HTTPS 0 x. alpn=h2\nb HTTPS 0 x.\nc SVCB 1 . alpn=h2\nd SVCB 0 . port=1\n"
    first = loaded(tmp_path, yaml=yaml, master=master)
    places = [str(warning).partition(": ")[0].removeprefix(f"{tmp_path}/") for warning in first.warnings]
    assert places == [f"{YAML}:3:3", f"{MASTER}:5:1", f"{MASTER}:8:1"]
    assert all(IGNORED in warning.message and "RFC 9460" in warning.message for warning in first.warnings)
    # A reload with an unchanged zone repeats the warning.
    (tmp_path / "accounts/a2/account.yaml").write_text("name: Three\n")
    second = load(tmp_path / "dnsd.yaml", {}, previous=first)
    assert second is not first
    assert second.warnings == first.warnings


def test_digests_of_another_length_are_warned_of(tmp_path: Path) -> None:
    right = f"{'ab' * 32}\nd TLSA 3 1 2 {'ab' * 64}\ne TLSA 3 0 0 ab\nf SMIMEA 3 0 255 ab\n"
    found = loaded(
        tmp_path, master=f"{HEAD}a TLSA 3 1 1 abab\nb SMIMEA 3 1 2 {'ab' * 32}\nc TLSA 3 1 1 {right}"
    ).warnings
    expected = [
        "type 1 of this TLSA is a digest of 32 octets, not 2",
        "type 2 of this SMIMEA is a digest of 64 octets, not 32",
    ]
    assert [str(one.place).removeprefix(f"{tmp_path}/") for one in found] == [f"{MASTER}:5:1", f"{MASTER}:6:1"]
    assert all(words in one.message for words, one in zip(expected, found, strict=True))


def test_comes_back_from_an_export(tmp_path: Path) -> None:
    text = HEAD + "".join(f"n{number} {one}\n" for number, (one, _) in enumerate(LOADED.values()))
    dataset = loaded(tmp_path, master=text).dataset
    (zone,) = [zone for zone in dataset.zones.values() if zone.name_text == "example.net"]
    again = parse_zone_text(finished(export(zone, datetime(2026, 1, 1, tzinfo=UTC))), zone.name)
    assert not again.problems
    assert {(one.owner, one.rtype, one.rdata) for one in again.records} == {
        (one.owner, one.rtype, one.rdata) for one in zone.records
    }


@pytest.mark.parametrize("rtype", ["MB", "MG", "MR", "MINFO"])
def test_names_are_compared_without_case(rtype: str) -> None:
    """RFC 4034 §6.2."""
    names = b"\1A\0\1B\0" if rtype == "MINFO" else b"\1A\0"
    assert canonical_rdata(parse_type_text(rtype), names) == names.lower()
