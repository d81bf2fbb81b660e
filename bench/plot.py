"""The plot of processor time per answer, by mix and server, as an SVG, without a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP = 860, 190, 70, 74
BAR, GAP, BLOCK = 11, 2, 14
COLOURS = {
    "null": "#9aa0a6",
    "dnsd": "#0b6bcb",
    "dnsd-rrl": "#6aa7e8",
    "nsd": "#2e8b57",
    "knot": "#8a6d3b",
    "bind": "#b5493f",
    "pdns": "#7a4fa3",
}


@dataclass(frozen=True)
class Bar:
    """Microseconds per answer of one server under one mix: user time, median of the total, and its spread."""

    server: str
    label: str
    user_us: float
    total_us: float
    least_us: float
    most_us: float


def plot(blocks: Sequence[tuple[str, Sequence[Bar]]], *, title: str) -> str:
    """The SVG text; each block is a mix with its bars."""
    most = max((bar.most_us for _, bars in blocks for bar in bars), default=1.0)
    step = next(size for size in (0.5, 1, 2, 5, 10, 20, 50, 100, 1e9) if most / size <= 10)
    scale = (WIDTH - LEFT - RIGHT) / most
    parts, y = [], float(TOP)
    for label, bars in blocks:
        middle = y + len(bars) * (BAR + GAP) / 2
        parts.append(_text(LEFT - 10, middle, label, anchor="end", bold=True))
        for bar in bars:
            parts += _bar(bar, y, scale)
            y += BAR + GAP
        y += BLOCK
    height = y + 8
    grid = []
    for number in range(int(most / step) + 1):
        x = LEFT + number * step * scale
        grid.append(f'<path d="M{x:.1f} {TOP - 6}V{height - 16:.0f}" stroke="#e3e6ea"/>')
        grid.append(_text(x, TOP - 12, f"{number * step:g}", anchor="middle", grey=True))
    head = [_text(12, 20, title, bold=True), *_legend([bar for _, bars in blocks for bar in bars])]
    body = "\n".join([*head, *grid, *parts])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'width="{WIDTH}" height="{height:.0f}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img">\n<title>{escape(title)}</title>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _bar(bar: Bar, y: float, scale: float) -> list[str]:
    colour = COLOURS.get(bar.server, "#555555")
    user, total = bar.user_us * scale, bar.total_us * scale
    middle, least, most = y + BAR / 2, bar.least_us * scale, bar.most_us * scale
    return [
        f'<rect x="{LEFT}" y="{y:.1f}" width="{total:.1f}" height="{BAR}" fill="{colour}" opacity="0.45"/>',
        f'<rect x="{LEFT}" y="{y:.1f}" width="{user:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<path d="M{LEFT + least:.1f} {middle:.1f}H{LEFT + most:.1f}" stroke="#222222"/>',
        _text(LEFT + most + 5, middle, f"{bar.total_us:.1f}", grey=True),
    ]


def _legend(bars: Sequence[Bar]) -> list[str]:
    parts, x = [], 12.0
    for server, label in dict.fromkeys((bar.server, bar.label) for bar in bars):
        parts.append(f'<rect x="{x:.0f}" y="31" width="11" height="11" fill="{COLOURS.get(server, "#555555")}"/>')
        parts.append(_text(x + 16, 36.5, label))
        x += 34 + 5.6 * len(label)
    parts.append(_text(x + 8, 36.5, "dark: user time, light: system time, line: least to most", grey=True))
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "start", bold: bool = False, grey: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    colour = "#5f6368" if grey else "#202124"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" dominant-baseline="middle" text-anchor="{anchor}" fill="{colour}"{weight}>'
        f"{escape(text)}</text>"
    )
