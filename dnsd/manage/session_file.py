"""The file of sessions in the state folder, with only the hashes of their secrets."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from dnsd.manage.session_port import BegunSession
from dnsd.manage.state_names import SESSIONS
from dnsd.model.times import parse_time, time_text
from dnsd.store.kept_file import read_or_problem
from dnsd.whole_file import replacing

MAX_SIZE = 64 * 1024 * 1024  # octets; a larger file is not ours


class SessionFile:
    """The sessions of a running server; they survive a restart if the disk can be written."""

    def __init__(self, state: Path, report: Callable[[str], object] = str) -> None:
        """`report` is called with the problem of a damaged file."""
        self._file = state / SESSIONS
        found, problem = read_or_problem(
            self._file, parse_sessions, most=MAX_SIZE, consequence="all users have to sign in again"
        )
        if problem:
            report(problem)
        self._begun = found or {}  # by digest of the secret, oldest first

    def begun(self) -> Mapping[str, BegunSession]:
        """All sessions, oldest first."""
        return self._begun

    def begin(self, digest: str, session: BegunSession, forgotten: Collection[str]) -> None:
        """Keep a new session, and forget others. Raises OSError if that cannot be saved; it is valid anyway."""
        left = {key: one for key, one in self._begun.items() if key not in forgotten}
        self._begun = {**left, digest: session}
        self._write()

    def end(self, digest: str) -> None:
        """Forget a session. Raises OSError if that cannot be saved."""
        if self._begun.pop(digest, None):
            self._write()

    def keep(self, begun: Mapping[str, BegunSession]) -> None:
        """Have exactly these sessions. Raises OSError."""
        self._begun = dict(begun)
        self._write()

    def _write(self) -> None:
        saved = {digest: (begun.token, time_text(begun.at)) for digest, begun in self._begun.items()}
        with replacing(self._file) as out:
            out.write(json.dumps(saved).encode())


def parse_sessions(octets: bytes) -> dict[str, BegunSession]:
    """The sessions in a file. Raises ValueError, TypeError … for any deviation from the format."""
    begun = {}
    for digest, (token, at) in json.loads(octets).items():
        if not isinstance(token, str):
            raise TypeError
        begun[digest] = BegunSession(token, parse_time(at))
    return begun
