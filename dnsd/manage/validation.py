"""The validation of prefixes: ownership by a token in reverse DNS, ASN and size, and RPKI. All functions block."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network
from pathlib import Path
from typing import TypeAlias

from dnsd.manage.prefixes import ownership_token
from dnsd.manage.state_names import VALIDATIONS
from dnsd.manage.vrps import Vrp
from dnsd.model.accounts import Account, Prefix
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPNetwork
from dnsd.model.times import time_text
from dnsd.store.kept_file import read_or_problem
from dnsd.whole_file import replacing
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import TXT

LABEL = "cf-validation"  # as at Cloudflare, in front of the reverse zone's name
LONGEST = {4: 24, 6: 48}  # of a prefix whose route most networks accept
RESERVED_ASNS = frozenset((0, 23_456, 65_535, 4_294_967_295))  # RFC 7607, RFC 4893, RFC 7300
MAX_KEPT = 10_000  # results
MAX_SIZE = 64 * 1024 * 1024  # octets; a larger file is not ours

# The VRPs whose prefixes contain a network. Raises OSError and ValueError.
CoveringVrps: TypeAlias = Callable[[IPNetwork], Sequence[Vrp]]


class ValidationState(StrEnum):
    """The states of a check, in Cloudflare's words."""

    PENDING = "pending"  # not checked, or not possible here
    VALID = "valid"
    MISSING = "missing"
    INVALID = "invalid"
    MISMATCH_ASN = "mismatch_asn"


@dataclass(frozen=True, slots=True)
class Validation:
    """The states of all checks of a prefix, with remarks for people."""

    irr: str = ValidationState.PENDING
    rpki: str = ValidationState.PENDING
    ownership: str = ValidationState.PENDING
    asn: str = ValidationState.PENDING
    checked_at: str = ""
    remarks: tuple[str, ...] = ()


NOT_VALIDATED = Validation()


class Validations:
    """The last results by prefix, kept in the state folder; a damaged file starts again."""

    def __init__(self, state: Path, report: Callable[[str], object] = str) -> None:
        """`report` is called with the problem of a damaged file."""
        self._path = state / VALIDATIONS
        consequence = "no prefix counts as checked"
        results, problem = read_or_problem(self._path, _parsed, most=MAX_SIZE, consequence=consequence)
        self._results: dict[str, Validation] = results or {}
        if problem:
            report(problem)

    def of(self, prefix: Prefix) -> Validation:
        """The last result for a prefix."""
        return self._results.get(_key(prefix), NOT_VALIDATED)

    def keep(self, prefix: Prefix, result: Validation, there: Iterable[Prefix]) -> None:
        """Keep a result, and those of the prefixes that are `there`; the oldest go first. Raises OSError."""
        known = set(map(_key, there))
        self._results = {key: one for key, one in self._results.items() if key in known}
        self._results.pop(_key(prefix), None)
        self._results[_key(prefix)] = result
        while len(self._results) > MAX_KEPT:
            del self._results[next(iter(self._results))]
        with replacing(self._path) as out:
            out.write(json.dumps({key: asdict(one) for key, one in self._results.items()}).encode())


def _parsed(octets: bytes) -> dict[str, Validation]:
    """The results in a file. Raises ValueError, TypeError … for any deviation from the format."""
    results = {}
    for key, one in json.loads(octets).items():
        results[key] = result = Validation(**{**one, "remarks": tuple(one["remarks"])})
        if not all(isinstance(text, str) for text in (*astuple(result)[:-1], *result.remarks)):
            raise TypeError
    return results


def _key(prefix: Prefix) -> str:
    """A result belongs to a network and its ASN, and ends when either changes."""
    return f"{prefix.id} {prefix.cidr} {prefix.asn}"


