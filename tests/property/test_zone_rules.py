"""The rules for zones find in the names that they look at closely all that they would find in all names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as examples_of
from hypothesis import strategies as st

from dnsd.model import zone_rules
from dnsd.model.columns import Records
from dnsd.model.records import Record
from dnsd.model.zone_rules import RrsetIndexes, RrsetLimits, zone_problems
from dnsd.model.zones import Status, Zone, ZoneSettings
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import canonical_rdata, pack_rdata, parse_rdata_text, parse_type_text, unpack_rdata
from tests.limits import examples
from tests.unit.wire.test_rdata import SAMPLES

ZONE = parse_name_text("example.com")
OWNERS = [parse_name_text(name, ZONE) for name in ("@", "a", "b", "*", "*.a", "x.b", "a.a")]
OWNERS[0] = ZONE
DATA = {
    "A": [f"192.0.2.{number}" for number in range(4)],
    "NS": ["ns1.example.net.", "NS1.Example.net.", "ns2.example.net."],
    "MX": ["10 a.", "10 A.", "20 a."],
    "SRV": ["1 2 3 a.", "1 2 3 A."],
    "CNAME": ["a.", "A.", "b."],
    "DNAME": ["a.", "A."],
    "SOA": ["a. b. 1 2 3 4 5", "A. b. 1 2 3 4 5"],
    "TXT": ["a", "A", f'"{"x" * 250}"', " ".join(['"' + "y" * 255 + '"'] * 3)],
    "DS": [f"1 8 2 {'ab' * 32}", f"1 8 2 {'AB' * 32}"],
    "HINFO": ["a b", "A b"],
}
PACKED = [
    (parse_type_text(name), pack_rdata(parse_rdata_text(parse_type_text(name), text)))
    for name, texts in DATA.items()
    for text in texts
]
RECORDS = st.builds(
    lambda owner, data, ttl: Record(owner, data[0], ttl, data[1]),
    st.sampled_from(OWNERS),
    st.sampled_from(PACKED),
    st.sampled_from([60, 90]),
)
LIMITS = st.builds(RrsetLimits, st.sampled_from([1, 2, 3, 100]), st.sampled_from([512, 700, 60_000]))


def all_names(zone: Zone, limits: RrsetLimits) -> Iterator[tuple[bytes, RrsetIndexes]]:
    found: dict[bytes, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, record in enumerate(zone.records):
        found[record.owner][record.rtype].append(index)
    yield from found.items()


@examples_of(max_examples=examples(300, 3_000))
@given(st.lists(RECORDS, max_size=14), LIMITS)
def test_all_names_have_no_other_problems(records: list[Record], limits: RrsetLimits) -> None:
    zone = Zone(
        "acme/zones/example.com", "0" * 32, "1" * 32, ZONE, Status.ACTIVE, False, ZoneSettings(), Records.of(records)
    )
    found = zone_problems(zone, limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zone_rules, "_names_to_check", all_names)
        assert zone_problems(zone, limits) == found
    first: dict[object, int] = {}
    repeats = {i: first[key] for i, r in enumerate(records) if first.setdefault(key := r.duplicate_key, i) != i}
    assert zone.records.repeats() == repeats


@pytest.mark.parametrize("rtype", SAMPLES)
def test_canonical_data_is_that_of_the_full_reader(rtype: str) -> None:
    number = parse_type_text(rtype)
    for text in (SAMPLES[rtype], *DATA.get(rtype, [])):
        wire = pack_rdata(parse_rdata_text(number, text))
        assert canonical_rdata(number, wire) == unpack_rdata(number, wire).to_digestable()
