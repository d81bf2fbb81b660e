"""The running server for the API: carries out changes, logs them, and replies once every worker serves them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from dnsd.api.codes import code_of, logged_text_of
from dnsd.api.turns import in_turns, planned
from dnsd.app import Loaded
from dnsd.control.change_request import ChangeRequest, not_written
from dnsd.control.control import Control
from dnsd.control.edge_changes import edit_edge
from dnsd.control.newer_data import on_newer_data
from dnsd.control.recording import Recorder
from dnsd.control.sampling import sample_traffic
from dnsd.control.scheduler import Scheduler
from dnsd.control.status import COLLECT_S, brake_state, problems_for_operator
from dnsd.control.verifier import Verifier
from dnsd.manage.acts import Act
from dnsd.manage.asked import Asked
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.audit_search import FoundEntries, LogQuery
from dnsd.manage.brake import author_of
from dnsd.manage.brake_state import BrakeState, author_key
from dnsd.manage.change import Pace
from dnsd.manage.draft import Draft
from dnsd.manage.drains import DrainBook
from dnsd.manage.find import find_account
from dnsd.manage.fleet_view import EdgeChange, FleetEdges
from dnsd.manage.loa import LoaDocuments
from dnsd.manage.recent import RecentQuestions
from dnsd.manage.refusal import GuessError, Reason, RefusedError, refused
from dnsd.manage.service import Actor
from dnsd.manage.token_changes import TokenChange, accounts_of, change_between, token_data, tokens_of
from dnsd.manage.token_port import Tokens
from dnsd.manage.tokens import Token
from dnsd.manage.traffic import Traffic
from dnsd.manage.traffic_files import TrafficFiles
from dnsd.manage.validation import Validation, Validations, validated
from dnsd.manage.vrps import VrpFile
from dnsd.manage.writes import TooManyWritesError, Writes, writes_limit
from dnsd.model.accounts import Account, Prefix
from dnsd.model.observed import FeedFields, Observed
from dnsd.model.quota_rules import quotas_of
from dnsd.model.zones import Zone
from dnsd.process.tasks import in_thread
from dnsd.store.port import EvidenceError, StoreAwayError

T = TypeVar("T")
SERVED_WITHIN_S = 5.0  # a slower worker is not waited for
SWEEP_S = 3600.0
MAX_WAITING = 100  # changes of one author: more than it may have connections wait for clients that have gone


class ControlService:
    """Carries out requests of the API and the dashboard."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._current = control.current
        self._changes = control.changes
        self._publisher = control.publisher
        self._log, state = control.setup.log, control.setup.state.folder
        self.history = control.history
        self.loa = LoaDocuments(state, self._log.error)
        self.validations = Validations(state, self._log.error)
        self._vrps = VrpFile()
        self._validating = asyncio.Lock()  # one validation at a time
        self._audit = control.audit
        self._acts = control.acts
        self._acts.settle()
        self.tokens = control.tokens
        if problem := self.tokens.without_damage():
            self._log.error(problem)
        self.traffic = Traffic()
        self.recent = RecentQuestions(self._publisher.samples.questions)
        self.schedule = Scheduler(control, self.history, self.change)
        self.verifier = Verifier(control, self.change)
        self._recorder = Recorder(self._audit, self.history, self._log)
        self._changes.record_earlier = self._recorder.record_earlier
        self._writes = Writes()
        self._unread: set[str] = set()  # files of the audit log that could not be read, told already

    @property
    def loaded(self) -> Loaded:
        """The loaded data. Raises RefusedError if the files cannot be used."""
        if self._current.loaded is None:
            raise refused(Reason.NOT_LOADED, "the accounts' files cannot be used: run `dnsd check` for the reasons")
        return self._current.loaded

    @property
    def observed(self) -> Observed:
        """The last observation of each route."""
        return self._control.observer.observed

    async def feed(self, actor: Actor, feed: FeedFields) -> None:
        """Take the observations of routes that a token sends, and apply them to answers. Raises RefusedError."""
        await self._control.observer.feed(actor.token, feed)
        await self._publisher.wait_until_served(self._publisher.revision, SERVED_WITHIN_S)

    @property
    def drains(self) -> DrainBook:
        """The drains of all maps."""
        return self._current.drains.book

    async def asked(self) -> Asked:
        """What is known about recent questions; workers that are slow to send theirs are left out, and named."""
        silent = await self._publisher.collect_samples(COLLECT_S)
        return Asked(self.recent, self.traffic.by_zone(), tuple(silent))

    def late(self) -> list[str]:
        """The names of workers that do not serve the last change yet."""
        return self._publisher.late(self._publisher.revision)

    @property
    def fleet(self) -> FleetEdges | None:
        """The edges of the fleet; None on a server that is not a control."""
        return self._control.fleet

    async def edit_edge(self, actor: Actor, name: str, change: EdgeChange) -> None:
        """Change the record of an edge, with its entry in the audit log. Raises RefusedError."""
        await edit_edge(self._control, actor, name, change)

    def problems(self) -> list[str]:
        """Problems of the running server, for its operator."""
        return problems_for_operator(self._control)

    async def audit(self, actor: Actor, query: LogQuery) -> FoundEntries:
        """Search the audit log, in turns with others."""
        found = await in_turns(actor, self._audit.search(query).steps())
        unread = {str(one) for one in found.unread}
        for problem in sorted(unread - self._unread):
            self._log.error(f"the audit log cannot be searched as a whole: {problem}")
        self._unread = unread if query.accounts is None else self._unread | unread
        return found

    async def sample(self) -> None:
        """Sample the traffic, forever."""
        files = TrafficFiles(self._control.setup.state.folder)
        await sample_traffic(self.traffic, files, self._publisher, self._log)

    async def sweep(self) -> None:
        """Delete the letters of agency of accounts that are long gone, forever."""
        while True:
            if self._current.loaded:
                accounts = self._current.loaded.dataset.accounts
                try:
                    await in_thread(partial(self.loa.sweep, accounts, datetime.now(UTC)))
                except OSError as error:
                    self._log.error(f"LOA documents of accounts that are gone cannot be deleted: {error}")
            await asyncio.sleep(SWEEP_S)

    async def change(self, actor: Actor, action: str, verb: Callable[[Draft], T]) -> tuple[T, Loaded]:
        """Carry out a verb, publish its change, and return its result and the loaded data. Raises RefusedError."""
        request, pace = ChangeRequest(actor, action), Pace()

        def make(loaded: Loaded) -> tuple[T, Draft]:
            request.draft = draft = Draft(loaded, datetime.now(UTC), by_operator=actor.token.is_operator)
            draft.author = author_of(actor.token)
            draft.is_hurried = pace.is_hurried
            result = verb(draft)
            request.replaced = draft.touched()
            with suppress(OSError):  # a change that needs evidence fails later
                self.history.secure(request.replaced)
            request.witness = None
            if draft.notes and loaded.settings.audit.applies(action, removes=draft.removes):
                draft.witness = partial(request.testimony, self.history)
            return result, draft

        try:
            changed = await self._changes.change(make, actor.token.author.id, pace)
        except (RefusedError, OSError) as error:
            request.forget()
            request.refusal = error if isinstance(error, RefusedError) else not_written(error)
            if request.refusal is not error:
                self._log.error(f"{action}: {request.refusal}")
            await self._recorder.record(request)
            if isinstance(error, GuessError) and not actor.token.is_operator:
                self._writes.miss(actor.token, self._writes_limit(actor.token), time.monotonic())
            try:
                raise request.refusal from None
            finally:
                request.refusal = None
        request.forget()
        if request.draft and request.draft.notes:
            request.after, request.revision = changed.loaded, changed.revision
            self._log.info(f"{action}: revision {changed.revision}, by {request.by}")
            await self._recorder.record(request)  # before any other wait: versions of an object stand in order
        if not self._control.loader.last.ok:
            await self._publisher.save()  # a restart could not load the files: it would serve the snapshot file
        await self._current.until_kept()
        await self._publisher.wait_until_served(changed.revision, SERVED_WITHIN_S)
        return changed.result, changed.loaded

    async def catch_up(self) -> None:
        """Have the last tokens and sessions, if other controls change them, too."""
        if self._control.shared:
            await self._control.shared.catch_up()

    async def change_tokens(self, actor: Actor, action: str, verb: Callable[[Tokens], TokenChange]) -> TokenChange:
        """Carry out a verb on the tokens and log it. Raises RefusedError and TokenFileError."""
        entry = partial(Entry, at=datetime.now(UTC), token=actor.token, client=actor.client, action=action)
        begun: list[Act] = []

        def testify(before: Sequence[Token], after: Sequence[Token]) -> None:
            made = self._token_entry(entry, change_between(before, after))
            try:
                begun.append(self._acts.begin(made, made.object))
            except EvidenceError as error:
                raise not_written(error) from None

        def carry_out() -> TokenChange:
            try:
                change = verb(self.tokens.attested(testify) if needs_evidence else self.tokens)
            except BaseException as error:
                for act in begun:
                    if isinstance(error, StoreAwayError):  # perhaps it is done
                        self._acts.leave(act)
                    else:
                        self._acts.end(act, is_done=False)
                raise
            for act in begun:
                self._acts.end(act, is_done=True)
            return change

        needs_evidence = self._current.settings.audit.applies(action, removes=False)
        try:
            change = await in_thread(carry_out)
        except (RefusedError, OSError) as error:
            refusal = error if isinstance(error, RefusedError) else not_written(error)
            if isinstance(error, RefusedError) or not begun:
                code, message = code_of(refusal.faults[0]).number, logged_text_of(refusal)
                await self._append(entry(object="tokens", outcome=Outcome.REFUSED, code=code, message=message))
            raise refusal from None
        if not begun:
            await self._append(self._token_entry(entry, change))
        self._log.info(f"{action}: {change.token.id}, by {actor.token.name or actor.token.id}")
        return change

    def _token_entry(self, entry: Callable[..., Entry], change: TokenChange) -> Entry:
        """The entry of a change of tokens that was made, or is about to be."""
        dataset = self._current.loaded.dataset if self._current.loaded else None
        seen = [one for one in (change.before, change.after, *change.also_revoked) if one]
        accounts = {one for token in seen for one in accounts_of(token, dataset) or {""}} if dataset else set()
        return entry(
            object=f"tokens/{change.token.id}",
            account_id=next(iter(accounts)) if len(accounts) == 1 else "",
            outcome=Outcome.OK,
            message=f"and {len(change.also_revoked)} made from it" if change.also_revoked else "",
            before=token_data(change.before) if change.before else None,
            after=token_data(change.after) if change.after else None,
        )

    async def quotas(self, token: Token, account_id: str) -> dict[str, dict[str, Any]]:
        """Each quota of an account: its limit, its use, and whether the account's file sets it. Raises RefusedError."""
        loaded, now = self.loaded, time.monotonic()
        account = find_account(loaded.dataset, account_id)
        limits, own = quotas_of(account, loaded.settings.quotas), dict(account.quotas)
        used = asdict(loaded.uses[account.id])
        used["history_octets"] = await in_thread(partial(self.history.size, account.id))
        used["audit_octets"] = await in_thread(partial(self._audit.size, account.id))
        used["tokens"] = await in_thread(partial(tokens_of, self.tokens, loaded.dataset, account.id))
        used["writes_per_minute"] = self._writes.used(token, self._writes_limit(token), now)
        return {
            name: {"limit": getattr(limits, name), "used": used[name], "is_own": name in own}
            for name in type(limits).model_fields
        }

    def pace(self, token: Token) -> None:
        """Count a request to change something. Raises TooManyWritesError over a limit."""
        if self._changes.waiting_of(token.author.id) >= MAX_WAITING:
            what = f"{MAX_WAITING} changes of this token and those made from it wait already: wait for their responses"
            raise TooManyWritesError(what, SERVED_WITHIN_S)
        self._writes.take(token, self._writes_limit(token), time.monotonic())

    def _writes_limit(self, token: Token) -> int:
        dataset = self._current.loaded.dataset if self._current.loaded else None
        return writes_limit(token, dataset, self._current.settings.quotas)

    def brake(self) -> BrakeState:
        """The state of the brake and the guard."""
        return brake_state(self._control)

    async def release(self, actor: Actor, author: str, seconds: int) -> BrakeState:
        """Lift the brake for an author, or all if empty, for a time. Raises RefusedError and TokenFileError."""
        brake = self._control.brake
        key = author_key(brake.book, self.tokens, author)
        async with self._current.turn:
            await brake.release(key, seconds, actor.token, actor.client)
        return self.brake()

    async def act(self, actor: Actor, action: str, key: str, account_id: str, file: str, verb: Callable[[], T]) -> T:
        """Make or remove a file in the state folder, with its audit entry. Raises RefusedError and OSError."""
        entry = _entry(actor, action, key, account_id)
        needed = self._current.settings.audit.applies(action, removes=False)
        try:
            result = await in_thread(partial(self._acts.carry_out, entry, file, verb, needs_evidence=needed))
        except EvidenceError as error:
            raise not_written(error) from None
        self._log.info(f"{action}: {key}, by {actor.token.name or actor.token.id}")
        return result

    async def record(self, actor: Actor, action: str, key: str, account_id: str) -> None:
        """Write a request that changes no file of an account to the audit log."""
        await self._append(_entry(actor, action, key, account_id))
        self._log.info(f"{action}: {key}, by {actor.token.name or actor.token.id}")

    async def validate(self, actor: Actor, account: Account, prefix: Prefix) -> Validation:
        """Check a prefix now, and keep the result."""
        file = self._current.settings.advertisement.vrps_file(self._control.setup.config)
        async with self._validating:
            vrps = partial(self._vrps.covering, file) if file else None
            result = await in_thread(partial(validated, self.loaded.dataset, account, prefix, vrps, datetime.now(UTC)))
            there = [one for owner in self.loaded.dataset.accounts.values() for one in owner.prefixes]
            await in_thread(partial(self.validations.keep, prefix, result, there))
        await self.record(actor, "prefix.validate", account.key, account.id)
        return result

    def check_activation(self, zone: Zone) -> None:
        """Look up soon whether an unverified zone belongs to its account. Raises RefusedError if asked too often."""
        self.verifier.ask(zone)

    async def _append(self, entry: Entry) -> None:
        """Write an entry of the audit log."""
        if problem := await in_thread(partial(self._audit.append, entry)):
            self._log.error(problem)

    async def objection(self, actor: Actor, before: Loaded, after: Loaded) -> str:
        """The reason for which the brake would refuse a planned change if the actor made it now; empty without one."""
        trial = self._control.brake.trial()
        return await planned(actor, partial(trial.objection, author_of(actor.token), before, after))

    async def plan(self, actor: Actor, verb: Callable[[Draft], T]) -> tuple[Loaded, Loaded]:
        """The loaded data, and the data that a verb would make of it; changes nothing. Raises RefusedError.

        The verb is carried out again, on newer data, if it needs a file that a change has replaced meanwhile.
        """

        def drawn_up() -> tuple[Loaded, Loaded]:
            before = self.loaded
            draft = Draft(before, datetime.now(UTC), by_operator=actor.token.is_operator)
            verb(draft)
            return before, draft.load()

        return await on_newer_data(self._current, lambda: planned(actor, drawn_up))


def _entry(actor: Actor, action: str, key: str, account_id: str) -> Entry:
    """The entry of a request that changes no file of an account."""
    at, outcome = datetime.now(UTC), Outcome.OK
    return Entry(
        at=at, token=actor.token, client=actor.client, action=action, object=key, account_id=account_id, outcome=outcome
    )
