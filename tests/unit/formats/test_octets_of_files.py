"""Master files may contain any octet (RFC 1035 §5.1): it is served, and edits of the file keep it."""

from __future__ import annotations

from pathlib import Path

import dns.message
import pytest

from dnsd.app import Loaded, load
from dnsd.engine.respond import respond
from dnsd.errors import InvalidDataError
from dnsd.formats.odd_octets import octets_of, readable
from dnsd.formats.zone_edit import edited_zone_text
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.edits import RecordEdit
from dnsd.model.records import Record
from dnsd.model.zones import Zone
from dnsd.store.text_file import decoded
from dnsd.wire.names import parse_name_text
from tests.unit.store.test_broken_files import VALID, write

EXAMPLE = parse_name_text("example.net")
HEAD = b"$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n"
MASTER, YAML = "accounts/a1/zones/example.net.zone", "accounts/a1/zones/example.com.yaml"

# A line; owner, data and comment of its record
LINES: dict[str, tuple[bytes, bytes, bytes, str]] = {
    "a comment": (b"a A 192.0.2.7 ; B\xfcro", b"\1a", b"\xc0\0\2\7", "Büro"),
    "a comment in UTF-8": ("a A 192.0.2.7 ; Büro €".encode(), b"\1a", b"\xc0\0\2\7", "Büro €"),
    "a comment in both": (b"a A 192.0.2.7 ; \xc3\xa9 \xe9", b"\1a", b"\xc0\0\2\7", "Ã© é"),
    "a string in quotes": (b'a TXT "B\xfcro; x" ; y', b"\1a", b"\7B\xfcro; x", "y"),
    "a string in UTF-8": ('a TXT "Büro"'.encode(), b"\1a", "\5Büro".encode(), ""),
    "a string without quotes": (b"a TXT \xe4\xf6\xfc \xff", b"\1a", b"\3\xe4\xf6\xfc\1\xff", ""),
    "UTF-8 next to other octets": (b'a TXT "\xc3\xbc\xfc"', b"\1a", b"\3\xc3\xbc\xfc", ""),
    "an escaped octet": (b'a TXT "\\\xfc\\\\\xfd\\"" ', b"\1a", b'\4\xfc\\\xfd"', ""),
    "an octet after an escape": (b"a TXT \\065\xfc\\252", b"\1a", b"\3A\xfc\xfc", ""),
    "strings over lines": (b'a TXT ( "\xfc" ; \xe9\n "\xfd" ) ; \xe8', b"\1a", b"\1\xfc\1\xfd", "è"),
    "a name": (b"b\xfcro A 192.0.2.7", b"\4b\xfcro", b"\xc0\0\2\7", ""),
    "a name with an escape": (b"\\\xfc.x\\.\xfd A 192.0.2.7", b"\1\xfc\3x.\xfd", b"\xc0\0\2\7", ""),
    "an IDN": ("büro A 192.0.2.7".encode(), b"\x0bxn--bro-hoa", b"\xc0\0\2\7", ""),
    "a name in data": (b"a CNAME B\xfcro.example.org.", b"\1a", b"\4B\xfcro\7example\3org\0", ""),
    "names and strings": (b'a HINFO "\xfc" \xfd ; \xfe', b"\1a", b"\1\xfc\1\xfd", "þ"),
    "a type's own text": (b'a CAA 0 issue "\xfc"', b"\1a", b"\0\5issue\xfc", ""),
    "a C1 control": (b"a TXT \x80\x9f", b"\1a", b"\2\x80\x9f", ""),
}

REFUSED: dict[str, tuple[bytes, str, str]] = {  # the text, place and reason
    "UTF-16": ("$TTL 300\n".encode("utf-16"), "1:1", "the text is in UTF-16; save it as UTF-8"),
    "UTF-16, the other order": (b"\xfe\xff" + HEAD.decode().encode("utf-16-be"), "1:1", "is in UTF-16; save"),
    "UTF-32": (HEAD.decode().encode("utf-32"), "1:1", "the text is in UTF-32; save it as UTF-8"),
    "UTF-32, the other order": (b"\0\0\xfe\xff" + HEAD.decode().encode("utf-32-be"), "1:1", "is in UTF-32; save"),
    "UTF-16 without a mark": (HEAD.decode().encode("utf-16-le"), "1:2", "a NUL character: the file is UTF-16"),
    "NUL": (HEAD + b"a TXT x\0", "5:8", "a NUL character"),
    "an octet in a type": (HEAD + b"a 300 IN \xc4 192.0.2.7", "5:10", r"\\196"),
    "an octet in a TTL": (HEAD + b"\xfca 3\xfc A 192.0.2.7", "5:4", "not a TTL"),
    "data after an octet": (HEAD + b"\xfc\xfd\xfe A 192.0.2 ; \xe9", "5:7", "not valid A data"),
    "data after octets and escapes": (HEAD + b"\\\xfc\\065 A 192.0.2", "5:10", "not valid A data"),
    "an octet in an address": (HEAD + b"a A 192.0.2.\xfc", "5:5", "not valid A data"),
    "a label too long": (HEAD + b"a CNAME " + b"\xfc" * 64, "5:9", "not valid CNAME data"),
    "an unknown directive": (HEAD + b"$\xfc x", "5:1", "is not supported"),
}


