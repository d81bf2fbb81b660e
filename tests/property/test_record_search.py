"""The search, the order and the ids of a zone's records, found part by part, are those of slow models of all records;
also after edits, which renew only the parts that they touch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.api.records.data import shown_record
from dnsd.api.records.order import ORDERS, in_order
from dnsd.api.records.search import COMPARISONS, record_search
from dnsd.api.records.show import record_json
from dnsd.api.records.texts import content_lines, content_texts, name_lines, texts_of
from dnsd.manage.record_ids import find_records, is_shown, record_id, shown_page
from dnsd.model import record_parts
from dnsd.model.columns import Records
from dnsd.model.contents import TEXT_TYPES, UNQUOTED
from dnsd.model.edits import RecordEdit, apply_edit, keep_parts
from dnsd.model.fields import derived_id
from dnsd.model.record_parts import finished
from dnsd.model.records import Identity, Record
from dnsd.model.spelling import readings
from dnsd.model.times import Times
from dnsd.model.zones import Status, Zone, ZoneSettings
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import canonical_rdata, pack_rdata, parse_rdata_text, parse_type_text, type_text
from tests.limits import examples
from tests.record_filter import record_filter, sort_key
from tests.unit.wire.test_rdata import SAMPLES

APEX = parse_name_text("example.com")
TIMES = Times(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
NAMES = ["@", "www", "a.www", "bücher", "xn--ls8h", "a--b", r"odd\.dot", r"nul\000", "*", "_acme-challenge", "WWW.x"]
OWNERS = [APEX, *(parse_name_text(name, APEX).lower() for name in NAMES[1:])]
DATA = {
    "A": ["192.0.2.1", "192.0.2.10", "10.0.0.1"],
    "AAAA": ["2001:db8::1", "::ffff:192.0.2.1"],
    "NS": ["ns1.example.net.", "NS2.example.org."],
    "CNAME": ["shop.example.org.", "bücher.example.", ".", r"odd\.dot.example."],
    "MX": ["10 mail.example.org.", "20 bücher.example.", "0 ."],
    "SRV": ["1 2 3 sip.example.org."],
    "TXT": ['"Token_1-a"', '"a" "b"', '""', r'"say \"x\""', r'"\195\169"', '"xn--bcher-kva"', '"192.0.2.1."', '"a."'],
    "CAA": ['0 issue "ca.example"'],
    "HTTPS": ["1 . alpn=h2"],
    "SOA": ["ns1.example.net. host.example.net. 1 2 3 4 5"],
}
PACKED = [
    (parse_type_text(name), pack_rdata(parse_rdata_text(parse_type_text(name), text)))
    for name, texts in DATA.items()
    for text in texts
]
IDS = ["ab" * 16, "cd" * 16, "abab" + "0" * 28]
RECORDS = st.builds(
    lambda owner, data, ttl, proxied, comment, tags, own_id, written: Record(
        owner,
        data[0],
        ttl,
        data[1],
        proxied and type_text(data[0]) in ("A", "CNAME"),
        comment=comment,
        tags=tags,
        identity=Identity(own_id, written=written if data[0] in TEXT_TYPES else None),
    ),
    st.sampled_from(OWNERS),
    st.sampled_from(PACKED),
    st.sampled_from([1, 60]),
    st.booleans(),
    st.sampled_from(["", "", "Web server", "é", "E\u0301", "a\nb", "\x1e\x1f\x1d"]),
    st.sampled_from([(), ("env:prod", "team"), ("Env:test",)]),
    st.sampled_from([None, None, None, *IDS]),
    st.sampled_from([None, UNQUOTED, "Token_1-a", '"a" b']),
)
VALUES = st.sampled_from(
    [
        *NAMES,
        *("WWW", "example", "example.com.", "com", "xn--", "ü", "192.0.2.1", "192.0.2.1.", "10 mail.example.org"),
        *("mail.example.org.", "token_1-a", '"Token_1-a"', "ab", '""', "é", "web", "server", "E", "a", ".", "\x1f"),
        *("a\nb", "env:prod", "env", "team", "2001:DB8::1", "2001:0db8", "org", "bücher.example"),
    ]
)
QUERIES = st.dictionaries(
    st.sampled_from(
        [f"{name}{suffix}" for name in ("name", "content", "comment", "tag") for suffix in COMPARISONS]
        + ["search", "tag.present", "tag.absent"]
    ),
    VALUES,
    max_size=2,
).flatmap(
    lambda query: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["A", "txt", "MX", "nonsense"]),
            "proxied": st.sampled_from(["true", "false"]),
            "match": st.sampled_from(["any", "all"]),
            "tag_match": st.just("any"),
            "comment.present": st.just(""),
            "comment.absent": st.just(""),
        },
    ).map(lambda more: {**query, **more} if len(more) < 3 else query)
)


@pytest.fixture(autouse=True, scope="module")
def _small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_parts, "SIZE", 3)
        yield


def zone_of(records: Records | list[Record]) -> Zone:
    return Zone(
        "a/zones/example.com", "9" * 32, "8" * 32, APEX, Status.ACTIVE, False, ZoneSettings(), Records.of(records)
    )


def shown_indexes(zone: Zone) -> list[int]:
    return [index for index, record in enumerate(zone.records) if is_shown(zone, record)]


def slow_ids(zone: Zone) -> dict[int, str]:
    """The ids of the records that clients see, given in order: the first record with an id has it."""
    written = {one.id for one in zone.records.identities.values() if one.id}
    by_id: dict[str, int] = {}
    for index in shown_indexes(zone):
        record = zone.records[index]
        data = canonical_rdata(record.rtype, record.rdata).hex()
        derived = derived_id("record", zone.id, name_text(record.owner), type_text(record.rtype), data)
        found, number = record.identity.id or derived, 1
        while found in by_id or (found in written and found != record.identity.id):
            found = derived_id(derived, str(number))
            number += 1
        by_id[found] = index
    return {index: found for found, index in by_id.items()}


def distinct(records: list[Record]) -> list[Record]:
    """The records without repeats, which no zone has."""
    return [*{record.duplicate_key: record for record in records}.values()]


@settings(max_examples=examples(300, 3_000))
@given(st.lists(RECORDS, max_size=12).map(distinct), QUERIES)
def test_search_finds_what_the_slow_model_finds(records: list[Record], query: dict[str, str]) -> None:
    zone, is_wanted = zone_of(records), record_filter(query)
    shown = {
        index: record_json(zone.records[index], "", zone_id="", zone_name="", times=TIMES)
        for index in shown_indexes(zone)
    }
    expected = [index for index, one in shown.items() if is_wanted(one)]
    for _ in range(2):  # the second time from what is kept
        assert [*finished(record_search(query).found_in(zone))] == expected


@settings(max_examples=examples(100, 1_000))
@given(st.lists(RECORDS, max_size=12).map(distinct), st.sampled_from(ORDERS), st.integers(0, 12), st.integers(0, 12))
def test_order_is_that_of_the_slow_model(records: list[Record], order: str, start: int, size: int) -> None:
    zone, key = zone_of(records), sort_key(order)
    assert key
    shown = {
        index: record_json(zone.records[index], "", zone_id="", zone_name="", times=TIMES)
        for index in range(len(records))
    }
    for found in ([*shown], [*shown][::2]):
        expected = sorted(found, key=lambda index: key(shown[index]))
        for _ in range(2):
            assert finished(in_order(zone, found, order, start, start + size)) == expected[start : start + size]


@settings(max_examples=examples(100, 1_000))
@given(st.lists(RECORDS, max_size=14).map(distinct), st.integers(0, 14), st.integers(0, 14), st.booleans())
def test_pages_have_the_shown_records_in_order(records: list[Record], start: int, size: int, reverse: bool) -> None:
    zone = zone_of([one for one in records if one.owner == APEX or type_text(one.rtype) != "SOA"])
    expected = shown_indexes(zone)[:: -1 if reverse else 1][start : start + size]
    assert finished(shown_page(zone, start, start + size, is_reversed=reverse)) == expected


def check_ids(zone: Zone) -> None:
    ids = slow_ids(zone)
    assert {index: record_id(zone, index) for index in shown_indexes(zone)} == ids
    for wanted in (*ids.values(), "0" * 32, "", "xyz", ids.get(0, "")[:8]):
        found = finished(find_records(zone, [wanted]))
        assert found == {one: index for index, one in ids.items() if one == wanted}
    everything = [*ids.values(), *(f"{number:032x}" for number in range(60))]
    assert finished(find_records(zone, everything)) == {one: index for index, one in ids.items()}


@settings(max_examples=examples(200, 2_000))
@given(st.lists(RECORDS, max_size=12).map(distinct))
def test_ids_are_those_of_the_slow_model(records: list[Record]) -> None:
    zone = zone_of(records)
    check_ids(zone)
    if records:  # a record may get the id that another one's content stands for
        other = record_id(zone, len(records) - 1)
        check_ids(zone_of([replace(records[0], identity=Identity(other)), *records[1:]]))


@settings(max_examples=examples(60, 600))
@given(st.lists(RECORDS, min_size=1, max_size=14).map(distinct), st.lists(RECORDS, max_size=8), st.integers(0, 2**32))
def test_edits_keep_answers_about_other_parts(records: list[Record], others: list[Record], seed: int) -> None:
    choice = random.Random(seed)
    made = [Record(APEX, *PACKED[-1][:1], 60, PACKED[-1][1])]  # after those of the file, as the server's SOA
    zone = zone_of([*records, *made])
    query = record_search({"name.contains": "w", "content.contains": "1", "match": "any"})
    for _ in range(8):
        check_ids(zone)
        finished(query.found_in(zone))
        written = len(zone.records) - len(made)
        removed = frozenset(choice.sample(range(written), choice.randint(0, min(2, written))))
        free = [index for index in range(written) if index not in removed]
        changed = {index: choice.choice(others or records) for index in choice.sample(free, min(1, len(free)))}
        added = tuple(choice.sample(others, min(len(others), choice.randint(0, 2))))
        edit = RecordEdit(removed, changed, added)
        ends = frozenset(range(written, len(zone.records)))
        after = apply_edit(zone.records, replace(edit, removed=removed | ends)).followed_by(made)
        if len(distinct([*after])) < len(after):
            continue
        keep_parts(zone.records, after, edit, written)
        zone = zone_of(after)
        assert sum(part.size for part in after.parts.parts) == len(after)
        anew = zone_of([*after])
        assert [*finished(query.found_in(zone))] == [*finished(query.found_in(anew))]
        for view, fresh in zip(
            [view.ask(name_lines) for view in after.parts.views(after)],
            [name_lines(after, view.start, view.stop) for view in after.parts.views(after)],
            strict=True,
        ):
            assert view == fresh


def test_one_edit_of_many_parts_renews_one() -> None:
    records = Records.of(Record(APEX, 1, 60, number.to_bytes(4)) for number in range(30))
    before = [view.ask(content_lines) for view in records.parts.views(records)]
    edit = RecordEdit(replaced={4: Record(APEX, 1, 60, b"abcd")})
    after = apply_edit(records, edit)
    keep_parts(records, after, edit, len(records))
    assert len(before) == 10
    assert [bool(part.kept) for part in after.parts.parts] == [True, False, *([True] * 8)]


def test_parts_stay_few_after_many_additions_and_removals() -> None:
    records = Records.of(Record(APEX, 1, 60, number.to_bytes(4)) for number in range(30))
    for number in range(100, 400):
        for view in records.parts.views(records):
            view.ask(content_lines)
        edit = RecordEdit(removed=frozenset({number % 7}), added=(Record(APEX, 1, 60, number.to_bytes(4)),))
        after = apply_edit(records, edit)
        keep_parts(records, after, edit, len(records))
        records = after
    assert len(records.parts.parts) <= 3 * 11 + 1


@pytest.mark.parametrize("rtype", SAMPLES)
def test_content_lines_have_the_texts_of_the_shown_content(rtype: str) -> None:
    number = parse_type_text(rtype)
    wire = pack_rdata(parse_rdata_text(number, SAMPLES[rtype]))
    check_content(Record(APEX, number, 60, wire))


@given(RECORDS)
def test_content_lines_have_the_texts_of_any_record(record: Record) -> None:
    check_content(record)


def check_content(record: Record) -> None:
    texts = content_texts(shown_record(record), is_text=record.rtype in TEXT_TYPES)
    expected = {reading for text in texts for reading in readings(text)}
    assert {*texts_of(content_lines(Records.of([record]), 0, 1))} == expected
