"""The API's error codes: for each reason to refuse a request, its number, HTTP status and meaning, in one table.

Most numbers are Cloudflare's own, and its clients react to some of them; 1000 to 1021 are dnsd's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from dnsd.errors import Path
from dnsd.manage.refusal import Fault, Reason, RefusedError


class Code(NamedTuple):
    """An error code of the API."""

    number: int
    status: int  # of the HTTP response
    meaning: str  # for the documentation
    sentence: str = ""  # Cloudflare's wording, which clients match; sent instead of the fault's message


CODES: Mapping[Reason, Code] = {
    Reason.NOT_FOUND: Code(1000, 404, "no such object within the token's scope"),
    Reason.INVALID: Code(1001, 400, "an invalid value, or an object that breaks a rule"),
    Reason.FORBIDDEN: Code(1002, 400, "a change forbidden by a rule on address maps or accounts"),
    Reason.CHANGED_MEANWHILE: Code(1003, 412, "`If-Match` names an older version of the object"),
    Reason.TOO_LARGE: Code(1004, 413, "a body larger than 1 MiB, or a change of more than a fleet stores at once"),
    Reason.TOO_SLOW: Code(1005, 408, "a body that took too long to arrive"),
    Reason.NO_ROOM: Code(
        1006,
        507,
        "the disk is full, an entry of the audit log cannot be written, or a zone would need more than "
        "`limits.memory_mib`; nothing was changed",
    ),
    Reason.NOT_WRITABLE: Code(
        1007, 503, "the files cannot be written, or were edited and contain errors; nothing was changed"
    ),
    Reason.NOT_LOADED: Code(1008, 503, "the data files cannot be loaded"),
    Reason.AWAY: Code(
        1015, 503, "no server of the fleet answers: nothing was changed, or, if it says so, that is not known yet"
    ),
    Reason.FAILED: Code(1009, 500, "internal error"),
    Reason.TOO_MANY_FAILURES: Code(1010, 429, "too many attempts with invalid tokens"),
    Reason.BAD_METHOD: Code(1011, 405, "method not allowed"),
    Reason.INTO_OPEN: Code(1012, 400, "with `into_open=refuse`: the change would make an origin public"),
    Reason.QUOTA: Code(1013, 400, "a quota of the account: maps, addresses, members, prefixes, delegations or tokens"),
    Reason.TOO_SOON: Code(1014, 429, "an activation check of a zone that was checked a moment ago"),
    Reason.TOO_MANY_WRITES: Code(971, 429, "over `writes_per_minute`, or 100 changes wait already: see `Retry-After`"),
    Reason.ZONE_EXISTS: Code(1061, 400, "the zone already exists"),
    Reason.WRONG_HOST: Code(1021, 421, "a name in the URL that is not among `api.hosts`"),
    Reason.ZONE_QUOTA: Code(1118, 400, "the quota `zones` of the account"),
    Reason.BAD_HEADER: Code(6003, 400, "a malformed authentication header"),
    Reason.NO_ROUTE: Code(7003, 404, "no such path, or a malformed id"),
    Reason.NO_CREDENTIALS: Code(9106, 401, "no token"),
    Reason.BAD_CREDENTIALS: Code(10000, 403, "a token that is unknown, has expired, or lacks the permission"),
    Reason.BAD_NAME: Code(9000, 400, "a name with blanks or control characters"),
    Reason.TARGET_NOT_ALLOWED: Code(9003, 400, "an address that a proxy cannot reach"),
    Reason.NOT_PROXIABLE: Code(9004, 400, "a record type that cannot be proxied"),
    Reason.BAD_IPV4: Code(9005, 400, "an A record without an IPv4 address"),
    Reason.BAD_IPV6: Code(9006, 400, "an AAAA record without an IPv6 address"),
    Reason.BAD_CONTENT: Code(9007, 400, "content not valid for the type"),
    Reason.BAD_TTL: Code(9021, 400, "a TTL that is neither 1 nor from 60 to 86,400"),
    Reason.CNAME_TO_ITSELF: Code(9039, 400, "a CNAME that points to its own name"),
    Reason.NO_RECORD: Code(81044, 404, "no such record"),
    Reason.RECORD_QUOTA: Code(81045, 400, "the quota `records_per_zone` or `records`"),
    Reason.OTHERS_AT_NAME: Code(
        81053,
        400,
        "a CNAME at a name with other records",
        "An A, AAAA, or CNAME record with that host already exists.",
    ),
    Reason.CNAME_AT_NAME: Code(
        81054, 400, "a record at a name with a CNAME", "A CNAME record with that host already exists."
    ),
    Reason.IDENTICAL_RECORD: Code(81058, 400, "an identical record exists", "An identical record already exists."),
}


class ShownFault(NamedTuple):
    """A fault as clients see it."""

    code: Code
    message: str
    path: Path

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer (RFC 6901); empty for the whole body."""
        return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in self.path)


def shown_faults(error: RefusedError) -> Iterator[ShownFault]:
    """The faults of an error as clients see them; Cloudflare's wording is not repeated for the same place."""
    seen: set[ShownFault] = set()
    for fault in error.faults:
        code = code_of(fault)
        shown = ShownFault(code, code.sentence or fault.message, fault.path)
        if not code.sentence or shown not in seen:
            yield shown
        seen.add(shown)


def code_of(fault: Fault) -> Code:
    """The code of a fault."""
    return CODES[fault.reason]


def status_of(error: RefusedError) -> int:
    """The HTTP status of the response to a refused request, from its first fault."""
    return code_of(error.faults[0]).status


def text_of(error: RefusedError) -> str:
    """The messages of an error as clients see them, on one line."""
    return "; ".join(shown.message for shown in shown_faults(error))


def logged_text_of(error: RefusedError) -> str:
    """The messages of an error for the audit log, which tenants read: nothing of the server's own files."""
    code = code_of(error.faults[0])
    return code.meaning if code.status >= 500 else text_of(error)
