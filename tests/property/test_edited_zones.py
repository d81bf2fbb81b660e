"""Any edit of any master file: edited entries change, the rest stays, and the file is not written anew."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.formats import zone_edit
from dnsd.formats.zone_edit import edited_zone_text
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.edits import RecordEdit
from dnsd.model.records import Identity, Record, RecordSettings
from dnsd.model.zones import Zone
from dnsd.wire.rdata import SOA, canonical_rdata
from tests.limits import examples
from tests.unit.formats.test_zone_edit import EXAMPLE, ID, NOW_S, assert_as_expected, read, record

OWNERS = [
    "a",
    "a",
    "b",
    "B",
    "c.a",
    "*",
    "@",
    "",
    "",
    "",
    "",
    "a.example.com.",
    "b.Example.COM.",
    r"a\.b",
    r"\;x",
    r"\097",
    "A",
    "soa",
]
OWNERS += ["10"]
HEADS = ["60 IN ", "IN 60 ", "1h ", "1 ", "60 ", "IN ", "", "", "", "90 ", "in ", "CLASS1 60 "]
DATA = [
    "A 192.0.2.1",
    "A 192.0.2.2",
    "A 192.0.2.3",
    "a 192.0.2.4",
    "AAAA 2001:db8::1",
    "AAAA 2001:DB8::1",
    "MX 10 a",
    "MX 10 B",
]
DATA += [
    "TXT a",
    'TXT "a;b" "("',
    "TXT ( a ; b\n c\n\n )",
    "( A\n192.0.2.5 ; (\n)",
    "TXT (\n;\n\ta ) ",
    r"TYPE65280 \# 2 abcd",
]
DATA += ['CAA 0 issue "ca.example.net"', r"A \# 4 c0000206", "SRV 1 2 3 b.example.org.", r'TXT "\"\255" \;']
ENDS = [
    "",
    "",
    "",
    " ; c",
    ";",
    " ; x cf_tags=cf-proxied:true",
    "; cf_tags=a:b,cf-proxied:false",
    f"; y cf_tags=dnsd-id:{ID}",
]
ENDS += [f" ; cf_tags=cf-proxied:true,dnsd-id:{ID[::-1]},dnsd-created:2026-11-27T07:00:00Z", "\t", "  ;;"]
SOAS = ["@ 60 SOA ns1 host 1 2 3 4 5", "example.com. IN SOA (\n ns1 host ; (\n 2026112701 ; serial\n 2 3 4 5 ) ; end"]
SOAS += ["@ SOA ns1 host 4294967295 1h 1m 1w 5", " SOA\t( a. b. 7 8 9 10 11 )"]
OTHERS = [
    "; comment",
    ";",
    "",
    "  ",
    "\t; (",
    '; "',
    "$TTL 30",
    "$ttl 2h ; x",
    "$ORIGIN example.com.",
    "$ORIGIN a",
    "$ORIGIN com.",
]


@st.composite
def entries(draw: st.DrawFn) -> str:
    owner, head, data, end = (draw(st.sampled_from(parts)) for parts in (OWNERS, HEADS, DATA, ENDS))
    return f"{owner}{draw(st.sampled_from([' ', chr(9), '  ']))}{head}{data}{end}"


@st.composite
def texts(draw: st.DrawFn) -> str:
    lines = draw(st.lists(entries() | entries() | entries() | st.sampled_from(OTHERS), max_size=14))
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, min(2, len(lines)))), draw(st.sampled_from(SOAS)))
    if lines and draw(st.booleans()):
        lines.append(draw(st.sampled_from(lines)))  # a duplicate
    newline = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    return "\n".join(lines).replace("\n", newline) + draw(st.sampled_from(["", newline]))


TEXT_CHARACTERS = st.characters(exclude_categories=["Cs"])
identities = st.builds(
    Identity,
    st.none() | st.just(ID),
    st.none() | st.datetimes(timezones=st.just(UTC)),
    st.none() | st.datetimes(timezones=st.just(UTC)),
)


@st.composite
def new_records(draw: st.DrawFn) -> Record:
    line = draw(st.sampled_from(OWNERS)) or "x"
    made = record(f"{line} {draw(st.sampled_from(['1', '60', '90']))} {draw(st.sampled_from(DATA))}")
    is_proxied = draw(st.booleans()) and made.rtype in (1, 28)
    comment = draw(st.text(TEXT_CHARACTERS, max_size=9) | st.sampled_from(["", "cf_tags=cf-proxied:false x", "\\"]))
    tags = draw(st.lists(st.text(TEXT_CHARACTERS, max_size=4) | st.sampled_from(["a:b", 'c:"d, e"']), max_size=3))
    return replace(
        made,
        proxied=is_proxied,
        ttl=1 if is_proxied else made.ttl,
        comment=comment,
        tags=tuple(tags),
        settings=RecordSettings(flatten_cname=draw(st.sampled_from([None, True, False]))),
        identity=draw(identities),
    )


def key(one: Record) -> tuple[bytes, int, bytes]:
    return one.owner, one.rtype, canonical_rdata(one.rtype, one.rdata)


def random_edit(zone: Zone, written: int, new: list[Record], random: Random, *, is_repeating: bool) -> RecordEdit:
    """An edit that neither leaves duplicates nor removes the SOA."""
    indexes = [index for index in range(written) if zone.records[index].rtype != SOA]
    chosen = random.sample(indexes, random.randint(0, len(indexes)))
    removed = frozenset(chosen[: random.randint(0, len(chosen))])
    # If a removed record has a duplicate, an equal new one would count as the second: the file is written anew.
    taken = {key(one) for index, one in enumerate(zone.records) if index not in removed or is_repeating}
    fresh = []
    for one in new:
        if key(one) not in taken:
            taken.add(key(one))
            fresh.append(one)
    replaced = dict(zip((index for index in chosen if index not in removed), fresh, strict=False))
    for index in chosen:
        if index not in removed and index not in replaced:
            replaced[index] = replace(zone.records[index], comment="other")
    return RecordEdit(removed, replaced, tuple(fresh[len(replaced) :]))


@settings(max_examples=examples(250, 1_500))
@given(texts(), st.lists(new_records(), max_size=5), st.randoms(use_true_random=False))
def test_any_edit_of_any_text(text: str, new: list[Record], random: Random) -> None:
    found = parse_zone_text(text, EXAMPLE)
    if found.problems or found.name != EXAMPLE:
        return
    zone, rows = read(text)
    pieces = dict(parts(text))
    says_nothing = [piece for piece in pieces.values() if piece.lstrip(" \t")[:1] in ("", ";", "$")]
    is_repeating = len(pieces) - len(says_nothing) > len(rows)
    edit = random_edit(zone, len(rows), new, random, is_repeating=is_repeating)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zone_edit, "_written_anew", None)
        result = edited_zone_text(text, zone, rows, edit, now_s=NOW_S)
    edited = result.text
    assert result.read == parse_zone_text(edited, EXAMPLE), "what is loaded is what the text says"
    assert_as_expected(zone, rows, edit, edited)
    edited_lines = {
        rows[index] for index in (*edit.removed, *edit.replaced, *zone.records.of_types({SOA})) if index < len(rows)
    }
    after = Counter(piece for _, piece in parts(edited))
    assert not Counter(says_nothing) - after
    # Unedited entries are unchanged, except that an owner or a TTL may have been put before them.
    ends = Counter(behind_owner(piece) for piece in after.elements())
    for line in set(rows) - edited_lines:
        assert pieces[line] in after or any(end.endswith(behind_owner(pieces[line])) for end in ends)


def parts(text: str) -> Iterator[tuple[int, str]]:
    """The entries and the lines without data, each with the number of its first line, by a separate reader."""
    part, start, depth = "", 1, 0
    for number, line in enumerate(re.split("\r?\n", text), 1):
        part += line
        bare = re.sub(r'"(?:[^"\\]|\\.)*"|\\.|;.*', "", line)
        depth += bare.count("(") - bare.count(")")
        if depth:
            part += "\n"
            continue
        yield start, part
        part, start = "", number + 1


def behind_owner(entry: str) -> str:
    return re.sub(r"^[^ \t]+", "", entry)
