"""What a change that waits says of late edges: names are for operators."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd.api.edges import late_edges
from dnsd.manage.fleet_words import MAX_NAMED, not_everywhere

BEGIN = "it is saved, but not every edge serves it yet: "


@pytest.mark.parametrize(
    ("late", "by_operator", "said"),
    [
        ([], True, []),
        (["ost-1"], True, [f"{BEGIN}ost-1"]),
        (["ost-1"], False, [f"{BEGIN}1 is late"]),
        (["ost-1", "väst-2"], False, [f"{BEGIN}2 are late"]),
    ],
)
def test_tenants_hear_a_number_and_operators_names(late: list[str], by_operator: bool, said: list[str]) -> None:
    async def named() -> list[str]:
        return late

    service = cast(Any, SimpleNamespace(fleet=SimpleNamespace(late=named)))
    assert asyncio.run(late_edges(service, by_operator=by_operator)) == said


def test_the_names_are_bounded() -> None:
    said = not_everywhere([f"e{number}" for number in range(1_000)], names=True)
    assert said.count(", e") == MAX_NAMED - 1
    assert said.endswith(" and 980 more")
