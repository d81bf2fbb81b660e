"""Raise the level of a fleet, once all edges read it: those with a record, and those whose statuses come now."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

from nats.aio.msg import Msg

from dnsd.fleet.access import NODE_NAME, STATUSES
from dnsd.fleet.edge_record import EDGES_PREFIX
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.level import TOLD_LEVEL, LevelError, NodeLevel, level_of, older_nodes, raised
from dnsd.fleet.node import FleetNode
from dnsd.fleet.shared_object import change_shared, shared_value
from dnsd.fleet.subjects import META, name_of

LISTEN_S = 3.0  # an edge tells its status each second
MAX_EDGES = 10_000  # that are counted
MAX_STATUS = 64 * 1024  # octets


async def fleet_level(node: FleetNode) -> int:
    """The level of a fleet. Raises as `shared_value` does."""
    return (await shared_value(node, META)).level


async def raise_level(node: FleetNode, level: int, *, is_forced: bool = False) -> int:
    """Give a fleet a higher level; return the one before.

    Raises LevelError if an edge is older or, unless forced, cannot be heard; and the errors of `change_shared` and
    `fetched_state`.
    """
    found = await shared_value(node, META)
    raised(found.meta, level)  # raises what can be told at once
    if level == found.level:
        return level
    if older := older_nodes(await _edges(node, has_silent=not is_forced), level):
        raise LevelError(f"not all edges read level {level}: {'; '.join(older)}: nothing was changed")
    return (await change_shared(node, META, lambda now: raised(now.meta, level), "fleet.level")).level


async def _edges(node: FleetNode, *, has_silent: bool) -> list[NodeLevel]:
    """The edges whose statuses come within LISTEN_S; with those that have a record and tell nothing, if wanted."""
    heard: dict[str, NodeLevel] = {}

    async def take(message: Msg) -> None:
        name = message.subject.split(".")[2]
        if message.reply or message.headers or len(message.data) > MAX_STATUS or not NODE_NAME.fullmatch(name):
            return  # an edge has aimed a consumer at it
        if name in heard or len(heard) < MAX_EDGES:
            heard[name] = NodeLevel(name, level_of(message.data, without=TOLD_LEVEL))

    link = await node.line.link()
    subscription = await link.listen(STATUSES, take)
    try:
        end = time.monotonic() + LISTEN_S
        names = await _recorded(node) if has_silent else []
        await asyncio.sleep(max(0.0, end - time.monotonic()))
    finally:
        await link.unlisten(subscription)
    return [*heard.values(), *(NodeLevel(name) for name in names if name not in heard)]


async def _recorded(node: FleetNode) -> list[str]:
    """The names of the edges that have a record."""
    found = []
    async with fetched_state(node) as state:
        with closing(state.reader.state()) as whole:
            for kept in whole.objects(EDGES_PREFIX):
                try:
                    found.append(name_of(kept.subject.removeprefix(EDGES_PREFIX)))
                except ValueError:  # of a later version
                    continue
    return found
