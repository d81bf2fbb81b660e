"""What a node's copy of a fleet's state adds up to: each account's sum, the heads, and the number of its objects.

All objects are added up once, after a copy was opened; from then on each step changes the sums. So a new consumer of a
copy that the process knows need not read it. Each row of a copy has a digest, so a changed one is found when it is
read; their number tells if one is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dnsd.fleet.heads import AccountHead, AccountState, AccountSum, parse_head
from dnsd.fleet.subjects import account_of_subject, head_subject, is_state
from dnsd.fleet.values import ValueFormatError
from dnsd.store.replica_rows import KeptObject


class ObjectStep(NamedTuple):
    """The change of one object: its values before and after, None for a missing one, and the number of its message."""

    subject: str
    old: bytes | None
    new: bytes | None
    seq: int


class CopySums:
    """The sums of one copy."""

    def __init__(self) -> None:
        self.heads: dict[str, AccountState] = {}  # by account
        self.objects = 0  # of all kinds
        self._accounts: dict[str, AccountSum] = {}
        self._heads_sum = AccountSum()

    @property
    def heads_sum(self) -> int:
        """The sum of all heads, which stands for the whole state."""
        return self._heads_sum.total

    def sum_after(self, account: str, steps: Iterable[ObjectStep]) -> AccountSum:
        """The sum of an account after steps of its own objects."""
        found = self._accounts.get(account, AccountSum())
        for one in steps:
            if not is_head(one.subject):
                found = found.changed(one.subject, one.old, one.new)
        return found

    def take(self, steps: Iterable[ObjectStep], sums: Mapping[str, AccountSum]) -> None:
        """Take steps that the copy has made, and the sums of their accounts after them."""
        self._accounts |= sums
        for one in steps:
            self.objects += (one.new is not None) - (one.old is not None)
            if is_state(one.subject) and is_head(one.subject):
                self._take_head(one)

    def add_all(self, objects: Iterable[KeptObject]) -> str:
        """Add up a copy; return the reason why it is not what its heads say, empty without one."""
        for one in objects:
            self.objects += 1
            if not is_state(one.subject):
                continue
            if is_head(one.subject):
                self._take_head(ObjectStep(one.subject, None, one.value, one.seq))
            else:
                before = self._accounts.get(one.account, AccountSum())
                self._accounts[one.account] = before.changed(one.subject, None, one.value)
        for account, state in self.heads.items():
            if state.sum != self._accounts.get(account, AccountSum()):
                return f"the copy of account {account!r} has other objects than its head says"
        return "the copy has an account without a head" if self._accounts.keys() - self.heads.keys() else ""

    def _take_head(self, step: ObjectStep) -> None:
        self._heads_sum = self._heads_sum.changed(step.subject, step.old, step.new)
        head = known_head(step.new)
        self.heads[account_of_subject(step.subject)] = AccountState(step.seq, head.sum if head else AccountSum())


def is_head(subject: str) -> bool:
    """Whether a subject of state is that of its account's head."""
    return subject == head_subject(account_of_subject(subject))


def known_head(value: bytes | None) -> AccountHead | None:
    """The head of a value; None if no version of dnsd wrote it."""
    try:
        return parse_head(value) if value is not None else None
    except ValueFormatError:
        return None
