"""One object that belongs to no account, read at the leader and changed by compare-and-swap, without the state."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple
from uuid import uuid4

from dnsd.fleet.beginning import is_filling
from dnsd.fleet.fetch import NoStateError
from dnsd.fleet.heads import AccountState
from dnsd.fleet.last_message import last_message, shared_state
from dnsd.fleet.level import LevelError, level_of, level_problem
from dnsd.fleet.link import EngineRefusedError
from dnsd.fleet.node import FleetNode
from dnsd.fleet.stream import check_stream
from dnsd.fleet.subjects import META, SHARED
from dnsd.fleet.values import ValueFormatError
from dnsd.fleet.writer import Commit, ObjectWrite, StaleAccountsError, Writer

MOST_TRIES = 10  # of a change while others change shared objects
NO_STATE = "the fleet has no state yet: `dnsd fleet import` makes it"


class SharedValue(NamedTuple):
    """The value of a shared object, None without it; the state's first object, and the state of all shared ones."""

    value: bytes | None
    meta: bytes
    account: AccountState

    @property
    def level(self) -> int:
        """The fleet's level."""
        return level_of(self.meta)


async def shared_value(node: FleetNode, subject: str) -> SharedValue:
    """What the leader has of a shared object. Raises NoStateError, EngineRefusedError and NoAnswerError."""
    link = await node.line.link()
    if not await check_stream(link):
        raise NoStateError(NO_STATE)
    try:
        account = await shared_state(link)  # first: no commit on it is stored if others have written since
    except ValueFormatError as error:
        raise EngineRefusedError(f"the head of the shared objects: {error}") from None
    meta, found = await last_message(link, META), await last_message(link, subject)
    if meta.value is None:
        raise NoStateError(NO_STATE)
    return SharedValue(found.value, meta.value, account)


async def change_shared(
    node: FleetNode, subject: str, change: Callable[[SharedValue], bytes], action: str
) -> SharedValue:
    """Give a shared object another value, which `change` makes of what is there; return what was there.

    `change` may raise to end it, and is called anew if others have changed any shared object meanwhile. Raises
    LevelError, as `shared_value`, and as `Writer.commit` does.
    """
    for attempt in range(MOST_TRIES):
        found = await shared_value(node, subject)
        if is_filling(found.meta):
            raise NoStateError("the first import into the fleet's state is not complete: import again")
        if problem := level_problem(found.level):
            raise LevelError(problem)
        write = ObjectWrite(subject, found.value, change(found))
        if write.new == write.old:
            return found
        entry = json.dumps({"action": action, "node": node.name}).encode()
        try:
            await Writer(node.line.link).commit(Commit(str(uuid4()), entry, (write,), {SHARED: found.account}))
        except StaleAccountsError:
            if attempt == MOST_TRIES - 1:
                raise
            continue
        return found
    raise AssertionError("not reached")
