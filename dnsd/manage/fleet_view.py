"""A fleet's edges as its operator sees and changes them, and what an edge tells of itself. Types alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from dnsd.store.port import Op


class EdgeState(StrEnum):
    """The state of an edge, the worst of those that apply."""

    SILENT = "silent"  # it has told nothing for SILENT_S
    DRAINED = "drained"  # by its operator
    LAGGING = "lagging"  # it answers by an older state than this control
    PROBLEMS = "problems"  # it tells of problems, such as held accounts
    OK = "ok"


@dataclass(frozen=True, slots=True)
class ServingState:
    """What all workers of an edge serve: the fleet's epoch and number, and figures for its operator."""

    epoch: str
    seq: int
    revision: int
    zones: int
    responses: int  # since the start
    held: Sequence[str]  # accounts, by folder name
    problems: Sequence[str]


@dataclass(frozen=True, slots=True)
class EdgeView:
    """An edge: what its operator has said of it, and what it tells of itself. Without news, numbers are 0."""

    name: str
    state: EdgeState
    ring: int
    label: str
    is_drained: bool
    is_recorded: bool  # it has a record in the fleet's state
    silence_s: float | None  # since its last news; None: it has told nothing since this control's start
    seq: int = 0
    revision: int = 0
    lag_s: float = 0.0  # for which it has not served what the fleet has
    version: str = ""
    zones: int = 0
    rate: float = 0.0  # answers a second
    held: Sequence[str] = ()  # the first of the accounts
    held_total: int = 0
    problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class EdgeChange:
    """What an operator changes of an edge; None stays."""

    ring: int | None = None
    label: str | None = None
    is_drained: bool | None = None


class FleetEdges(Protocol):
    """The edges of a fleet, for a control."""

    def edges(self) -> list[EdgeView]:
        """All edges with a record or with news of the last seven days, by name."""

    async def late(self) -> list[str]:
        """The healthy edges that do not serve yet what this control has written, after a while; empty at once if none.

        Healthy are edges with news of the last seconds that are not drained.
        """

    def after(self, name: str, change: EdgeChange) -> tuple[dict[str, object] | None, dict[str, object]]:
        """The record of an edge as plain data, now (None without one) and with a change. Raises RefusedError."""

    async def change(self, name: str, change: EdgeChange, op: Op) -> None:
        """Write the record of an edge with a change, and its evidence. Raises RefusedError and OSError."""

    def unready(self) -> list[str]:
        """The reasons why this control cannot take changes, for load balancers."""
