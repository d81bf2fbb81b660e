"""The port of sessions: what is kept of each signed-in user's session, wherever it is kept. Types alone.

The state folder of a server alone is one such place (`manage/session_file.py`), a fleet is another
(`fleet/shared_sessions.py`). Only the hashes of secrets are kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

LIFETIME = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class BegunSession:
    """The digest of the token's secret that a session stands for, and its start."""

    token: str
    at: datetime


class SessionRecords(Protocol):
    """The sessions that have begun and not been ended, each by the digest of its secret; some may be over."""

    def begun(self) -> Mapping[str, BegunSession]:
        """All of them, oldest first, from memory."""

    def begin(self, digest: str, session: BegunSession, forgotten: Collection[str]) -> None:
        """Keep a new one, and forget others. Blocks. Raises OSError if it cannot be kept beyond this process."""

    def end(self, digest: str) -> None:
        """Forget one. Blocks. Raises OSError if it may come back with the next process."""
