"""Observed routes: the last news of networks from routers or monitoring, and how long it counts. Values only."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import AwareDatetime, Field, StrictBool

from dnsd.model.advertisement import Routes
from dnsd.model.fields import Cidr, Fields, IPNetwork

MAX_FEED = 10_000  # routes in one feed
MAX_OBSERVED = 20_000  # routes known at a time
KEPT = timedelta(days=1)  # outdated observations are shown for this long; older ones are refused
SLACK = timedelta(minutes=1)  # between the clocks of a feed's sender and the server


class RouteFields(Fields):
    """The observed state of one route."""

    cidr: Cidr
    advertised: StrictBool


class FeedFields(Fields):
    """What routers or monitoring see. Routes that it does not name stay as they were."""

    observed_at: AwareDatetime | None = Field(default=None, description="default: now, or the time of the file")
    routes: tuple[RouteFields, ...] = Field(max_length=MAX_FEED)


class Observation(NamedTuple):
    """The last news of a route."""

    advertised: bool
    at: datetime
    source: str  # the id of a token; empty for the watched file


class FeedError(ValueError):
    """A feed that cannot be used; `path` is the place of its error."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Observed:
    """The last observation of each route."""

    by_network: Mapping[IPNetwork, Observation] = field(default_factory=dict)

    def routes(self, now: datetime, max_age: timedelta) -> Routes:
        """The routes whose observations still count."""
        return Routes({network: one.advertised for network, one in self.by_network.items() if now - one.at <= max_age})

    def with_feed(self, feed: FeedFields, source: str, now: datetime) -> Observed:
        """The observations with a feed's; older news does not replace newer. Raises FeedError."""
        at = feed.observed_at or now
        if at > now + SLACK:
            raise FeedError(f"{at.isoformat()} is in the future", "observed_at")
        if now - at > KEPT:
            raise FeedError(f"{at.isoformat()} is more than {KEPT.days * 24} hours ago", "observed_at")
        at = min(at, now)
        states: dict[IPNetwork, bool] = {}
        for index, route in enumerate(feed.routes):
            if states.setdefault(route.cidr, route.advertised) != route.advertised:
                raise FeedError(f"{route.cidr} is listed twice, with different states", "routes", index)
        kept = {network: one for network, one in self.by_network.items() if now - one.at <= KEPT}
        for network, state in states.items():
            known = kept.get(network)
            if known is None or known.at <= at:
                kept[network] = Observation(state, at, source)
        if len(kept) > MAX_OBSERVED:
            raise FeedError(f"{len(kept):,} routes would be known; the limit is {MAX_OBSERVED:,}", "routes")
        return Observed(kept)

    @property
    def states(self) -> Routes:
        """The last state of each route, of any age."""
        return Routes({network: one.advertised for network, one in self.by_network.items()})

    def of_source(self, source: str) -> set[IPNetwork]:
        """The networks whose last news came from a source."""
        return {network for network, one in self.by_network.items() if one.source == source}

    def without_waiting(self, applied: Routes) -> Observed:
        """The observations without withdrawals in the watched file that are not among the `applied` routes."""
        return Observed(
            {
                network: one
                for network, one in self.by_network.items()
                if one.advertised or one.source or applied.states.get(network) is False
            }
        )

    def at(self, network: IPNetwork) -> dict[IPNetwork, Observation]:
        """The observations of routes that overlap a network."""
        return {
            other: one
            for other, one in self.by_network.items()
            if other.version == network.version and other.overlaps(network)
        }


def changed_networks(old: Routes, new: Routes) -> list[tuple[IPNetwork, bool]]:
    """The networks that became withdrawn, with True, or are so no longer, with False."""
    gone = [network for network, state in new.states.items() if not state and old.states.get(network) is not False]
    back = [network for network, state in old.states.items() if not state and new.states.get(network) is not False]
    return [*((network, True) for network in gone), *((network, False) for network in back)]


def without_new_withdrawals(old: Routes, new: Routes, *, but: Container[IPNetwork] = ()) -> Routes:
    """The new routes, but those that became withdrawn stay as they were, except for the networks in `but`."""
    states = dict(new.states)
    for network, is_withdrawn in changed_networks(old, new):
        if is_withdrawn and network not in but:
            states.pop(network)
            if network in old.states:
                states[network] = old.states[network]
    return Routes(states)


def observation_data(network: IPNetwork, one: Observation) -> dict[str, Any]:
    """An observation as plain data, for its file."""
    return {"cidr": str(network), "advertised": one.advertised, "at": one.at.isoformat(), "source": one.source}
