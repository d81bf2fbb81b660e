"""A node of a fleet: its name, its connection to the servers, and the follower that keeps its copy of the state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from dnsd.fleet.access import consumer_of
from dnsd.fleet.doors import control_doors, edge_doors
from dnsd.fleet.follower import FleetFollower, FollowerSettings
from dnsd.fleet.identity import load_identity
from dnsd.fleet.intake import Flushed
from dnsd.fleet.link import Line, LinkSettings
from dnsd.store.replica import Replica

T = TypeVar("T")


class FleetNode:
    """An edge or a control, by the identity in a folder."""

    def __init__(self, name: str, line: Line, settings: FollowerSettings) -> None:
        self.name = name
        self.line = line
        self._settings = settings

    def follower(
        self,
        replica: Replica,
        *,
        take: Callable[[Flushed], None] = lambda step: None,
        note: Callable[[str], None],
        caught_up: Callable[[], None] = lambda: None,
    ) -> FleetFollower:
        """Follows the state into a copy; the functions are as for `FleetFollower`."""
        return FleetFollower(self.line, replica, self._settings, take=take, note=note, caught_up=caught_up)


def edge_node(identity: Path, servers: tuple[str, ...], *, max_drop_percent: int) -> FleetNode:
    """An edge. Raises IdentityError."""
    name = load_identity(identity).name
    consumer = consumer_of(name)
    settings = FollowerSettings(consumer, edge_doors(consumer), max_drop_percent)
    return FleetNode(name, _line(name, identity, servers), settings)


def control_node(identity: Path, servers: tuple[str, ...]) -> FleetNode:
    """A control. Raises IdentityError."""
    name = load_identity(identity).name
    consumer = f"control-{name}"
    return FleetNode(name, _line(name, identity, servers), FollowerSettings(consumer, control_doors(consumer)))


def as_control(identity: Path, servers: tuple[str, ...], work: Callable[[FleetNode], Coroutine[Any, Any, T]]) -> T:
    """The result of work with a control's node, for which the event loop runs. Raises IdentityError, and as `work`."""

    async def run() -> T:
        node = control_node(identity, servers)
        try:
            return await work(node)
        finally:
            await node.line.close()

    return asyncio.run(run())


def _line(name: str, identity: Path, servers: tuple[str, ...]) -> Line:
    def options() -> Mapping[str, Any]:
        return load_identity(identity).connect_options()  # anew: the papers may have been renewed

    return Line(LinkSettings(name, servers, options))
