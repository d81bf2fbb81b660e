"""The picture of flows as SVG: three columns of bars, and bands between them, whose heights are shares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dnsd.dashboard.flows import NO_ADDRESSES, NO_MAP, STORED, Flow, is_rest

BAR, GAP = 10.0, 10.0  # width of a bar; between two bars
SHARES = 260.0  # height of all bars together
LINE = 34.0  # height of a label and its share: small bars have more room around them
TOP = 26.0  # for the titles of the columns
COLOURS = 6
LAST = frozenset({NO_MAP, STORED, NO_ADDRESSES})
TITLES = ("Addresses", "Address maps", "Zones")


@dataclass(frozen=True, slots=True)
class PictureLayout:
    """The measures of a picture: wide for a page, narrow for a phone."""

    width: float
    bars: tuple[float, float, float]  # x of the columns
    labels: tuple[tuple[float, str], ...]  # x and anchor of the columns' labels
    letters: tuple[int, int, int]  # of a label; longer ones are cut


WIDE = PictureLayout(1_000, (205, 460, 735), ((193, "end"), (478, "start"), (757, "start")), (24, 30, 32))
NARROW = PictureLayout(320, (0, 118, 310), ((16, "start"), (134, "start"), (304, "end")), (14, 12, 14))


@dataclass(frozen=True, slots=True)
class FlowBar:
    """A bar with its label."""

    label: str  # cut
    title: str  # whole
    share: str
    x: float
    y: float
    height: float
    label_x: float
    label_y: float
    anchor: str
    colour: str  # class of the style sheet


@dataclass(frozen=True, slots=True)
class FlowBand:
    """A band between two bars, as the data of an SVG path."""

    data: str
    colour: str
    title: str


@dataclass(frozen=True, slots=True)
class FlowPicture:
    """A picture, ready to be drawn."""

    width: float
    height: float
    bars: tuple[FlowBar, ...]
    bands: tuple[FlowBand, ...]
    titles: tuple[tuple[float, str, str], ...]  # x, anchor, text of the columns
    bar_width: float = BAR


@dataclass(slots=True)
class _Slot:
    """A bar's place; the bands at its sides are stacked from the top."""

    y: float
    height: float
    left: float = 0.0
    right: float = 0.0


def picture_of(flows: Sequence[Flow], layout: PictureLayout) -> FlowPicture:
    """The picture of flows."""
    columns = [_totals(flows, key) for key in (_space, _map, _zone)]
    height = max(map(_height, columns))
    slots = [_slots(column, height) for column in columns]
    colours = {label: f"f{number % COLOURS}" for number, label in enumerate(columns[1])} | {NO_MAP: "fx"}
    bands = [
        *_bands([(one.space, one.map, one.map, one.share) for one in flows], slots[:2], layout.bars[:2], colours),
        *_bands([(one.map, one.zone, one.map, one.share) for one in flows], slots[1:], layout.bars[1:], colours),
    ]
    bars = [
        _bar(place, layout, label, share, slots[place][label], colours[label] if place == 1 else "fn")
        for place, column in enumerate(columns)
        for label, share in column.items()
    ]
    titles = tuple((*layout.labels[place], title) for place, title in enumerate(TITLES))
    return FlowPicture(layout.width, height + TOP, tuple(bars), tuple(bands), titles)


def percent(share: float) -> str:
    """A share in percent."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def _space(flow: Flow) -> str:
    return flow.space


def _map(flow: Flow) -> str:
    return flow.map


def _zone(flow: Flow) -> str:
    return flow.zone


def _totals(flows: Sequence[Flow], key: Callable[[Flow], str]) -> Mapping[str, float]:
    """The shares of a column, in descending order; at the end the sum of the others, and answers without a map."""
    totals: defaultdict[str, float] = defaultdict(float)
    for flow in flows:
        totals[key(flow)] += flow.share
    return dict(sorted(totals.items(), key=lambda pair: (pair[0] in LAST, is_rest(pair[0]), -pair[1], pair[0])))


def _height(column: Mapping[str, float]) -> float:
    return sum(max(SHARES * share, LINE) + GAP for share in column.values())


def _slots(column: Mapping[str, float], height: float) -> dict[str, _Slot]:
    spare = (height - _height(column)) / len(column)
    slots, y = {}, TOP
    for label, share in column.items():
        room = max(SHARES * share, LINE) + GAP + spare
        slots[label] = _Slot(y + (room - SHARES * share) / 2, SHARES * share)
        y += room
    return slots


def _bar(place: int, layout: PictureLayout, label: str, share: float, slot: _Slot, colour: str) -> FlowBar:
    x, anchor = layout.labels[place]
    letters = layout.letters[place]
    return FlowBar(
        label=label if len(label) <= letters else f"{label[: letters - 1]}…",
        title=label,
        share=percent(share),
        x=layout.bars[place],
        y=round(slot.y, 1),
        height=round(max(slot.height, 1), 1),
        label_x=x,
        label_y=round(slot.y + slot.height / 2 - 3, 1),
        anchor=anchor,
        colour=colour,
    )


def _bands(
    parts: Sequence[tuple[str, str, str, float]],
    slots: Sequence[Mapping[str, _Slot]],
    bars: Sequence[float],
    colours: Mapping[str, str],
) -> list[FlowBand]:
    """The bands between two columns, from parts with the labels of both bars, of the map, and the share."""
    shares: defaultdict[tuple[str, str, str], float] = defaultdict(float)
    for *labels, share in parts:
        shares[tuple(labels)] += share  # type: ignore[index]
    places = [{label: place for place, label in enumerate(column)} for column in slots]
    bands = []
    for start, end, map_text in sorted(shares, key=lambda one: (places[0][one[0]], places[1][one[1]])):
        share = shares[start, end, map_text]
        one, other, height = slots[0][start], slots[1][end], SHARES * share
        data = _band(bars[0] + BAR, one.y + one.right, bars[1], other.y + other.left, height)
        one.right += height
        other.left += height
        bands.append(FlowBand(data, colours[map_text], f"{start} → {end}: {percent(share)}"))
    return bands


def _band(x: float, y: float, to_x: float, to_y: float, height: float) -> str:
    middle = (x + to_x) / 2
    upper = f"C{middle:.1f},{y:.1f} {middle:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}"
    y, to_y = y + height, to_y + height
    lower = f"C{middle:.1f},{to_y:.1f} {middle:.1f},{y:.1f} {x:.1f},{y:.1f}"
    return f"M{x:.1f},{y - height:.1f} {upper} V{to_y:.1f} {lower} Z"
