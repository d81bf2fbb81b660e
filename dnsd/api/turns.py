"""Work for requests that may take long, in short turns: reads and pages; and apart from them, plans and slow changes.

To load a changed account cannot be divided, and reads shall not wait for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from dnsd.model.record_parts import Steps
from dnsd.process.turns import FairTurns, Presence, at_once

if TYPE_CHECKING:  # control imports this without an API, too
    from dnsd.manage.service import Actor

T = TypeVar("T")
STRANGERS = ""  # the author of all work for clients without a token: an address costs them nothing
_reads = FairTurns()
_plans = FairTurns(is_new_first=False)  # a plan holds much until its end
_effects = FairTurns()


async def in_turns(actor: Actor, steps: Steps[T]) -> T:
    """The result of an actor's work in steps. Raises ClientGoneError, as the others."""
    return await in_turns_of(actor.token.author.id, actor.presence, steps)


async def in_turns_of(author: str, presence: Presence, steps: Steps[T]) -> T:
    """The result of work in steps for an author, or for STRANGERS."""
    return await _reads.run(author, steps, presence)


async def aside(actor: Actor, work: Callable[[], T]) -> T:
    """The result of an actor's work in one step, which grows with a tenant's data."""
    return await in_turns(actor, at_once(work))


async def planned_in_turns(actor: Actor, steps: Steps[T]) -> T:
    """The result of an actor's work in steps on the effects of a change on all data."""
    return await _plans.run(actor.token.author.id, steps, actor.presence)


async def planned(actor: Actor, work: Callable[[], T]) -> T:
    """The same for work in one step."""
    return await _plans.run(actor.token.author.id, at_once(work), actor.presence)


async def after_change(actor: Actor, work: Callable[[], T]) -> T:
    """The result of an actor's work on the effects of a change just made: its response shall not wait for plans."""
    return await _effects.run(actor.token.author.id, at_once(work), actor.presence)


async def planned_by(author: str, work: Callable[[], T]) -> T:
    """The same for an author's change that is to be made, whether or not the client is still there."""
    return await _plans.run(author, at_once(work))
