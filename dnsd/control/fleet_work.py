"""The part of this server in its fleet: an edge tells what its workers serve, a control keeps the table of edges."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from dnsd.control.control import Control
from dnsd.control.serving import ServedState
from dnsd.control.status import COLLECT_S, problems_for_operator
from dnsd.manage.fleet_view import ServingState

if TYPE_CHECKING:
    from dnsd.fleet.edge_presence import EdgePresence

EACH_S = 1.0  # between two statuses, if nothing changes
SPACING_S = 0.15  # at least; controls pass over what comes faster than 0.1 s
COLLECTED_S = 5.0  # between two collections of workers' counts


async def take_part(control: Control) -> None:
    """Take part in the fleet, forever; return if there is none."""
    if control.fleet:
        await control.fleet.run()
    if control.presence:
        await _tell(control, control.presence)


async def _tell(control: Control, presence: EdgePresence) -> None:
    """Send a status each second, and right after each change that all workers serve."""
    served, responses, collected_at = ServedState(control.current, control.publisher), 0, -math.inf
    while True:
        if time.monotonic() - collected_at >= COLLECTED_S:
            collected_at = time.monotonic()
            await control.publisher.collect(COLLECT_S)
            responses = _responses(control)
        await presence.tell(_state(control, served, responses))
        await asyncio.sleep(SPACING_S)
        await control.publisher.wait_until_served(served.awaited, EACH_S - SPACING_S)


def _responses(control: Control) -> int:
    """The number of answers since the start."""
    return int(sum(count for key, count in control.publisher.counts.items() if key[0] == "dnsd_responses_total"))


def _state(control: Control, served: ServedState, responses: int) -> ServingState:
    loaded, place = control.current.loaded, served.place()
    return ServingState(
        epoch=place.epoch,
        seq=place.seq,
        revision=place.revision,
        zones=len(loaded.dataset.zones) if loaded else 0,
        responses=responses,
        held=tuple(loaded.held) if loaded else (),
        problems=problems_for_operator(control),
    )
