"""The clock of the verification of zones: each unverified zone is looked up by resolvers, less and less often."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from dnsd.control.control import Control
from dnsd.control.outside import AwayError
from dnsd.manage.audit_entries import SERVER
from dnsd.manage.draft import Draft
from dnsd.manage.refusal import Reason, RefusedError, refused
from dnsd.manage.service import Actor
from dnsd.manage.tokens import Token
from dnsd.manage.verification import is_proven, verification_name, verify_proven
from dnsd.model.dataset import Dataset
from dnsd.model.zones import Zone
from dnsd.outbound.protocol import AnswerKind, OutsideAnswer, OutsideQuestion
from dnsd.wire.rdata import NS, TXT

LOOK_S = 0.5
FIRST_S, LAST_S = 60.0, 6 * 3600.0  # from one check of a zone to the next: doubled each time, up to the last
ASKED_AGAIN_S = 300.0  # at least, from one request for a check of a zone to the next
MAX_DOUBLED = 20  # times
MAX_AT_ONCE, MAX_OF_ACCOUNT = 20, 2  # checks
NOTHING = OutsideAnswer(AnswerKind.NO_DATA)

VerifyingChange = Callable[[Actor, str, Callable[[Draft], None]], Awaitable[object]]


@dataclass(slots=True)
class Checking:
    """The checks of one zone; times on the monotonic clock."""

    due: float
    checks: int = 0
    asked_at: float | None = None  # the last request for a check
    is_running: bool = False


class Verifier:
    """Checks unverified zones, and marks those with a proof as verified."""

    def __init__(self, control: Control, change: VerifyingChange) -> None:
        """`change` carries out a verb, as in `Service`."""
        self._current = control.current
        self._outside = control.outside
        self._log = control.setup.log
        self._change = change
        self._resolvers = tuple((address.host, address.port) for address in control.setup.settings.resolver)
        self._zones: dict[str, Checking] = {}
        self._seen: Dataset | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def follow(self) -> None:
        """Check zones when they are due, forever; without `resolver`, check none."""
        while True:
            if self._resolvers and self._outside.is_connected and self._current.loaded:
                self.look(self._current.loaded.dataset, time.monotonic())
            await asyncio.sleep(LOOK_S)

    def look(self, dataset: Dataset, now: float) -> None:
        """Start the checks that are due, as many as may run at once; zones with few checks come first."""
        if dataset is not self._seen:
            self._seen = dataset
            found = [zone.id for zone in dataset.zones.values() if not zone.verified]
            self._zones = {one: self._zones.get(one) or Checking(now) for one in found}
        busy = Counter(dataset.zones[one].account_id for one, state in self._zones.items() if state.is_running)
        due = [(state.checks, state.due, one) for one, state in self._zones.items() if state.due <= now]
        for _, _, zone_id in sorted(due):
            zone, state = dataset.zones[zone_id], self._zones[zone_id]
            if busy.total() >= MAX_AT_ONCE:
                return
            if state.is_running or busy[zone.account_id] >= MAX_OF_ACCOUNT:
                continue
            busy[zone.account_id] += 1
            state.is_running = True
            task = asyncio.create_task(self._check(zone, state))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def ask(self, zone: Zone) -> None:
        """Check a zone soon, at its account's request. Raises RefusedError if it asked a moment ago."""
        state, now = self._zones.get(zone.id), time.monotonic()
        if zone.verified or state is None:  # not seen yet: it is checked soon anyway
            return
        if state.asked_at is not None and now - state.asked_at < ASKED_AGAIN_S:
            wait = f"{int(state.asked_at + ASKED_AGAIN_S - now) + 1} s"
            raise refused(Reason.TOO_SOON, f"the zone is checked at most every {ASKED_AGAIN_S:.0f} s: wait {wait}")
        state.asked_at, state.due, state.checks = now, now, 0

    async def _check(self, zone: Zone, state: Checking) -> None:
        started = time.monotonic()
        try:
            name = verification_name(zone)
            servers, texts = await asyncio.gather(self._ask(zone.name, NS), self._ask(name, TXT))
            if state.due <= started:  # else its account asked for another check meanwhile
                state.due = time.monotonic() + min(LAST_S, FIRST_S * 2**state.checks)
                state.checks = min(state.checks + 1, MAX_DOUBLED)
            loaded = self._current.loaded
            if loaded and zone.id in loaded.dataset.zones and is_proven(loaded.dataset, zone, servers, texts):
                await self._change(_actor(), "zone.verify", lambda draft: verify_proven(draft, zone, servers, texts))
                self._log.info(f"{zone.name_text} is verified: resolvers found the proof of {zone.key}")
        except AwayError:
            return  # it is checked once the process is back
        except RefusedError as error:
            self._log.warning(f"{zone.name_text} has the proof of {zone.key}, but cannot be verified: {error}")
        except Exception as error:  # other zones must not wait for a person
            self._log.error(f"{zone.name_text} cannot be checked: {type(error).__name__}: {error}")
        finally:
            state.is_running = False

    async def _ask(self, name: bytes | None, rtype: int) -> OutsideAnswer:
        return await self._outside.ask(OutsideQuestion(name, rtype, self._resolvers)) if name else NOTHING


def _actor() -> Actor:
    """The server itself, for the audit log and the history."""
    token = Token(id=SERVER, name="the server", created_at=datetime.now(UTC))
    return Actor(token, "", "verified by resolvers")
