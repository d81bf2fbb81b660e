"""Fields that a body should not have: only the first faults are looked for, however many fields a client sends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dnsd.api.bodies import MapPlan
from dnsd.api.other_fields import MAX_NOTES, first_of, other_fields
from dnsd.manage.refusal import Fault, Reason

MOST = 100


class Body(dict[str, Any]):
    """A body that counts how many of its fields are looked at."""

    looked_at = 0

    def items(self) -> Any:
        for item in super().items():
            self.looked_at += 1
            yield item


@pytest.mark.parametrize("count", [MOST, 5_000])
def test_thousands_of_unknown_fields_cost_as_much_as_a_hundred(count: int) -> None:
    body = Body({f"descripti{number}": 1 for number in range(count)})
    faults, notes = first_of(other_fields(MapPlan, body, None), MOST)
    assert (len(faults), notes) == (MOST, [])
    assert body.looked_at == MOST


def test_faults_after_many_notes_are_found() -> None:
    def found() -> Iterator[Fault | str]:
        yield from map(str, range(1_000))
        yield Fault(Reason.INVALID, "unknown field", ("x",))

    faults, notes = first_of(found(), MOST)
    assert len(faults) == 1
    assert notes == [str(number) for number in range(MAX_NOTES)]