def loaded(root: Path, octets: bytes) -> Loaded:
    write(root, VALID | {MASTER: octets})
    return load(root / "dnsd.yaml", {})


def the_zone(of: Loaded) -> Zone:
    (zone,) = [zone for zone in of.dataset.zones.values() if zone.name == EXAMPLE]
    return zone


@pytest.mark.parametrize(("line", "owner", "rdata", "comment"), LINES.values(), ids=LINES.keys())
def test_is_read_and_answered(tmp_path: Path, line: bytes, owner: bytes, rdata: bytes, comment: str) -> None:
    name = owner + EXAMPLE
    found = loaded(tmp_path, HEAD + line + b"\n")
    (record,) = the_zone(found).records.at(name)
    assert (record.rdata, record.comment) == (rdata, comment)
    qname = dns.name.from_wire(name, 0)[0]
    wire = respond(found.snapshot, dns.message.make_query(qname, record.rtype).to_wire(), stream=True)
    assert wire is not None
    assert wire.count(rdata) == 1


@pytest.mark.parametrize(("line", "owner", "rdata", "comment"), LINES.values(), ids=LINES.keys())
def test_remembered_lines_mean_the_same(line: bytes, owner: bytes, rdata: bytes, comment: str) -> None:
    """Repeated parts are not parsed again."""
    text = decoded(HEAD + b"\n".join((line, b"z MX 1 z", line.replace(b"a", b"b", 1), line)) + b"\n", any_octets=True)
    found = parse_zone_text(text, EXAMPLE)
    assert not found.problems
    assert [one.comment for one in found.records if one.rdata == rdata] == [comment] * (1 + (line[:1] == b"a"))


@pytest.mark.parametrize(("octets", "place", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_is_refused_at_its_place(tmp_path: Path, octets: bytes, place: str, reason: str) -> None:
    with pytest.raises(InvalidDataError, match=reason) as caught:
        loaded(tmp_path, octets)
    errors = [one for one in caught.value.problems if not one.warning]
    assert [str(one.place) for one in errors] == [f"{tmp_path / MASTER}:{place}"]
    assert str(errors[0]).isprintable()


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"records: [] # B\xfcro", "not UTF-8: octet 0xfc; save it as UTF-8"),
        ("records: []".encode("utf-16"), "the text is in UTF-16; save it as UTF-8"),
    ],
)
def test_yaml_is_utf8(tmp_path: Path, octets: bytes, reason: str) -> None:
    write(tmp_path, VALID | {YAML: octets})
    with pytest.raises(InvalidDataError, match=reason) as caught:
        load(tmp_path / "dnsd.yaml", {})
    assert [one.place.file for one in caught.value.problems if one.place] == [str(tmp_path / YAML)]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_an_edit_leaves_other_octets_as_they_are(tmp_path: Path, newline: bytes) -> None:
    lines = [
        HEAD,
        b"; \xfcber alles\n",
        *(line + b"\n" for line, *_ in LINES.values() if b"\n" not in line and b"CNAME" not in line),
    ]
    octets = b"\xef\xbb\xbf".join([b"", b"".join(lines)]) + b"odd TXT \xfc \n"
    octets = octets.replace(b"\n", newline)
    zone, text = the_zone(loaded(tmp_path, octets)), decoded(octets, any_octets=True)
    rows = parse_zone_text(text, EXAMPLE).lines
    gone = next(i for i, record in enumerate(zone.records) if record.owner.startswith(b"\3odd"))
    new = Record(b"\3new" + EXAMPLE, 16, 300, b"\1\xfe", comment="é")
    edited = octets_of(edited_zone_text(text, zone, rows, RecordEdit(frozenset({gone}), {}, (new,)), now_s=9).text)
    expected = octets.removeprefix(b"\xef\xbb\xbf").replace(b"host 1 2", b"host 9 2").rpartition(b"odd TXT")[0]
    assert edited == expected + b'new.example.net.\t300\tIN\tTXT\t"\\254" ; \xc3\xa9' + newline


@pytest.mark.parametrize(
    "octets", [bytes(range(1, 256)), b"\xc3", b"\xed\xb3\xbc", b"\xf4\x90\x80\x80", b"\xfc\xc3\xbc"]
)
def test_octets_survive_reading_and_writing(octets: bytes) -> None:
    assert octets_of(decoded(octets, any_octets=True)) == octets
    assert readable(decoded(octets, any_octets=True)).encode()
