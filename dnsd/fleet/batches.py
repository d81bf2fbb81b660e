"""How the writes of a commit are divided into batches: whole accounts, as far as a batch holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dnsd.fleet.subjects import account_of_subject

if TYPE_CHECKING:
    from dnsd.fleet.writer import ObjectWrite


def accounts_of(writes: Iterable[ObjectWrite]) -> list[str]:
    """The accounts of objects, in the order of their first ones."""
    return list(dict.fromkeys(account_of_subject(write.subject) for write in writes))


def fitting(writes: Sequence[ObjectWrite], room: int, most_octets: int) -> Sequence[ObjectWrite]:
    """The first of the writes, for one batch of at most `room` messages: of whole accounts, if one fits."""
    most = _most(writes, room, most_octets)
    if most == len(writes):
        return writes
    begin, account = most, account_of_subject(writes[most].subject)
    while begin and account_of_subject(writes[begin - 1].subject) == account:
        begin -= 1
    if begin:
        return writes[:begin]
    while most > 1 and writes[most].is_joined:
        most -= 1
    return writes[:most]


def _most(writes: Sequence[ObjectWrite], room: int, most_octets: int) -> int:
    """The number of writes that fit into a batch, with a head for each account among them; at least one."""
    accounts: set[str] = set()
    octets = 0
    for number, write in enumerate(writes):
        accounts.add(account_of_subject(write.subject))
        octets += len(write.new or b"")
        if number and (number + 1 + len(accounts) > room or octets > most_octets):
            return number
    return len(writes)
