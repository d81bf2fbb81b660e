"""Observed routes in the running server: fed by tokens or a watched file, and applied to answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from dnsd.app import Loaded, with_observed
from dnsd.control.brake import Brake
from dnsd.control.change_queue import ChangeQueue
from dnsd.control.change_request import not_written
from dnsd.control.current import Current
from dnsd.control.loading import Loader
from dnsd.log import Log
from dnsd.manage.acts import Act, Acts
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.brake import ROUTES, Book, Overrun, author_of, judged, limit_of
from dnsd.manage.judge import moves_between
from dnsd.manage.refusal import Reason, refused
from dnsd.manage.tokens import Token
from dnsd.model.accounts import Account
from dnsd.model.advertisement import NO_ROUTES, Routes
from dnsd.model.fields import IPNetwork
from dnsd.model.observed import FeedError, FeedFields, Observed, changed_networks, without_new_withdrawals
from dnsd.process.tasks import in_thread
from dnsd.store.observations import FILE_NAME as OBSERVED
from dnsd.store.port import EvidenceError

LOOK_S = 1.0
RETRY = timedelta(seconds=10)  # between attempts to apply what the brake refused
MAX_TOLD = 20  # networks in log lines and audit entries at a time
WORDS = {True: "observed withdrawn", False: "no longer observed withdrawn"}


class RouteObserver:
    """Publishes changes of the observed routes: news, and news that has become too old."""

    def __init__(
        self,
        config: Path,
        current: Current,
        loader: Loader,
        changes: ChangeQueue,
        brake: Brake,
        acts: Acts,
        log: Log,
    ) -> None:
        self._config = config
        self._current = current
        self._loader = loader
        self._changes = changes
        self._brake = brake
        self._acts = acts
        self._log = log
        self._feeding = asyncio.Lock()
        self.waiting = ""  # the reason why new withdrawals in the watched file are not applied; empty if they are
        self._refused = NO_ROUTES  # by the brake
        self._retry_at = datetime.min.replace(tzinfo=UTC)

    @property
    def observed(self) -> Observed:
        """The last observation of each route."""
        return self._current.routes.observed

    @property
    def max_age(self) -> timedelta:
        """How long an observation counts."""
        return self._current.settings.advertisement.max_age

    async def watch(self) -> None:
        """Read the watched file and apply what is due, every LOOK_S, forever."""
        while True:
            await asyncio.sleep(LOOK_S)
            file = self._current.settings.advertisement.feed_file(self._config)
            async with self._feeding:
                await in_thread(partial(self._current.routes.read_file, file))
                await self._apply(self.observed, None)

    async def feed(self, token: Token, feed: FeedFields) -> None:
        """Take a token's observations, keep them and apply them. Raises RefusedError; nothing has changed then."""
        async with self._feeding:
            try:
                news = self.observed.with_feed(feed, token.id, datetime.now(UTC))
            except FeedError as error:
                raise refused(Reason.INVALID, str(error), *error.path) from None
            await self._apply(news, token)

    async def _apply(self, observed: Observed, token: Token | None) -> None:
        """Publish the data with the routes that count now, if they differ from those published, and keep them.

        The brake counts new withdrawals for the token or, without one, for the file. Over its limit, a token's feed is
        refused; a file's new withdrawals wait, and only what is advertised again, or too old, is published. A token's
        feed leaves them waiting.
        """
        now = datetime.now(UTC)
        due, own = observed.routes(now, self.max_age), observed.of_source(token.id if token else "")
        if self._current.loaded is None or due == self._current.loaded.observed:
            self.waiting = ""
            if token:
                await self._keep(observed, without_new_withdrawals(self._current.routes.applied, due, but=own))
            return
        if self.waiting and token is None and due == self._refused and now < self._retry_at:
            return
        async with self._current.turn:
            before = self._current.loaded
            if token:
                due = without_new_withdrawals(before.observed, due, but=own)
            loaded = await in_thread(partial(with_observed, before, due))
            judgement = await in_thread(partial(self._judged, before, loaded, token))
            if isinstance(judgement, Overrun):
                self._refuse(judgement, token)
                self._refused, self._retry_at = due, now + RETRY
                loaded = await in_thread(partial(with_observed, before, without_new_withdrawals(before.observed, due)))
            else:
                self.waiting = "" if token is None else self.waiting
                await self._brake.keep(judgement)
            is_changed = loaded.observed != before.observed
            entries = [*_entries(before, loaded, token)] if is_changed else []
            acts = await in_thread(partial(self._begun, entries)) if token and self._needs_evidence else []
            is_done = False
            try:
                if is_changed:
                    await self._current.replace(loaded, keep_good=False)
                    self._loader.note_change(loaded)
                    self._changes.note_unsaved()
                if is_changed or token:
                    await self._keep(observed, loaded.observed)
                is_done = True
            finally:
                await in_thread(partial(self._recorded, entries, acts, is_done=is_done))
        if is_changed:
            self._tell(before, loaded)

    @property
    def _needs_evidence(self) -> bool:
        return self._current.settings.audit.applies("route.feed", removes=False)

    def _begun(self, entries: Iterable[Entry]) -> list[Act]:
        """The acts of a feed, with their entries on the disk. Raises RefusedError. Blocks."""
        begun: list[Act] = []
        try:
            for entry in entries:
                begun.append(self._acts.begin(entry, OBSERVED))
        except EvidenceError as error:
            for act in begun:
                self._acts.end(act, is_done=False)
            raise not_written(error) from None
        return begun

    def _recorded(self, entries: Sequence[Entry], acts: Sequence[Act], *, is_done: bool) -> None:
        """Write the outcome of a feed. Blocks."""
        revision = self._current.loaded.snapshot.revision if self._current.loaded else None
        for act in acts:
            self._acts.end(act, is_done=is_done, revision=revision)
        if entries and not acts and is_done:
            self._acts.note(*(replace(one, revision=revision) for one in entries))

    async def _keep(self, observed: Observed, applied: Routes) -> None:
        await in_thread(partial(self._current.routes.keep, observed, applied))

    def _refuse(self, overrun: Overrun, token: Token | None) -> None:
        """Count and log a refusal by the brake. Raises RefusedError for a token's feed."""
        message = f"{overrun.message(time.time())}: `dnsd brake release {overrun.author.key}` lets them pass"
        if token:
            self._brake.refusals["token"] += 1
            raise refused(Reason.FORBIDDEN, message)
        if not self.waiting:
            self._brake.refusals["files"] += 1
            self._log.error(f"alarm: observed withdrawals wait: {message}")
        self.waiting = message

    def _judged(self, before: Loaded, after: Loaded, token: Token | None) -> Book | Overrun:
        """The brake's book with a change of routes. Addresses that come back are never refused."""
        book, reload = self._brake.book, after.settings.reload
        author = author_of(token) if token else ROUTES
        if author is None or not any(gone for _, gone in changed_networks(before.observed, after.observed)):
            return book
        moved = moves_between(before, after)
        limit = limit_of(len(before.dataset.accounts), reload.brake_limits, reload.window_s)
        return judged(book, author, moved.zones, moved.base, after.snapshot, limit, time.time())

    def _tell(self, before: Loaded, after: Loaded) -> None:
        """Log the networks that became withdrawn or are so no longer."""
        changed = changed_networks(before.observed, after.observed)
        for network, is_withdrawn in changed[:MAX_TOLD]:
            accounts = [*_with_prefix_at(after.dataset.accounts.values(), network)]
            whose = f", of {', '.join(one.key for one in accounts)}" if accounts else ""
            log = self._log.warning if is_withdrawn and accounts else self._log.info
            log(f"{network} is {WORDS[is_withdrawn]}{whose}")
        if len(changed) > MAX_TOLD:
            self._log.warning(f"and {len(changed) - MAX_TOLD:,} more routes changed")


def _entries(before: Loaded, after: Loaded, token: Token | None) -> Iterator[Entry]:
    """Audit entries for the accounts of the networks that became withdrawn or are so no longer."""
    for network, is_withdrawn in changed_networks(before.observed, after.observed)[:MAX_TOLD]:
        for account in _with_prefix_at(after.dataset.accounts.values(), network):
            yield Entry(
                at=datetime.now(UTC),
                token=token,
                client="",
                action="route.withdrawn" if is_withdrawn else "route.advertised",
                object=account.key,
                account_id=account.id,
                outcome=Outcome.OK,
                message=f"{network} is {WORDS[is_withdrawn]}",
            )


def _with_prefix_at(accounts: Iterable[Account], network: IPNetwork) -> Iterator[Account]:
    """The accounts with an approved prefix that overlaps a network."""
    for account in accounts:
        active = (one.cidr for one in account.prefixes if one.is_active and one.cidr.version == network.version)
        if any(cidr.overlaps(network) for cidr in active):
            yield account
