"""From measurements to figures: medians, spreads, ratios and their requirements. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.scale import AGAIN, FIRST, MAP_EDIT, MEMORY, MORE, START, Scale
from bench.traffic import Measure, Traffic

LEAST_BUSY = 0.95  # share of the core; a server below it was not saturated
LONG_ENOUGH_S = 0.5  # of processor time, for comparing two ways to count it


@dataclass(frozen=True)
class Figure:
    """A median and its spread."""

    median: float
    least: float
    most: float

    def text(self, digits: int = 2) -> str:
        """`1.02 (0.98–1.05)`."""
        if self.least == self.most:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}–{self.most:,.{digits}f})"


def figure(values: Sequence[float]) -> Figure | None:
    """The figure of these values; None without values."""
    return Figure(statistics.median(values), min(values), max(values)) if values else None


def of(traffic: Traffic, server: str, mix: str, value: Callable[[Measure], float]) -> Figure | None:
    """A value for one server and mix, over the rounds."""
    return figure([value(one) for one in _of(traffic, server, mix).values()])


def ratio(traffic: Traffic, above: tuple[str, str], below: tuple[str, str]) -> Figure | None:
    """Processor time per answer of one (server, mix), divided by another's in the same round."""
    ours, theirs = _of(traffic, *above), _of(traffic, *below)
    return figure([ours[number].cpu_us / theirs[number].cpu_us for number in sorted(ours.keys() & theirs.keys())])


def _of(traffic: Traffic, server: str, mix: str) -> dict[int, Measure]:
    return {one.round: one for one in traffic.measures if (one.server, one.mix) == (server, mix) and one.answered}


@dataclass(frozen=True)
class Requirement:
    """One requirement on the figures."""

    text: str
    reached: str
    is_met: bool | None  # None: not measured


def requirements(traffic: Traffic, scale: Scale) -> list[Requirement]:
    """All requirements, in the report's order."""
    rows = []
    for mix, label in (("proxied", "proxied A and AAAA"), ("edns", "with EDNS, DO")):
        for peer, name, most in (("nsd", "NSD", 1.0), ("knot", "Knot", 1.0), ("null", "the null responder", 1.3)):
            found = ratio(traffic, ("dnsd", mix), (peer, mix))
            aim = "; aim 0.85" if most == 1.0 else ""
            rows.append(_at_most(f"CPU per answer, {label}: ≤ {most} × {name}{aim}", found, most))
        for peer, name in (("bind", "BIND"), ("pdns", "PowerDNS")):
            found = ratio(traffic, (peer, mix), ("dnsd", mix))
            rows.append(_at_least(f"CPU per answer, {label}: {name} needs ≥ 2 × dnsd's", found, 2))
    denial = ratio(traffic, ("dnsd", "nxdomain"), ("nsd", "nxdomain"))
    rows.append(_at_most("CPU per answer, NXDOMAIN of random names: ≤ 1.3 × NSD", denial, 1.3))
    cased = ratio(traffic, ("dnsd", "0x20"), ("dnsd", "proxied"))
    rows.append(_at_most("CPU per answer, random case: ≤ 1.1 × plain", cased, 1.1))
    rows += _scale_requirements(scale)
    single = ratio(traffic, ("dnsd", "proxied"), ("dnsd-2", "proxied"))
    doubled = single and Figure(2 * single.median, 2 * single.least, 2 * single.most)
    rows.append(_at_least("two workers answer ≥ 1.8 × one, by CPU accounting", doubled, 1.8))
    return rows


MILLION = 1_000_000


