"""The judgement of the files found: whether they are served, or last good ones in their place, or nothing new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dnsd.errors import InvalidDataError, Problem
from dnsd.model.dataset import Dataset
from dnsd.model.pool import slips
from dnsd.store.directory import Files
from dnsd.store.hold import MayGo, Served, Stopped, load_served
from dnsd.store.load import Judged, Loading
from dnsd.store.policies import changed_policies


@dataclass(frozen=True, slots=True)
class LastGood:
    """What was served last: all files; these without zones; and the data, if this process has it."""

    files: Callable[[], Files | None]
    policies: Callable[[], Files | None]
    data: Dataset | None


def judge_and_load(
    loading: Loading,
    found: Files,
    last: LastGood,
    may_go: MayGo,
    stopped: Stopped,
    *,
    may_hold: bool,
    was_held: bool,
) -> Served:
    """Load the files `found`; `stopped` accounts, and if `may_hold`, those in error or by a slip, as they were last.

    `was_held` says whether accounts are held so far. Raises InvalidDataError.
    """
    judged = loading.judge(found)
    slipping = _slipping(loading, found, judged, last, may_go)
    is_clean = not judged.has_errors and not slipping and not was_held
    good = last.files() if stopped or (may_hold and not is_clean) else None
    if good is not None:
        return load_served(loading, found, good, may_go, stopped)
    if stopped:
        raise InvalidDataError(problem for problems in stopped.values() for problem in problems)
    if slipping:
        raise InvalidDataError(judged.stored.locate(slipping))
    return Served(loading.accept(judged), found, {})


def _slipping(loading: Loading, found: Files, judged: Judged, last: LastGood, may_go: MayGo) -> list[Problem]:
    """The accounts that files without errors would take off their bar from the pool by a slip."""
    if judged.has_errors or may_go is None:
        return []
    before = last.data
    if before is None:
        if not (good := last.policies()):
            return []
        before = changed_policies(loading, found, good)
    return [*slips(before, judged.stored.dataset, may_go)]
