"""The picture of a fleet: a cell for each edge, by ring, within its frame."""

from __future__ import annotations

import pytest

from dnsd.dashboard.fleet_picture import FEW, fleet_pictures, in_words
from dnsd.manage.fleet_view import EdgeState, EdgeView


def edges(number: int, rings: int = 3) -> list[EdgeView]:
    states = [*EdgeState]
    return [
        EdgeView(f"pop-{one:04}", states[one % 5], one % rings, "Oslo", False, True, 1.0, lag_s=0.5, rate=12)
        for one in range(number)
    ]


@pytest.mark.parametrize("number", [1, 5, FEW, FEW + 1, 500, 10_000])
def test_each_edge_has_a_cell_of_its_own_within_the_picture(number: int) -> None:
    for picture in fleet_pictures(edges(number)):
        assert len(picture.cells) == number
        assert len({(one.x, one.y) for one in picture.cells}) == number
        assert all(0 <= one.x <= picture.width - picture.cell.width for one in picture.cells)
        assert all(0 <= one.y <= picture.height - picture.cell.height for one in picture.cells)
        assert len(picture.rings) == min(3, number)
        tops = [y for y, _ in picture.rings]
        assert tops == sorted(tops)


def test_edges_without_news_and_with_long_names_have_cells() -> None:
    unheard = EdgeView("a" * 32, EdgeState.SILENT, 0, "", False, True, None)
    for picture in fleet_pictures([unheard]):
        (cell,) = picture.cells
        assert cell.detail == "no news yet"
        assert cell.title == f"{'a' * 32}: silent, no news yet"
        assert len(cell.name) * 7 < picture.cell.width


def test_the_summary_says_what_the_colours_say() -> None:
    assert in_words(edges(10)) == "10 edges, 2 silent, 2 drained, 2 lagging, 2 with problems, 2 ok"
    assert in_words(edges(1)) == "1 edge, 1 silent"
    assert fleet_pictures([]) == []
    wide, narrow = fleet_pictures(edges(4, rings=2))
    assert (
        wide.summary
        == narrow.summary
        == "Ring 0: 2 edges, 1 silent, 1 lagging; Ring 1: 2 edges, 1 drained, 1 with problems"
    )