def _scale_requirements(scale: Scale) -> list[Requirement]:
    def divided(above: tuple[str, str], below: tuple[str, str]) -> tuple[Figure | None, str]:
        ours, theirs = scale.median(above[0], MILLION, above[1]), scale.median(below[0], MILLION, below[1])
        if ours is None or theirs is None:
            return None, ""
        return figure([ours / theirs]), f": {ours:,.2f} ÷ {theirs:,.2f}"

    asked = [
        ("1,000,000 names, first start: ≤ 3 × NSD", divided(("dnsd", START), ("nsd", START)), 3.0),
        ("1,000,000 names, start from the snapshot file: ≤ 1 × NSD", divided(("dnsd", AGAIN), ("nsd", START)), 1.0),
        ("1,000,000 names, memory with one worker: ≤ 1.0 × NSD", divided(("dnsd", MEMORY), ("nsd", MEMORY)), 1.0),
        ("1,000,000 names, a further worker: ≤ 0.3 × the first", divided(("dnsd", MORE), ("dnsd", FIRST)), 0.3),
    ]
    rows = [_at_most(text, found, most, more) for text, (found, more), most in asked]
    many, few = scale.worker_edit.get(MILLION), scale.worker_edit.get(1_000)
    edit = figure([many["median"]]) if many else None
    rows.append(_at_most("a map edit inside a worker, 1,000,000 names: ≤ 5 ms", edit, 5.0, unit=" ms"))
    even = figure([many["median"] / few["median"]]) if many and few else None
    text = f": {many['median']:.2f} ms ÷ {few['median']:.2f} ms" if many and few else ""
    rows.append(
        Requirement(
            "a map edit inside a worker: the time for 1,000 names, ± 50 %",
            even.text() + " ×" + text if even else "not measured",
            0.5 <= even.median <= 1.5 if even else None,
        )
    )
    saved = figure(scale.values.get(("dnsd", MILLION, MAP_EDIT), []))
    text = "1,000,000 names, a map edit: from saved file to changed answer ≤ 300 ms"
    rows.append(_at_most(text, saved, 300.0, unit=" ms"))
    return rows


def _at_most(text: str, found: Figure | None, most: float, more: str = "", unit: str = " ×") -> Requirement:
    return Requirement(
        text, f"{found.text()}{unit}{more}" if found else "not measured", found.median <= most if found else None
    )


def _at_least(text: str, found: Figure | None, least: float) -> Requirement:
    return Requirement(text, f"{found.text()} ×" if found else "not measured", found.median >= least if found else None)


def remarks(traffic: Traffic) -> list[str]:
    """Conditions of the run that affect how far the figures can be trusted."""
    found = list(traffic.skipped)
    for server, mix in dict.fromkeys((one.server, one.mix) for one in traffic.measures):
        runs = list(_of(traffic, server, mix).values())
        lost, sent = sum(one.lost for one in runs), sum(one.answered + one.lost for one in runs)
        if lost:
            found.append(f"{server}, {mix}: {lost:,} of {sent:,} queries lost")
    if idle := _idle(traffic):
        found.append(f"not saturated (share of the core that the server used): {', '.join(idle)}")
    if traffic.measures:
        found.append(_of_others(traffic))
        found.append(_of_accounting(traffic))
    return found


def _idle(traffic: Traffic) -> list[str]:
    found = []
    for server, mix in dict.fromkeys((one.server, one.mix) for one in traffic.measures):
        busy = statistics.median(
            one.cpu_s / one.seconds for one in traffic.measures if (one.server, one.mix) == (server, mix)
        )
        if busy < LEAST_BUSY:
            found.append(f"{server} {mix} {busy:.0%}")
    return found


def _of_others(traffic: Traffic) -> str:
    seconds = sum(one.seconds for one in traffic.measures)
    others = sum(one.others_s for one in traffic.measures) / seconds / 2
    steal = sum(one.steal_s for one in traffic.measures) / seconds / 2
    text = f"other processes took {others:.1%} of the two cores during the measurements, the hypervisor {steal:.1%}"
    return text if others < 0.05 else f"**{text}: the machine was not quiet**"


def _of_accounting(traffic: Traffic) -> str:
    long = [one for one in traffic.measures if one.cpu_s >= LONG_ENOUGH_S]
    if not long:
        return "no measurement was long enough to compare the two ways of counting processor time"
    apart = statistics.median(abs(one.user_s + one.system_s - one.cpu_s) / one.cpu_s for one in long)
    most = max(abs(one.user_s + one.system_s - one.cpu_s) / one.cpu_s for one in long)
    return (
        "user + system time of `stat` (10 ms) and the process's clock (nanoseconds; used here) differ by "
        f"{apart:.1%} (median), {most:.1%} at most"
    )
