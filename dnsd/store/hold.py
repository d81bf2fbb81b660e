"""Hold accounts in error at their last good version, so that a customer's mistake affects no other customer.

A changed account is held, as a whole, if it has an error or causes one in another account. The rest is judged again
with the last good files of held accounts, until no error is left: at worst nothing changes. If several accounts could
have caused an error, trials with the ordinary rules find the culprit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import NoReturn

from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.model.maps import MemberKind
from dnsd.model.pool import slips
from dnsd.store.directory import Files, SourceFile, account_of
from dnsd.store.holdings import holdings, zones_of
from dnsd.store.load import Judged, Loading, Stored

MAX_TRIALS = 64  # to find the cause of errors; after that, all suspects are held

Accounts = frozenset[str]  # by folder name


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """The data to serve: all valid accounts, and the last good version of held accounts."""

    stored: Stored
    files: Files
    held: Mapping[str, tuple[Problem, ...]]  # the reasons by account: errors with their places


# Whether an account barred from the pool may be removed, given its folder's name; None: slips were judged elsewhere.
MayGo = Callable[[str], bool] | None
Stopped = Mapping[str, tuple[Problem, ...]]  # accounts to hold for another reason than an error, and the reason


def load_served(
    loading: Loading, found: Files, good: Files, may_go: MayGo, stopped: Stopped = MappingProxyType({})
) -> Served:
    """Load the files `found`, holding accounts in error, and the `stopped` ones, at their last good version in `good`.

    So are accounts that the files would take off their bar from the pool by a slip (`model/pool.py`). An account in
    error without a good version is left out. Raises InvalidDataError with every problem if an error belongs to no
    account, or remains with all changed accounts at their good versions.
    """
    return _Judge(loading, found, good, may_go).served(stopped)


def changed_accounts(found: Files, good: Files) -> Accounts:
    """The accounts that differ from their last good version, including new and removed ones."""
    return _changed(found, _by_account(found), good, _by_account(good))


class WrongCopiesError(InvalidDataError):
    """Accounts in error cannot be held, as copies of their last good versions have errors, too."""

    def __init__(self, problems: Iterable[Problem], copies: Sequence[SourceFile]) -> None:
        super().__init__(problems)
        self.copies = copies


class _Judge:
    """Judges files with each account either current or last good."""

    def __init__(self, loading: Loading, found: Files, good: Files, may_go: MayGo) -> None:
        self._loading = loading
        self._may_go = may_go
        self._found, self._good = _with_times(found, good), good
        self._judged: dict[Accounts, Judged] = {}
        self._trials = 0

    @cached_property
    def _now(self) -> Mapping[str, Sequence[SourceFile]]:
        return _by_account(self._found)

    @cached_property
    def _before(self) -> Mapping[str, Sequence[SourceFile]]:
        return _by_account(self._good)

    @cached_property
    def _changed(self) -> Accounts:
        """The accounts that differ from their last good version, including new and removed ones."""
        return _changed(self._found, self._now, self._good, self._before)

    def served(self, stopped: Stopped) -> Served:
        """Hold accounts, the `stopped` ones first, until no error is left; return the rest with them."""
        held = {account: problems for account, problems in stopped.items() if account in self._changed}
        while True:
            judged = self._judge(frozenset(held))
            if blamed := dict(self._blamed(judged, frozenset(held)) or self._blocked_moves(judged, frozenset(held))):
                held |= blamed
            elif judged.has_errors:
                self._refuse(judged, frozenset(held))
            elif slipping := self._slipping(judged, frozenset(held)):
                held |= slipping
            else:
                return Served(self._accepted(judged), self._variant(frozenset(held)), dict(sorted(held.items())))

    def _refuse(self, judged: Judged, held: Accounts) -> NoReturn:
        """Raise the error for data that cannot be served."""
        problems = self._loading.placed(judged).values()
        wrong = {problem.source for problem in filter(_is_error, judged.own)}
        copies = [
            file
            for file in self._variant(held).files
            if file.key in wrong and file.path.startswith(f"{self._good.root}/")
        ]
        if copies:
            raise WrongCopiesError(problems, copies)
        raise InvalidDataError(problems)

    def _accepted(self, judged: Judged) -> Stored:
        """The judged data, without warnings about copies of good files, which users do not edit."""
        stored = self._loading.accept(judged)
        copies = self._good.root + "/"
        warnings = (one for one in stored.warnings if not (one.place and one.place.file.startswith(copies)))
        return replace(stored, warnings=tuple(warnings))

    def _blamed(self, judged: Judged, held: Accounts) -> Mapping[str, tuple[Problem, ...]]:
        """The accounts, not held yet, that have or cause errors; and their errors, with places."""
        found: dict[str, list[Problem]] = defaultdict(list)
        placed = self._loading.placed(judged)
        for problem in filter(_is_error, judged.own):
            if (account := account_of(problem.source)) in self._changed - held:
                found[account].append(placed[problem])
        # First hold accounts with errors of their own, next the sole causes of an error; judge again after each step.
        # Holding these may clear the other errors between objects, so that no more accounts need to be held.
        between = [*filter(_is_error, judged.between)]
        groups = _independent_groups(map(_sides, between))
        causes = {problem: _sides(problem) if found else self._causes(problem, held, groups) for problem in between}
        sole = (accounts for accounts in causes.values() if len(accounts) == 1)
        blamed = frozenset(found) or frozenset().union(*sole) or frozenset().union(*causes.values())
        for problem in between:
            for account in causes[problem] & blamed:
                explained = self._explained(placed[problem], problem, judged)
                is_own = account_of(problem.source) == account
                found[account].append(explained if is_own else self._caused(account, explained, judged))
        return {account: tuple(problems) for account, problems in found.items()}

    def _causes(self, problem: Problem, held: Accounts, groups: Mapping[str, Accounts]) -> Accounts:
        """The accounts, not held yet, that cause a problem between objects."""
        open_ = self._changed - held
        sides = _sides(problem) & open_
        if problem.other and account_of(problem.other) != account_of(problem.source) and sides:
            return sides if len(sides) == 1 else self._takers(problem, sides, held, groups)
        if len(open_) <= 1:
            return open_
        if len(sides) == 1 and (self._is_exhausted() or not self._persists(problem, held | sides)):
            return sides
        return self._culprits(problem, open_, held)

    def _takers(self, problem: Problem, sides: Accounts, held: Accounts, groups: Mapping[str, Accounts]) -> Accounts:
        """Of two accounts with the same claim, the one that did not have it before; both if neither had it."""

        def had_claim(account: str) -> bool:
            judged = self._judge(held | groups[account], is_trial=True)
            return any(_is_same_claim(one, problem) for one in filter(_is_error, judged.between))

        if self._is_exhausted():
            return sides
        takers = frozenset(account for account in sides if not had_claim(account))
        return takers or sides

    def _culprits(self, problem: Problem, among: Accounts, held: Accounts) -> Accounts:
        """The accounts that cause a problem, found by halving: it persists while all others are held."""
        if len(among) == 1 or self._is_exhausted():
            return among
        ordered = sorted(among)
        first = frozenset(ordered[: len(ordered) // 2])
        for half in (first, among - first):
            if self._persists(problem, held | (among - half)):
                return self._culprits(problem, half, held | (among - half))
        return among

    def _persists(self, problem: Problem, held: Accounts) -> bool:
        judged = self._judge(held, is_trial=True)
        return any((one.source, one.message) == (problem.source, problem.message) for one in judged.between)

    def _is_exhausted(self) -> bool:
        return self._trials >= MAX_TRIALS

    def _blocked_moves(self, judged: Judged, held: Accounts) -> Mapping[str, tuple[Problem, ...]]:
        """The accounts whose zone, prefix or static IP moved to a held account: no account would serve it."""
        others = self._changed - held
        if not held or not others or judged.has_errors:
            return {}
        now = holdings(self._judge(frozenset()), self._changed)
        before = holdings(self._judge(self._changed), others)
        found: dict[str, tuple[Problem, ...]] = {}
        for account in sorted(others):
            moved = [
                self._moved(account, what, to)
                for to in sorted(held)
                for what in before[account].missing_in(now[account]).now_in(now[to])
            ]
            if moved:
                found[account] = tuple(moved)
        return found

    def _slipping(self, judged: Judged, held: Accounts) -> Mapping[str, tuple[Problem, ...]]:
        """The accounts, not held yet, that would be taken off their bar from the pool by a slip."""
        if self._may_go is None or not (others := self._changed - held):
            return {}
        before = self._judge(self._changed).stored.dataset
        found = slips(before, judged.stored.dataset, self._may_go)
        return {one.source: (self._in_folder(judged, one),) for one in found if one.source in others}

    def _moved(self, account: str, what: str, to: str) -> Problem:
        message = f"{what} moved to {to}, which is held: {account} stays unchanged until {to} is fixed"
        return Problem(account, (), message, place=Place(f"{self._found.root}/{account}", 1, 1), other=to)

    def _explained(self, placed: Problem, problem: Problem, judged: Judged) -> Problem:
        """The problem; if its member moved to another account, the message says so."""
        read = judged.stored.objects.maps.get(problem.source)
        if problem.path[:1] != ("memberships",) or not read or not read.fields:
            return placed
        member = read.fields.memberships[int(problem.path[1])]
        account = account_of(problem.source)
        if member.kind is not MemberKind.ZONE or account not in self._changed:
            return placed
        before = zones_of(self._judge(self._changed), account)
        named = {zone.name_text: zone.name for zone in before} | {zone.id: zone.name for zone in before}
        name = named.get(member.identifier.lower().rstrip("."))
        for to in sorted(self._changed - {account}):
            if name in {zone.name for zone in zones_of(self._judge(frozenset()), to)}:
                return replace(placed, message=f"{placed.message}; it moved to {to}: remove the member", other=to)
        return placed

    def _caused(self, account: str, problem: Problem, judged: Judged) -> Problem:
        """A problem in another account's file, placed in the file of this account that causes it."""
        key = problem.other if account_of(problem.other) == account and problem.other else self._edited_key(account)
        caused = Problem(key, (), f"this causes an error in another account: {problem}", other=problem.source)
        return self._in_folder(judged, caused)

    def _in_folder(self, judged: Judged, problem: Problem) -> Problem:
        """The problem with its place in a file, else in the account's folder."""
        (placed,) = judged.stored.locate([problem])
        folder = f"{self._found.root}/{account_of(problem.source)}"
        return placed if placed.place else replace(placed, place=Place(folder, 1, 1))

    def _edited_key(self, account: str) -> str:
        """The object of the account's changed file; of several, the account itself if changed, else the first."""
        before, now = (
            {file.key: _text(file) for file in files.get(account, ())} for files in (self._before, self._now)
        )
        edited = {key for key in before.keys() | now.keys() if before.get(key) != now.get(key)}
        return account if account in edited or not edited else min(edited)

    def _judge(self, held: Accounts, *, is_trial: bool = False) -> Judged:
        """Judge the files, with held accounts at their last good version."""
        held &= self._changed
        if held not in self._judged:
            self._trials += is_trial
            self._judged[held] = self._loading.judge(self._variant(held))
        return self._judged[held]

    def _variant(self, held: Accounts) -> Files:
        """The files, with held accounts at their last good version."""
        accounts = sorted({*self._found.accounts} - held | {*self._good.accounts} & held)
        files = [
            file
            for account in accounts
            for file in (self._good_files(account) if account in held else self._now.get(account, ()))
        ]
        problems = [one for one in self._found.problems if account_of(one.source) not in held]
        problems += [one for one in self._good.problems if account_of(one.source) in held]
        return Files(self._found.root, tuple(accounts), tuple(files), tuple(problems))

    def _good_files(self, account: str) -> Iterator[SourceFile]:
        """The last good files of an account; those that are unchanged, as found now."""
        now = {file.key: file for file in self._now.get(account, ())}
        for file in self._before.get(account, ()):
            found = now.get(file.key)
            yield found if found and not found.problem and _text(found) == _text(file) else file


