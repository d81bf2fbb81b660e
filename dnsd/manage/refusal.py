"""Reasons to refuse a request: the error codes of the API, each with its HTTP status, in one table.

Most are Cloudflare's own, and its clients act on some of them; 1000 to 1011 are dnsd's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from dnsd.errors import DnsdError, Path, Problem, Rule


class Code(Enum):
    """A reason: its number for clients, its HTTP status, and its meaning."""

    NOT_FOUND = 1000, 404, "no such object within the token's scope"
    INVALID = 1001, 400, "an invalid value, or an object that breaks a rule"
    FORBIDDEN = 1002, 400, "a change forbidden by a rule on address maps or accounts"
    CHANGED_MEANWHILE = 1003, 412, "`If-Match` names an older version of the object"
    TOO_LARGE = 1004, 413, "a body larger than 1 MiB"
    TOO_SLOW = 1005, 408, "a body that took too long to arrive"
    NO_ROOM = 1006, 507, "the disk is full; nothing was changed"
    NOT_WRITABLE = 1007, 503, "the files cannot be written, or were edited and contain errors; nothing was changed"
    NOT_LOADED = 1008, 503, "the data files cannot be loaded"
    FAILED = 1009, 500, "internal error"
    TOO_MANY_FAILURES = 1010, 429, "too many attempts with invalid tokens"
    BAD_METHOD = 1011, 405, "method not allowed"
    ZONE_EXISTS = 1061, 400, "the zone already exists"
    BAD_HEADER = 6003, 400, "a malformed authentication header"
    NO_ROUTE = 7003, 404, "no such path, or a malformed id"
    NO_CREDENTIALS = 9106, 401, "no token"
    BAD_CREDENTIALS = 10000, 403, "a token that is unknown, has expired, or lacks the permission"
    BAD_NAME = 9000, 400, "a name with blanks or control characters"
    TARGET_NOT_ALLOWED = 9003, 400, "an address that a proxy cannot reach"
    NOT_PROXIABLE = 9004, 400, "a record type that cannot be proxied"
    BAD_IPV4 = 9005, 400, "an A record without an IPv4 address"
    BAD_IPV6 = 9006, 400, "an AAAA record without an IPv6 address"
    BAD_CONTENT = 9007, 400, "content not valid for the type"
    BAD_TTL = 9021, 400, "a TTL other than 1 or 60 to 86,400"
    CNAME_TO_ITSELF = 9039, 400, "a CNAME that points to its own name"
    NO_RECORD = 81044, 404, "no such record"
    OTHERS_AT_NAME = 81053, 400, "a CNAME at a name with other records"
    CNAME_AT_NAME = 81054, 400, "a record at a name with a CNAME"
    IDENTICAL_RECORD = 81058, 400, "an identical record exists"

    @classmethod
    def of(cls, number: int) -> Code:
        """The reason with a number."""
        return next(code for code in cls if code.number == number)

    @property
    def number(self) -> int:
        """The code in the response's body."""
        return self.value[0]

    @property
    def status(self) -> int:
        """The status of the HTTP response."""
        return self.value[1]

    @property
    def meaning(self) -> str:
        """The meaning, for the documentation."""
        return self.value[2]


CODES = {
    Rule.NOT_PROXIABLE: Code.NOT_PROXIABLE,
    Rule.CNAME_TO_ITSELF: Code.CNAME_TO_ITSELF,
    Rule.OTHERS_AT_NAME: Code.OTHERS_AT_NAME,
    Rule.CNAME_AT_NAME: Code.CNAME_AT_NAME,
    Rule.IDENTICAL_RECORD: Code.IDENTICAL_RECORD,
    Rule.ZONE_EXISTS: Code.ZONE_EXISTS,
    Rule.TARGET_OUTSIDE: Code.INVALID,
    Rule.OUTSIDE_SPACE: Code.INVALID,
}


# Cloudflare's sentences, which clients match.
KNOWN_MESSAGES = {
    Rule.IDENTICAL_RECORD: "An identical record already exists.",
    Rule.OTHERS_AT_NAME: "An A, AAAA, or CNAME record with that host already exists.",
    Rule.CNAME_AT_NAME: "A CNAME record with that host already exists.",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One error in a request, with its place in the body."""

    code: Code
    message: str
    path: Path = ()

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer (RFC 6901); empty for the whole body."""
        return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in self.path)


class RefusedError(DnsdError):
    """A refused request; nothing was changed."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("; ".join(fault.message for fault in faults))

    @property
    def status(self) -> int:
        """The status of the HTTP response: that of the first fault."""
        return self.faults[0].code.status


def refused(code: Code, message: str, *path: str | int) -> RefusedError:
    """A RefusedError with one fault."""
    return RefusedError(Fault(code, message, path))


def refused_for(problems: Iterable[Problem], code: Code = Code.INVALID) -> RefusedError:
    """A RefusedError for problems that break the model's rules, at least one of them not a warning."""
    faults = [
        Fault(CODES[one.rule], KNOWN_MESSAGES.get(one.rule, one.message), one.path)
        if one.rule
        else Fault(code, one.message, one.path)
        for one in problems
        if not one.warning
    ]
    return RefusedError(*dict.fromkeys(faults))
