"""Reasons to refuse a request. Clients' codes and HTTP statuses are in api/codes.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from dnsd.errors import BrokenRule, DnsdError, Path, Problem


class Reason(Enum):
    """The kind of a fault, for programs; its message is for people."""

    NOT_FOUND = auto()
    INVALID = auto()
    FORBIDDEN = auto()
    CHANGED_MEANWHILE = auto()
    TOO_LARGE = auto()
    TOO_SLOW = auto()
    NO_ROOM = auto()
    NOT_WRITABLE = auto()
    NOT_LOADED = auto()
    AWAY = auto()
    FAILED = auto()
    TOO_MANY_FAILURES = auto()
    BAD_METHOD = auto()
    WRONG_HOST = auto()
    INTO_OPEN = auto()
    ZONE_EXISTS = auto()
    BAD_HEADER = auto()
    NO_ROUTE = auto()
    NO_CREDENTIALS = auto()
    BAD_CREDENTIALS = auto()
    BAD_NAME = auto()
    TARGET_NOT_ALLOWED = auto()
    NOT_PROXIABLE = auto()
    BAD_IPV4 = auto()
    BAD_IPV6 = auto()
    BAD_CONTENT = auto()
    BAD_TTL = auto()
    CNAME_TO_ITSELF = auto()
    NO_RECORD = auto()
    OTHERS_AT_NAME = auto()
    CNAME_AT_NAME = auto()
    IDENTICAL_RECORD = auto()
    ZONE_QUOTA = auto()
    RECORD_QUOTA = auto()
    QUOTA = auto()
    TOO_MANY_WRITES = auto()
    TOO_SOON = auto()


REASON_OF_RULE: Mapping[BrokenRule, Reason] = {
    BrokenRule.NOT_PROXIABLE: Reason.NOT_PROXIABLE,
    BrokenRule.CNAME_TO_ITSELF: Reason.CNAME_TO_ITSELF,
    BrokenRule.OTHERS_AT_NAME: Reason.OTHERS_AT_NAME,
    BrokenRule.CNAME_AT_NAME: Reason.CNAME_AT_NAME,
    BrokenRule.IDENTICAL_RECORD: Reason.IDENTICAL_RECORD,
    BrokenRule.ZONE_EXISTS: Reason.ZONE_EXISTS,
    BrokenRule.TARGET_OUTSIDE: Reason.INVALID,
    BrokenRule.OUTSIDE_SPACE: Reason.INVALID,
    BrokenRule.BARRED_FROM_POOL: Reason.FORBIDDEN,
    BrokenRule.ZONE_QUOTA: Reason.ZONE_QUOTA,
    BrokenRule.RECORD_QUOTA: Reason.RECORD_QUOTA,
    BrokenRule.QUOTA: Reason.QUOTA,
    BrokenRule.MEMORY: Reason.NO_ROOM,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One error in a request, with its place in the body."""

    reason: Reason
    message: str
    path: Path = ()


class RefusedError(DnsdError):
    """A refused request; nothing was changed.

    `retry_after_s` is the time in whole seconds until it may be carried out, None if that is not known.
    """

    def __init__(self, *faults: Fault, retry_after_s: int | None = None) -> None:
        self.faults = faults
        self.retry_after_s = retry_after_s
        super().__init__("; ".join(fault.message for fault in faults))


class GuessError(RefusedError):
    """A refused request whose answer tells that another account does not exist; only so many are allowed a minute."""


def refused(reason: Reason, message: str, *path: str | int) -> RefusedError:
    """A RefusedError with one fault."""
    return RefusedError(Fault(reason, message, path))


def refused_for(problems: Iterable[Problem], reason: Reason = Reason.INVALID) -> RefusedError:
    """A RefusedError for problems found by the model; at least one must be an error, and warnings are left out.

    `reason` is for problems without a rule of their own.
    """
    faults = [
        Fault(REASON_OF_RULE[one.rule] if one.rule else reason, one.message, one.path)
        for one in problems
        if not one.warning
    ]
    return RefusedError(*dict.fromkeys(faults))
