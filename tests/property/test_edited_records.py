"""Comparing records with an edit of others needs no copy of them, and says the same as a comparison with the result."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.model.columns import Records
from dnsd.model.edits import RecordEdit, apply_edit, is_edited
from dnsd.model.records import Identity, Record
from tests.limits import examples

RECORDS = st.builds(
    Record,
    st.sampled_from([b"\x01a\0", b"\x01b\0", b"\0"]),
    st.sampled_from([1, 16]),
    st.sampled_from([60, 90]),
    st.sampled_from([b"aaaa", b"bbbb"]),
    identity=st.sampled_from([Identity(), Identity(), Identity("ab" * 16)]),
)


@settings(max_examples=examples(500, 5_000))
@given(st.lists(RECORDS, max_size=9), st.lists(RECORDS, max_size=3), st.integers(0, 2**32))
def test_comparison_with_an_edit(given_records: list[Record], new: list[Record], seed: int) -> None:
    choice = random.Random(seed)
    before, places = Records.of(given_records), [*range(len(given_records))]
    removed = frozenset(choice.sample(places, choice.randint(0, min(3, len(places)))))
    left = [place for place in places if place not in removed]
    replaced = {place: choice.choice(new or given_records) for place in choice.sample(left, min(len(left), 2))}
    edit = RecordEdit(removed, replaced, tuple(new[:1]))
    expected = [*apply_edit(before, edit)]
    others = [[*reversed(expected)], expected[:-1], [*expected, *new[-1:]]]
    for place in range(len(expected)):
        others.append([*expected[:place], choice.choice(new or given_records), *expected[place + 1 :]])
    for found in (expected, *others):
        assert is_edited(before, edit, Records.of(found)) == (found == expected)
