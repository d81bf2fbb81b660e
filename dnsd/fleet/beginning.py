"""The beginning of a fleet's state: the stream, and the first object, which has the state's epoch.

Until the first import is complete, that object says so, and edges keep what they have: the servers may have lost a
state that edges still serve.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import uuid4

from dnsd.fleet.heads import AccountState
from dnsd.fleet.level import NEWEST_LEVEL
from dnsd.fleet.link import EngineRefusedError, NoAnswerError
from dnsd.fleet.node import FleetNode
from dnsd.fleet.stream import make_stream
from dnsd.fleet.subjects import META, SHARED
from dnsd.fleet.values import json_object
from dnsd.fleet.writer import Commit, ObjectWrite, Writer

T = TypeVar("T")

MAKE_TRIES, PAUSE_S = 10, 0.5  # a new cluster does not answer in its first seconds
FILLING = "is_filling"


async def make_state(node: FleetNode, replicas: int) -> None:
    """Make the stream, kept by `replicas` servers, and the first object of a state that is not filled yet.

    What is there stays. Notes a stream that fewer servers keep. Raises as `Writer.commit` does, and NoAnswerError.
    """
    found = await _make_stream(node, replicas)
    if found < replicas:
        node.note(
            f"warning: {found} of the {replicas} servers listed keep{'s' if found == 1 else ''} the state, "
            "as set by the first import: see docs/fleet.md, Fill it"
        )
    writer = Writer(node.line.link)
    if not await writer.guard(META):
        value = json.dumps({"epoch": str(uuid4()), "schema": 1, "level": NEWEST_LEVEL, FILLING: True}).encode()
        entry = json.dumps({"action": "fleet.begin", "node": node.name}).encode()
        writes = (ObjectWrite(META, None, value),)
        await writer.commit(Commit(str(uuid4()), entry, writes, {SHARED: AccountState()}))


def is_filling(meta: bytes) -> bool:
    """Whether the first import of a state is not complete, by its first object. Raises ValueFormatError."""
    return json_object(meta).get(FILLING) is True


def filled(meta: bytes) -> ObjectWrite:
    """The write by which a first import is complete. Raises ValueFormatError."""
    found = json_object(meta)
    del found[FILLING]
    return ObjectWrite(META, meta, json.dumps(found).encode())


def accepted(meta: bytes) -> ObjectWrite:
    """The write by which edges fetch the state anew, and serve it even if it has far fewer files.

    It gets another epoch: the word is for this state, and not for an older one that the servers may get later. Raises
    ValueFormatError.
    """
    return ObjectWrite(
        META, meta, json.dumps(json_object(meta) | {"epoch": str(uuid4()), "is_accepted": True}).encode()
    )


async def in_new_cluster(node: FleetNode, ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` returns, asked again for a while: a new cluster refuses requests, or does not answer, at first.

    Raises as `ask` and the node's line do; without a server, at once: there is nothing to wait for.
    """
    await node.line.link()
    for attempt in range(MAKE_TRIES):
        try:
            return await ask()
        except (NoAnswerError, EngineRefusedError) as error:  # refused, perhaps, as an earlier attempt is under way
            if attempt == MAKE_TRIES - 1 or (isinstance(error, EngineRefusedError) and not error.code):
                raise
            await asyncio.sleep(PAUSE_S)
    raise AssertionError("not reached")


async def _make_stream(node: FleetNode, replicas: int) -> int:
    async def make() -> int:
        return await make_stream(await node.line.link(), replicas)

    return await in_new_cluster(node, make)
