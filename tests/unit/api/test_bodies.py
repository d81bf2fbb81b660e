"""Bodies of requests: true and false are no numbers."""

from __future__ import annotations

import pytest

from dnsd.api.bodies import PrefixBody, RequestBody
from dnsd.api.brake import ReleaseBody
from dnsd.api.quotas import QuotasBody
from dnsd.model.fields import validate

NUMBERS: list[tuple[type[RequestBody], dict[str, object], str]] = [
    (QuotasBody, {}, "zones"),
    (QuotasBody, {}, "writes_per_minute"),
    (PrefixBody, {"cidr": "2001:db8::/48"}, "asn"),
    (ReleaseBody, {"author": "files"}, "seconds"),
]


@pytest.mark.parametrize(("body", "others", "field"), NUMBERS, ids=lambda one: str(one))
def test_boolean_is_no_number(body: type[RequestBody], others: dict[str, object], field: str) -> None:
    for value in (True, False):
        read, problems = validate(body, {**others, field: value}, "")
        assert read is None
        assert [one.path for one in problems] == [(field,)]
        assert problems[0].message == f"expected a number, found {str(value).lower()}"
    read, problems = validate(body, {**others, field: 7}, "")
    assert (read and getattr(read, field), problems) == (7, [])
