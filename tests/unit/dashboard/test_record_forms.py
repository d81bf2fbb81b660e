"""Forms for records: one for each type that the API knows in parts."""

from __future__ import annotations

from dnsd.dashboard.records import FORM_OF, TYPES


def test_each_type_with_parts_is_offered() -> None:
    assert FORM_OF.keys() <= set(TYPES)
