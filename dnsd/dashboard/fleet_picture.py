"""The picture of a fleet's edges as SVG: a cell for each edge, by ring. The style sheet has the colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from dnsd.manage.fleet_view import EdgeState, EdgeView

FEW = 24  # edges whose cells have words
GAP = 6.0
TITLE = 26.0  # height of a ring's title
LETTERS = 7.5  # width of a letter
WORDS = {
    EdgeState.SILENT: "silent",
    EdgeState.DRAINED: "drained",
    EdgeState.LAGGING: "lagging",
    EdgeState.PROBLEMS: "with problems",
    EdgeState.OK: "ok",
}


@dataclass(frozen=True, slots=True)
class CellSize:
    """The size of a cell."""

    width: float
    height: float
    has_words: bool


WITH_WORDS, SMALL = CellSize(150, 44, True), CellSize(18, 18, False)
WIDTHS = (930.0, 306.0)  # of a page, and of a phone


@dataclass(frozen=True, slots=True)
class EdgeCell:
    """The cell of an edge, with its words, which may be cut, and its title."""

    x: float
    y: float
    state: EdgeState
    name: str
    detail: str
    title: str


@dataclass(frozen=True, slots=True)
class FleetPicture:
    """A picture, ready to be drawn."""

    width: float
    height: float
    cell: CellSize
    rings: tuple[tuple[float, str], ...]  # y and text of the titles
    cells: tuple[EdgeCell, ...]
    summary: str  # for screen readers


def fleet_pictures(edges: Sequence[EdgeView]) -> list[FleetPicture]:
    """The pictures of edges: wide for a page, narrow for a phone; none without edges."""
    return [_picture(edges, width) for width in WIDTHS] if edges else []


def in_words(edges: Sequence[EdgeView]) -> str:
    """The number of edges, and those in each state that is not ok."""
    counts = Counter(one.state for one in edges)
    total = f"{len(edges):,} edge{'' if len(edges) == 1 else 's'}"
    return ", ".join([total, *(f"{counts[one]:,} {WORDS[one]}" for one in EdgeState if counts[one])])


def _picture(edges: Sequence[EdgeView], width: float) -> FleetPicture:
    cell = WITH_WORDS if len(edges) <= FEW else SMALL
    columns = int((width + GAP) // (cell.width + GAP))
    rings, cells, y = list[tuple[float, str]](), list[EdgeCell](), 0.0
    for ring, group in groupby(sorted(edges, key=attrgetter("ring", "name")), key=attrgetter("ring")):
        own = [*group]
        rings.append((y + TITLE / 2 + 2, f"Ring {ring}: {in_words(own)}"))
        y += TITLE
        cells += _cells(own, cell, columns, y)
        y += -(-len(own) // columns) * (cell.height + GAP) + GAP
    return FleetPicture(width, y, cell, tuple(rings), tuple(cells), "; ".join(text for _, text in rings))


def _cells(edges: Sequence[EdgeView], cell: CellSize, columns: int, top: float) -> Iterator[EdgeCell]:
    letters = int((cell.width - 2 * GAP) // LETTERS)
    for number, one in enumerate(edges):
        row, column = divmod(number, columns)
        detail = _detail(one)
        label = f", {one.label}" if one.label else ""
        yield EdgeCell(
            x=column * (cell.width + GAP),
            y=top + row * (cell.height + GAP),
            state=one.state,
            name=one.name if len(one.name) <= letters else f"{one.name[: letters - 1]}…",
            detail=detail,
            title=f"{one.name}{label}: {WORDS[one.state]}, {detail}",
        )


def _detail(edge: EdgeView) -> str:
    """What matters of an edge in its state."""
    if edge.silence_s is None:
        return "no news yet"
    if edge.state is EdgeState.SILENT:
        return f"for {edge.silence_s:,.0f} s"
    return f"lag {edge.lag_s:.1f} s, {edge.rate:,.0f}/s"
