"""Zones that an earlier process has read and packed, for a start to take over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dnsd.engine.snapshot import Snapshot
from dnsd.store.directory import Files, SourceFile
from dnsd.store.objects import ReadZone


class KeptZones(Protocol):
    """What was kept of them."""

    def files(self, root: str) -> Files | None:
        """The files of the zones, below the folder `root`, to be taken over where their status has not changed."""

    def read(self, file: SourceFile, account_id: str, nameservers: tuple[str, ...]) -> ReadZone | None:
        """The zone in a file; None if it was not kept, or depends on something that has changed."""

    def snapshot(self, zones: Mapping[str, ReadZone]) -> Snapshot | None:
        """The snapshot to build on, with those of a load's zones that were kept; None without any."""


class _NothingKept:
    def files(self, root: str) -> None:
        return None

    def read(self, file: SourceFile, account_id: str, nameservers: tuple[str, ...]) -> None:
        return None

    def snapshot(self, zones: Mapping[str, ReadZone]) -> None:
        return None


NOTHING_KEPT = _NothingKept()
