"""A node of a fleet: its name, its connection to the servers, and the follower that keeps its copy of the state."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from dnsd.errors import shown
from dnsd.fleet.access import consumer_of, is_control
from dnsd.fleet.doors import control_doors, edge_doors
from dnsd.fleet.follower import FleetFollower, FollowerSettings
from dnsd.fleet.identity import IdentityError, NodeIdentity, load_identity
from dnsd.fleet.intake import Flushed
from dnsd.fleet.jwt import parse_jwt
from dnsd.fleet.link import Line, LinkSettings
from dnsd.store.replica import Replica

T = TypeVar("T")


class FleetNode:
    """An edge or a control, by the identity in a folder."""

    def __init__(
        self, name: str, line: Line, settings: FollowerSettings, *, note: Callable[[str], None] = lambda text: None
    ) -> None:
        """`note` gets what the person at a command must know."""
        self.name = name
        self.line = line
        self.note = note
        self._settings = settings

    def follower(
        self,
        replica: Replica,
        *,
        take: Callable[[Flushed], None] = lambda step: None,
        note: Callable[[str], None],
        caught_up: Callable[[], None] = lambda: None,
        remark: Callable[[str], None] = lambda text: None,
        written: Callable[[str], int] = lambda epoch: 0,
    ) -> FleetFollower:
        """Follows the state into a copy; the functions are as for `FleetFollower`."""
        return FleetFollower(
            self.line,
            replica,
            self._settings,
            take=take,
            note=note,
            caught_up=caught_up,
            remark=remark,
            written=written,
        )


# What runs beside the follower while a node has its line, until cancelled; it raises nothing. Its connection may be
# replaced by another one at any time: ask the line again.
NodeService = Callable[[FleetNode], Coroutine[Any, Any, None]]


def edge_node(identity: Path, servers: tuple[str, ...], max_drop_percent: Callable[[], int]) -> FleetNode:
    """An edge; `max_drop_percent` is as for `FollowerSettings`. Raises IdentityError."""
    name = load_identity(identity).name
    consumer = consumer_of(name)
    settings = FollowerSettings(consumer, edge_doors(consumer), max_drop_percent)
    return FleetNode(name, _line(name, identity, servers), settings)


def control_node(identity: Path, servers: tuple[str, ...], max_drop_percent: int) -> FleetNode:
    """A control; `max_drop_percent` is as for `FollowerSettings`. Raises IdentityError."""
    name = load_identity(identity).name
    consumer = f"control-{name}"
    settings = FollowerSettings(consumer, control_doors(consumer), lambda: max_drop_percent)
    return FleetNode(name, _line(name, identity, servers), settings)


def as_control(
    identity: Path,
    servers: tuple[str, ...],
    work: Callable[[FleetNode], Coroutine[Any, Any, T]],
    *,
    note: Callable[[str], None] = lambda text: None,
) -> T:
    """The result of one command's work with a control's node, for which the event loop runs.

    `note` gets warnings. Raises IdentityError for papers that are not of a control or have expired, and as `work`.
    """
    papers = load_identity(identity)
    _check_papers(papers, note)

    async def run() -> T:
        consumer = f"control-{papers.name}-{secrets.token_hex(4)}"  # of its own: there may be several commands at once
        settings = FollowerSettings(consumer, control_doors(consumer), accepts_filling=True)
        node = FleetNode(papers.name, _line(papers.name, identity, servers), settings, note=note)
        try:
            return await work(node)
        finally:
            await node.line.close()

    return asyncio.run(run())


def _check_papers(papers: NodeIdentity, note: Callable[[str], None]) -> None:
    """Raises IdentityError: servers would only end the connection; notes an end that is near."""
    if not is_control(parse_jwt(papers.jwt)["nats"]):
        raise IdentityError(
            f"{shown(papers.folder)} has the papers of an edge; this needs those of a control, from `controls` in the "
            "root folder"
        )
    now, end = datetime.now(UTC), f"{papers.expires:%Y-%m-%d %H:%M} UTC"
    remedy = f"run `dnsd fleet renew FOLDER {papers.name}`, and copy cert.pem and user.jwt"
    if now >= papers.expires:
        raise IdentityError(f"the papers in {shown(papers.folder)} have expired, {end}: {remedy}")
    if now >= papers.renew_at():
        note(f"warning: the papers in {shown(papers.folder)} are valid until {end}: {remedy}")


def _line(name: str, identity: Path, servers: tuple[str, ...]) -> Line:
    def options() -> Mapping[str, Any]:
        return load_identity(identity).connect_options()  # anew: the papers may have been renewed

    return Line(LinkSettings(name, servers, options))
