"""What a control runs for edges: it answers their questions, and lets new ones in if its settings ask for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from dnsd.fleet.ask_service import AskService
from dnsd.fleet.join_service import JoinService
from dnsd.fleet.node import NodeService
from dnsd.log import Log
from dnsd.settings.role import FleetSettings


def control_services(
    identity: Path, fleet: FleetSettings, note: Callable[[str, str], None], log: Log
) -> list[NodeService]:
    """The services of a control; `note` gets the name of one and what is wrong with it, as `note_trouble` does."""
    services: list[NodeService] = [AskService(identity, partial(note, "asks")).run]
    if fleet.join:
        services.append(JoinService(identity, fleet.join.listen, partial(note, "join"), log).run)
    return services