def validated(
    dataset: Dataset, account: Account, prefix: Prefix, vrps: CoveringVrps | None, now: datetime
) -> Validation:
    """Check a prefix now; without `vrps`, RPKI is not checked."""
    remarks: list[str] = []
    ownership = _ownership(dataset, account, prefix, remarks)
    rpki = _rpki(prefix, vrps, remarks)
    irr = asn = ValidationState.PENDING
    longest = LONGEST[prefix.cidr.version]
    if prefix.cidr.prefixlen > longest:
        irr = ValidationState.INVALID
        remarks.append(f"{prefix.cidr} is smaller than a /{longest}: most networks do not accept its route")
    if prefix.asn is None:
        asn = ValidationState.MISSING
        remarks.append("the prefix has no ASN")
    elif prefix.asn in RESERVED_ASNS:
        asn = ValidationState.INVALID
        remarks.append(f"AS{prefix.asn} is reserved")
    elif rpki is ValidationState.VALID:
        asn = ValidationState.VALID  # a ROA is the holder's word for the ASN
    return Validation(irr, rpki, ownership, asn, time_text(now), tuple(remarks))


def reverse_names(cidr: IPNetwork) -> Iterator[str]:
    """The names of the reverse zones of a prefix, at octets (RFC 1035 §3.5) or nibbles (RFC 3596 §2.5)."""
    step = 8 if isinstance(cidr, IPv4Network) else 4
    length = min(-(-cidr.prefixlen // step) * step, 24 if step == 8 else 128)
    if cidr.prefixlen > length:
        cidr = cidr.supernet(new_prefix=length)
    for part in cidr.subnets(new_prefix=length):
        if step == 8:
            octets = str(part.network_address).split(".")[: length // 8]
            yield ".".join([*reversed(octets), "in-addr.arpa"])
        else:
            nibbles = f"{int(part.network_address):032x}"[: length // 4]
            yield ".".join([*reversed(nibbles), "ip6.arpa"])


def _ownership(dataset: Dataset, account: Account, prefix: Prefix, remarks: list[str]) -> ValidationState:
    token = ownership_token(account, prefix)
    for reverse in reverse_names(prefix.cidr):
        name = parse_name_text(f"{LABEL}.{reverse}").lower()
        zone = dataset.zone_of(name)
        if zone is None or not zone.verified:  # a customer may make a zone with any name
            remarks.append(f"{reverse} is not served here by a verified zone: an operator has to check the ownership")
            return ValidationState.PENDING
        texts = (record.rdata for record in zone.records.at(name) if record.rtype == TXT)
        if token not in map(txt_text, texts):
            remarks.append(f"the record is missing: {name_text(name)} TXT {token}")
            return ValidationState.MISSING
    return ValidationState.VALID


def txt_text(rdata: bytes) -> str:
    """The strings of a TXT record, joined."""
    parts, at = [], 0
    while at < len(rdata):
        parts.append(rdata[at + 1 : at + 1 + rdata[at]])
        at += 1 + rdata[at]
    return b"".join(parts).decode(errors="replace")


def _rpki(prefix: Prefix, vrps: CoveringVrps | None, remarks: list[str]) -> ValidationState:
    """The state of the prefix's own route (RFC 6811 §2)."""
    if vrps is None or prefix.asn is None:
        remarks += ["RPKI is not checked: no file of VRPs is configured"] if vrps is None else []
        return ValidationState.PENDING
    try:
        covering = vrps(prefix.cidr)
    except (OSError, ValueError):
        remarks.append("RPKI is not checked: the file of VRPs cannot be used")
        return ValidationState.PENDING
    if not covering:
        remarks.append(f"no ROA covers {prefix.cidr}")
        return ValidationState.MISSING
    own = [one for one in covering if one.asn == prefix.asn and one.asn != 0]
    if any(one.max_length >= prefix.cidr.prefixlen for one in own):
        return ValidationState.VALID
    others = ", ".join(sorted({f"AS{one.asn}" for one in covering}))
    remarks.append(f"the ROAs of {prefix.cidr} allow {others}" + (", and only larger prefixes" if own else ""))
    return ValidationState.INVALID if own else ValidationState.MISMATCH_ASN
