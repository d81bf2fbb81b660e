"""The metrics of a fleet's edges, on its controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter

from dnsd.control.control import Control
from dnsd.manage.fleet_view import EdgeState
from dnsd.metrics import Key

MAX_LABELLED = 500  # edges with a label of their own: those with the longest lags


def fleet_samples(control: Control) -> Iterator[tuple[Key, float]]:
    """The number of edges in each state, and the lags of those that have told theirs."""
    if control.fleet is None:
        return
    edges = control.fleet.edges()
    states = Counter(one.state for one in edges)
    for state in EdgeState:
        yield ("dnsd_fleet_edges", str(state)), states[state]
    told = sorted((one for one in edges if one.silence_s is not None), key=attrgetter("lag_s"), reverse=True)
    for one in told[:MAX_LABELLED]:
        yield ("dnsd_fleet_edge_lag_seconds", one.name), one.lag_s
