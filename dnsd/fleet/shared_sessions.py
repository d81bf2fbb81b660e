"""The sessions of a fleet's controls: each is an object that they share, until it is ended or its time has passed.

One who signs in writes one message, and one for each session that this ends; so no guard is needed.
"""

from __future__ import annotations

import asyncio
import errno
import json
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime

from dnsd.fleet.link import EngineRefusedError, Link, NoAnswerError, json_answer
from dnsd.fleet.shared_copy import SharedCopy
from dnsd.fleet.subjects import SESSIONS, token
from dnsd.fleet.writer import REMOVED, SHARED_MARKER_LIVES, STALE
from dnsd.manage.session_port import LIFETIME, BegunSession
from dnsd.model.times import parse_time, time_text
from dnsd.store.port import StoreAwayError

VERSION = 1
COPIED_WITHIN_S = 5.0
GIVE_UP_S = 5.0
AGAIN_S = 0.1
LATER_S = 5
SILENT = "the fleet's servers do not answer"
ENDED = {REMOVED: "DEL", "Nats-TTL": SHARED_MARKER_LIVES}


class SharedSessions:
    """The sessions in a copy, and changes of them. `link` gives the open connection, and raises NoAnswerError."""

    def __init__(self, copy: SharedCopy, link: Callable[[], Awaitable[Link]]) -> None:
        self._copy = copy
        self._link = link
        self._known: tuple[tuple[int, int], Mapping[str, BegunSession]] = ((-1, 0), {})

    def begun(self) -> Mapping[str, BegunSession]:
        """All sessions by the digests of their secrets, oldest first; read anew when the copy has changed."""
        version = self._copy.version(SESSIONS)
        if self._known[0] != version:
            found = {
                subject.removeprefix(SESSIONS): session
                for subject, kept in self._copy.objects.copy().items()
                if subject.startswith(SESSIONS) and (session := parse_session(kept.value))
            }
            now = datetime.now(UTC)
            for digest in [one for one, session in found.items() if now >= session.at + LIFETIME]:
                del found[digest]
                self._copy.forget(SESSIONS + digest)
            self._known = version, dict(sorted(found.items(), key=lambda one: one[1].at))
        return self._known[1]

    async def begin(self, digest: str, session: BegunSession, forgotten: Collection[str] = ()) -> None:
        """Keep a new session; on return, the copy has it. Forget others. Raises StoreAwayError and OSError."""
        now, known = datetime.now(UTC), self.begun()
        left_s = int((session.at + LIFETIME - now).total_seconds())
        if left_s < 1:
            return
        subject = SESSIONS + token(digest)
        # Only where it is new: a late message does not bring back a session that was ended meanwhile.
        headers = {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": f"{left_s}s"}
        await self._stored(subject, pack_session(session), headers)
        for other in forgotten:
            if (old := known.get(other)) and now >= old.at + LIFETIME:
                self._copy.forget(SESSIONS + other)
            else:
                await self._send_end(other)
        await self._copy.until(lambda: subject in self._copy.objects, COPIED_WITHIN_S)

    async def end(self, digest: str) -> None:
        """Forget a session. Raises StoreAwayError and OSError."""
        await self._stored(SESSIONS + token(digest), b"", ENDED)

    async def _send_end(self, digest: str) -> None:
        """Forget a session that is over or replaced: if the message is lost, the next sign-in sends it again."""
        try:
            link = await self._link()
            await link.publish(SESSIONS + token(digest), headers=dict(ENDED))
        except (NoAnswerError, EngineRefusedError):
            pass

    async def _stored(self, subject: str, value: bytes, headers: Mapping[str, str]) -> None:
        """Store a message, asking until the servers answer. Raises StoreAwayError and OSError."""
        end = time.monotonic() + GIVE_UP_S
        while True:
            try:
                link = await self._link()
                answer = json_answer((await link.request(subject, value, headers=dict(headers))).data)
                error = answer.get("error")
                if not isinstance(error, dict) or error.get("err_code") in STALE:  # an earlier attempt was stored
                    return
                raise OSError(errno.EIO, f"the fleet's servers refuse a session: {error.get('description')}")
            except (NoAnswerError, EngineRefusedError):
                if time.monotonic() >= end:
                    raise StoreAwayError(SILENT, LATER_S) from None
            await asyncio.sleep(AGAIN_S)


def pack_session(session: BegunSession) -> bytes:
    """The value of a session."""
    return json.dumps({"v": VERSION, "token": session.token, "at": time_text(session.at)}).encode()


def parse_session(value: bytes) -> BegunSession | None:
    """The session of a value; None if this version cannot read it."""
    try:
        found = json.loads(value)
        if found["v"] == VERSION and isinstance(found["token"], str):
            return BegunSession(found["token"], parse_time(found["at"]))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return None
