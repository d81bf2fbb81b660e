"""Edits in the text of a master file: the edited records change; all else keeps its text and meaning."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from dnsd.errors import BrokenRule
from dnsd.formats import zone_edit
from dnsd.formats.zone_edit import UnwritableError, edited_zone_text, next_serial
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.edits import RecordEdit
from dnsd.model.records import Identity, Record, RecordSettings
from dnsd.model.zones import SoaFields, Status, Zone, ZoneSettings
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import SOA
from tests.models import apex_records

EXAMPLE = parse_name_text("example.com")
NOW_S = 1_800_000_000
ID = "0123456789abcdef0123456789abcdef"
CREATED = datetime(2026, 11, 27, 7, 0, 0, 123_456, UTC)
MODIFIED = datetime(2026, 11, 28, 7, 0, 0, 0, UTC)


def record(line: str) -> Record:
    """The record in a line of a master file."""
    found = parse_zone_text(line, EXAMPLE)
    assert not found.problems
    return found.records[0]


def read(text: str, file_name: str = "example.com") -> tuple[Zone, array[int]]:
    """The zone in a master file, as from `read_zone`, and the line of each record in the file."""
    found = parse_zone_text(text, parse_name_text(file_name))
    assert found.problems == []
    made = apex_records(found.name, found.records.at(found.name), ["ns1.example.net."], SoaFields(), 7)
    zone = Zone(f"acme/zones/{file_name}", ID, ID, found.name, Status.ACTIVE, False, ZoneSettings(), found.records)
    lines = array("I", found.lines)
    return replace(zone, records=zone.records.followed_by(made)), lines


@dataclass(frozen=True)
class Case:
    before: str
    after: str
    removed: tuple[int, ...] = ()
    replaced: Mapping[int, str] = field(default_factory=dict)
    added: tuple[str, ...] = ()

    @property
    def edit(self) -> RecordEdit:
        replaced = {index: record(line) for index, line in self.replaced.items()}
        return RecordEdit(frozenset(self.removed), replaced, tuple(map(record, self.added)))


A1, A2, A3 = "192.0.2.1", "192.0.2.2", "192.0.2.3"
CASES = {
    "nothing": Case(f"www 60 A {A1}\n", f"www 60 A {A1}\n"),
    "an added record": Case(
        f"www 60 A {A1} ; first\n",
        f"www 60 A {A1} ; first\nx.example.com.\t60\tIN\tMX\t10 mail.example.com.\n",
        added=("x 60 MX 10 mail",),
    ),
    "after a file without a final newline": Case(
        f"www 60 A {A1}",
        f"www 60 A {A1}\nx.example.com.\t1\tIN\tA\t{A2} ; hello cf_tags=cf-proxied:true\n",
        added=(f"x 1 A {A2} ; hello cf_tags=cf-proxied:true",),
    ),
    "under another $ORIGIN": Case(
        f"$ORIGIN a.example.com.\nwww 60 A {A1}\n",
        f'$ORIGIN a.example.com.\nwww 60 A {A1}\nx.example.com.\t60\tIN\tTXT\t"t"\n',
        added=("x 60 TXT t",),
    ),
    "a removed record": Case(
        f"; above\na 60 A {A1} ; beside\n\n; below\nb 60 A {A2}\n",
        f"; above\n\n; below\nb 60 A {A2}\n",
        removed=(0,),
    ),
    "a removed last record": Case(f"a 60 A {A1}\nb 60 A {A2}", f"a 60 A {A1}\n", removed=(1,)),
    "an entry of several lines": Case(
        f"a 60 TXT ( one ; (\n  two\n\n ) ; three\nb 60 A {A2}\n", f"b 60 A {A2}\n", removed=(0,)
    ),
    "a replaced record": Case(
        f"a 60 A {A1} ; beside\nb 60 ( A ; x\n{A2} )\nc 60 A {A3}\n",
        f"a 60 A {A1} ; beside\nb.example.com.\t90\tIN\tA\t{A3} ; cf_tags=cf-proxied:false\nc 60 A {A3}\n",
        replaced={1: f"b 90 A {A3}"},
    ),
    # Owners
    "the next entry's owner is removed": Case(
        f"a 60 A {A1}\n ; c\n\tIN A {A2} ; d\n 60 A {A3}\n",
        f" ; c\na.example.com. 60\tIN A {A2} ; d\n 60 A {A3}\n",
        removed=(0,),
    ),
    "the next entry's owner is removed twice": Case(
        f"a 60 A {A1}\n 60 A {A2}\n 60 A {A3}\n", f"a.example.com. 60 A {A3}\n", removed=(0, 1)
    ),
    "an entry between the owner and the next is removed": Case(
        f"a 60 A {A1}\n 60 A {A2}\n 60 A {A3}\n", f"a 60 A {A1}\n 60 A {A3}\n", removed=(1,)
    ),
    "the owner before a directive is removed": Case(
        f"a 60 A {A1}\n$ORIGIN x\n 60 A {A2}\n", f"$ORIGIN x\na.example.com. 60 A {A2}\n", removed=(0,)
    ),
    "the owner changes": Case(
        f"a 60 A {A1}\n 60 A {A2}\n",
        f"b.example.com.\t60\tIN\tA\t{A1} ; cf_tags=cf-proxied:false\na.example.com. 60 A {A2}\n",
        replaced={0: f"b 60 A {A1}"},
    ),
    "the owner stays": Case(
        f"a 60 A {A1}\n 60 A {A2}\n",
        f"a.example.com.\t60\tIN\tA\t{A3} ; cf_tags=cf-proxied:false\n 60 A {A2}\n",
        replaced={0: f"a 60 A {A3}"},
    ),
    # TTLs
    "the next entry's TTL is removed": Case(
        f"a 1h A {A1}\nb ( IN\nA {A2} )\nc A {A3}\n", f"b 3600 ( IN\nA {A2} )\nc A {A3}\n", removed=(0,)
    ),
    "a proxied entry's TTL is removed": Case(
        f"a 60 A {A1}\nb A {A2} ; cf_tags=cf-proxied:true\nc A {A3}\n",
        f"b 1 A {A2} ; cf_tags=cf-proxied:true\nc 60 A {A3}\n",
        removed=(0,),
    ),
    "the TTL changes": Case(
        f"a 60 A {A1}\nb A {A2}\n",
        f"a.example.com.\t90\tIN\tA\t{A1} ; cf_tags=cf-proxied:false\nb 60 A {A2}\n",
        replaced={0: f"a 90 A {A1}"},
    ),
    "the TTL stays": Case(
        f"a 1m A {A1}\nb A {A2}\n",
        f"a.example.com.\t60\tIN\tA\t{A3} ; cf_tags=cf-proxied:false\nb A {A2}\n",
        replaced={0: f"a 60 A {A3}"},
    ),
    "an inherited TTL changes": Case(
        f"a 60 A {A1}\nb A {A2}\nc A {A3}\n",
        f"a 60 A {A1}\nb.example.com.\t90\tIN\tA\t{A2} ; cf_tags=cf-proxied:false\nc 60 A {A3}\n",
        replaced={1: f"b 90 A {A2}"},
    ),
    "an entry without a TTL is removed": Case(
        f"a 60 A {A1}\nb A {A2}\nc A {A3}\n", f"a 60 A {A1}\nc A {A3}\n", removed=(1,)
    ),
    "after $TTL": Case(f"$TTL 30\na 60 A {A1}\nb A {A2}\n", f"$TTL 30\nb A {A2}\n", removed=(0,)),
    "with $TTL in between": Case(f"a 60 A {A1}\n$ttl 30\nb A {A2}\n", f"$ttl 30\nb A {A2}\n", removed=(0,)),
    "with a $TTL too late": Case(
        f"a 60 A {A1}\nb A {A2}\n$TTL 30\nc A {A3}\n", f"b 60 A {A2}\n$TTL 30\nc A {A3}\n", removed=(0,)
    ),
    # The SOA
    "the serial in one line": Case(
        f"@ 60 SOA ns1 host 5 3600 600 86400 60 ; c\na 60 A {A1}\n",
        f"@ 60 SOA ns1 host {NOW_S} 3600 600 86400 60 ; c\n",
        removed=(1,),
    ),
    "the serial in lines of its own": Case(
        f"soa.example.com. IN 60 SOA ns1 host ( ; 5\n  2026112701 ; serial\n  2h 5 6 7 )\na.soa 60 A {A1}\n".replace(
            "soa.", "", 1
        ).replace("a.soa", "a"),
        "example.com. IN 60 SOA ns1 host ( ; 5\n  2026112702 ; serial\n  2h 5 6 7 )\n",
        removed=(1,),
    ),
    "an SOA without an owner": Case(
        f"example.com. 60 A {A1}\n SOA ns1 host 1 2 3 4 5\n",
        f"example.com. 60 SOA ns1 host {NOW_S} 2 3 4 5\n",
        removed=(0,),
    ),
    "an SOA whose TTL was its minimum": Case(
        f"@ SOA ns1 host 1 2 3 4 5\na A {A1}\nb A {A2}\n",
        f"@ SOA ns1 host {NOW_S} 2 3 4 5\nb A {A2}\n",
        removed=(1,),
    ),
    "an SOA without its final dot": Case(
        f"example.com 60 SOA ns1 host 1 2 3 4 5\na 60 A {A1}\n",
        f"example.com 60 SOA ns1 host {NOW_S} 2 3 4 5\n",
        removed=(1,),
    ),
    "an SOA as octets is written anew": Case(
        r"@ 60 SOA \# 22 00 00 00000001 00000002 00000003 00000004 00000005" + f"\na 60 A {A1}\n",
        f"example.com.\t60\tIN\tSOA\t. . {NOW_S} 2 3 4 5\n",
        removed=(1,),
    ),
    "an SOA that is replaced": Case(
        f"@ 60 SOA ns1 host 1 2 3 4 5\na 60 A {A1}\n",
        f"example.com.\t90\tIN\tSOA\tns2.example.com. host.example.com. {NOW_S} 2 3 4 9\na 60 A {A1}\n",
        replaced={0: "@ 90 SOA ns2 host 1 2 3 4 9"},
    ),
    # Repeated records
    "a record given twice is removed": Case(
        f"a 60 A {A1}\nb 60 A {A2}\nA 90 A {A1} ; again\n", f"b 60 A {A2}\n", removed=(0,)
    ),
    "a record given four times is removed": Case(
        f"a 60 A {A1}\n" * 4 + f"b 60 A {A2}\n", f"b 60 A {A2}\n", removed=(0,)
    ),
    "the next record is given twice": Case(
        f"b 60 A {A1}\na 60 A {A2}\n A {A2}\n A {A3}\n", f"b 60 A {A1}\na.example.com. 60 A {A3}\n", removed=(1,)
    ),
    "the SOA first and last": Case(
        f"@ 60 SOA a. b. 1 2 3 4 5\na 60 A {A1}\n@ 60 SOA a. b. 1 2 3 4 5\n",
        f"@ 60 SOA a. b. {NOW_S} 2 3 4 5\n",
        removed=(1,),
    ),
    # Line ends
    "CRLF": Case(
        f"a 60 A {A1}\r\nb 60 A {A2}\r\n",
        f'b 60 A {A2}\r\nc.example.com.\t60\tIN\tTXT\t"t"\r\n',
        removed=(0,),
        added=("c 60 TXT t",),
    ),
    "CRLF here and there": Case(
        f"a 60 A {A1}\r\nb 60 A {A2}\nc 60 A {A3}\r\n", f"b 60 A {A2}\nc 60 A {A3}\n", removed=(0,)
    ),
    # The last record
    "no record would be left": Case(
        f"; c\na 60 A {A1}\n",
        "; c\nexample.com.\t3600\tIN\tSOA\tns1.example.net. hostmaster.example.com. "
        f"{NOW_S} 10000 2400 604800 300\n"
        "example.com.\t86400\tIN\tNS\tns1.example.net.\n",
        removed=(0,),
    ),
    "a record outside the file is replaced": Case(
        f"a 60 A {A1}\n",
        f"a 60 A {A1}\nexample.com.\t60\tIN\tNS\tns9.example.net.\n",
        replaced={2: "@ 60 NS ns9.example.net."},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_edited(case: Case) -> None:
    zone, rows = read(case.before)
    assert edited_zone_text(case.before, zone, rows, case.edit, now_s=NOW_S).text == case.after
    assert_as_expected(zone, rows, case.edit, case.after)


def test_identity_comment_and_switches_of_an_added_record() -> None:
    zone, rows = read(f"a 60 A {A1}\n")
    identity = Identity(ID, CREATED, MODIFIED)
    settings = RecordSettings(ipv4_only=True)
    added = replace(
        record(f"b 1 A {A2}"), comment="said cf_tags=x", tags=("t", "u:v, w"), settings=settings, proxied=True
    )
    edited = edited_zone_text(
        "a 60 A 192.0.2.1\n", zone, rows, RecordEdit(added=(replace(added, identity=identity),)), now_s=0
    ).text
    assert edited.splitlines()[1] == (
        f"b.example.com.\t1\tIN\tA\t{A2} ; said cf_tags=x cf_tags=cf-proxied:true,dnsd-ipv4-only:true,"
        f't,u:"v, w",dnsd-id:{ID},'
        "dnsd-created:2026-11-27T07:00:00.123456Z,dnsd-modified:2026-11-28T07:00:00.000000Z"
    )
    [_, found] = parse_zone_text(edited, EXAMPLE).records
    assert found == replace(added, identity=identity)


def test_comment_cannot_make_a_record_dns_only() -> None:
    zone, rows = read(f"a 60 A {A1}\n")
    added = replace(record(f"b 1 A {A2} ; cf_tags=cf-proxied:true"), comment="x cf_tags=cf-proxied:false y")
    edited = edited_zone_text("a 60 A 192.0.2.1\n", zone, rows, RecordEdit(added=(added,)), now_s=0).text
    [_, found] = parse_zone_text(edited, EXAMPLE).records
    assert (found.proxied, found.comment) == (True, "x cf_tags=cf-proxied:false y")


def test_zone_with_another_name_than_its_file() -> None:
    text = f"example.org 60 SOA a. b. 1 2 3 4 5\nwww 60 A {A1}\n"
    zone, rows = read(text, "export")
    edited = edited_zone_text(text, zone, rows, RecordEdit(removed=frozenset({1})), now_s=NOW_S).text
    assert edited == f"example.org 60 SOA a. b. {NOW_S} 2 3 4 5\n"


def test_uneditable_text_is_written_again_with_its_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zone_edit, "_edited", lambda text, *_: text)
    text = f"; one\n@ 60 SOA a. b. 1 2 3 4 5 ; two\n\n  ; three\na TXT ( x\n ; four\n y )\nb A {A1}\n"
    zone, rows = read(text)
    edited = edited_zone_text(text, zone, rows, RecordEdit(removed=frozenset({2})), now_s=NOW_S).text
    assert edited == (
        f"; one\n  ; three\n ; four\nexample.com.\t60\tIN\tSOA\ta. b. {NOW_S} 2 3 4 5 ; two\n"
        'a.example.com.\t60\tIN\tTXT\t"x" "y"\n'
    )


def test_impossible_records_are_refused() -> None:
    text = f"a 60 A {A1}\nb 60 A {A2}\n"
    zone, rows = read(text)
    outside = replace(record(f"a 60 A {A3}"), owner=parse_name_text("a.example.org"))
    for impossible, rule in ((record(f"a 60 A {A1}"), BrokenRule.IDENTICAL_RECORD), (outside, None)):
        with pytest.raises(UnwritableError) as refused:
            edited_zone_text(text, zone, rows, RecordEdit(added=(impossible,)), now_s=NOW_S)
        assert [problem.rule for problem in refused.value.problems] == [rule]
    with pytest.raises(ValueError, match="not in the zone's file"):
        edited_zone_text(text, zone, rows, RecordEdit(removed=frozenset({2})), now_s=NOW_S)


SERIALS = {  # serial, time, next serial
    "the time": (1, 100, 100),
    "no time": (100, 0, 101),
    "the time is that serial": (100, 100, 101),
    "the time is one less": (100, 99, 101),
    "the time is one more": (100, 101, 101),
    "a date": (2_026_112_701, NOW_S, 2_026_112_702),
    "the last number": (2**32 - 1, 0, 0),
    "a time that wraps": (2**32 - 5, 2**32 + 3, 3),
    "half of all numbers ahead": (0, 2**31, 1),
    "less than half of them": (0, 2**31 - 1, 2**31 - 1),
}


@pytest.mark.parametrize(("serial", "now_s", "following"), SERIALS.values(), ids=SERIALS.keys())
def test_serial(serial: int, now_s: int, following: int) -> None:
    """RFC 1982 §3."""
    assert next_serial(serial, now_s) == following


def assert_as_expected(zone: Zone, rows: array[int], edit: RecordEdit, text: str) -> None:
    found = parse_zone_text(text, EXAMPLE)
    assert found.problems == []
    assert without_serial(found.records) == without_serial(expected(zone, rows, edit))


def without_serial(records: Iterable[Record]) -> Counter[Record]:
    blank = b"\0" * 4
    return Counter(
        replace(one, rdata=one.rdata[:-20] + blank + one.rdata[-16:]) if one.rtype == SOA else one for one in records
    )


def expected(zone: Zone, rows: array[int], edit: RecordEdit) -> list[Record]:
    written = {index: one for index, one in enumerate(zone.records[: len(rows)]) if index not in edit.removed}
    return [*(written | edit.replaced).values(), *edit.added] or list(zone.records[len(rows) :])