def _with_times(found: Files, good: Files) -> Files:
    """The files, with the earlier time of each unchanged file: the time is a zone's serial."""
    before = good.by_key()

    def timed(file: SourceFile) -> SourceFile:
        one = before.get(file.key)
        is_as_before = one and one.modified != file.modified and _text(one) == _text(file)
        return replace(file, modified=one.modified) if one and is_as_before else file

    return replace(found, files=tuple(map(timed, found.files)))


def _changed(
    found: Files, now: Mapping[str, Sequence[SourceFile]], good: Files, before: Mapping[str, Sequence[SourceFile]]
) -> Accounts:
    def texts(files: Mapping[str, Sequence[SourceFile]], account: str) -> set[object]:
        return set(map(_text, files.get(account, ())))

    in_error = {account_of(problem.source) for problem in found.problems if _is_error(problem)}
    present, known = set(found.accounts), set(good.accounts)
    edited = {name for name in present & known if texts(now, name) != texts(before, name)}
    return frozenset((present ^ known) | edited | in_error.intersection(present))


def _is_error(problem: Problem) -> bool:
    return not problem.warning


def _sides(problem: Problem) -> Accounts:
    """The account that has the problem, and the account that it clashes with."""
    return frozenset((account_of(problem.source), account_of(problem.other)))


def _independent_groups(clashes: Iterable[Accounts]) -> Mapping[str, Accounts]:
    """Each account of the clashes -> a group of accounts that do not clash: one trial serves the whole group."""
    rivals: dict[str, set[str]] = defaultdict(set)
    for sides in clashes:
        for account in sides:
            rivals[account] |= sides
    groups: list[set[str]] = []
    for account in sorted(rivals):
        group = next((one for one in groups if not one & rivals[account]), None)
        if group is None:
            groups.append({account})
        else:
            group.add(account)
    return {account: frozenset(group) for group in groups for account in group}


def _is_same_claim(one: Problem, other: Problem) -> bool:
    """Whether in both problems the same two accounts claim something of the same kind."""
    accounts = {account_of(one.source), account_of(one.other)}
    return accounts == {account_of(other.source), account_of(other.other)} and one.path[:1] == other.path[:1]


def _by_account(files: Files) -> Mapping[str, Sequence[SourceFile]]:
    found: dict[str, list[SourceFile]] = defaultdict(list)
    for file in files.files:
        found[account_of(file.key)].append(file)
    return found


def _text(file: SourceFile) -> object:
    """The properties that a file shares with its copy."""
    return file.key, file.kind, file.content.digest, file.problem is None
