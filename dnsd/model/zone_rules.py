"""The rules on the records of one zone together, and warnings about doubtful records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain, islice
from operator import itemgetter
from typing import TypeVar

from dnsd.errors import BrokenRule, Problem
from dnsd.model.columns import Records
from dnsd.model.fields import MAX_PROBLEMS
from dnsd.model.zones import Zone
from dnsd.wire.names import ASTERISK, ancestors, name_end, name_text
from dnsd.wire.rdata import (
    AAAA,
    CNAME,
    DNAME,
    HTTPS,
    NS,
    RRSIG,
    SMIMEA,
    SOA,
    SVCB,
    TLSA,
    A,
    type_text,
)

MAX_TYPES = 100  # types at one name
MOST_RRSET_RECORDS = 3_500
MOST_RRSET_OCTETS = 60_000  # leaves room in a TCP reply for the question, a chain of CNAMEs and the OPT record
SINGLE = frozenset({SOA, CNAME, DNAME})  # one per name: RFC 1035 §6.1, RFC 2181 §10.1, RFC 6672 §2.4
NOT_AT_WILDCARDS = frozenset({NS, DNAME})  # RFC 4592 §4.2, §4.4
LARGE = 600  # octets of a record
RECORD_HEAD = 12  # octets of a record before its data, with the owner as a pointer (RFC 1035 §3.2.1, §4.1.4)
OVER_SOA = SOA.to_bytes(2)  # begins an RRSIG that covers an SOA, RFC 4034 §3.1
SIGNED = (
    "the zone is signed but served without its signatures: validators reject all answers if the parent has a DS "
    "record. Remove the DS record before serving the zone from here, or use a server that supports DNSSEC"
)
DIGEST_SIZES = {1: 32, 2: 64}  # octets by matching type: SHA-256 and SHA-512, RFC 6698 §2.1.3
DOUBTFUL = frozenset({RRSIG, HTTPS, SVCB, TLSA, SMIMEA})
ALIAS_MODE = bytes(2)  # priority of an SVCB or HTTPS record, RFC 9460 §2.4.1
EXCLUDED_BY_CNAME = frozenset({A, AAAA, CNAME, NS, DNAME})  # as at Cloudflare, other types may share its name


@dataclass(frozen=True, slots=True)
class RrsetLimits:
    """Limits on one RRset: `limits` of the settings."""

    records: int = 100
    octets: int = MOST_RRSET_OCTETS


DEFAULT_LIMITS = RrsetLimits()
WIDEST_LIMITS = RrsetLimits(MOST_RRSET_RECORDS, MOST_RRSET_OCTETS)

F = TypeVar("F", bound=tuple[object, ...])
Finding = tuple[int, str, BrokenRule | None]  # index of a record, message, rule that it breaks
RrsetIndexes = Mapping[int, list[int]]  # of one name: type -> indexes of its records


def zone_problems(zone: Zone, limits: RrsetLimits = DEFAULT_LIMITS) -> list[Problem]:
    """The problems and warnings of a zone, MAX_PROBLEMS of each at most, at the paths of records: `records[3]`."""
    found = [
        Problem(zone.key, ("records", index), message, rule=rule)
        for index, message, rule in _first(_broken_rules(zone, limits))
    ]
    if not DOUBTFUL.isdisjoint(zone.records.types):
        doubtful = _first(_doubtful(zone))
        found += [Problem(zone.key, ("records", index), message, warning=True) for index, message in doubtful]
    return found


def _broken_rules(zone: Zone, limits: RrsetLimits) -> Iterator[Finding]:
    for owner, rrsets in _names_to_check(zone, limits):
        yield from _surplus(zone, owner, rrsets)
        yield from _oversized(limits, zone, owner, rrsets)
        yield from _cname_conflicts(zone, owner, rrsets)
        yield from _misplaced(zone, owner, rrsets)
    for index, first in zone.records.repeats().items():
        yield index, f"duplicate of records[{first}] (RFC 2181 §5)", BrokenRule.IDENTICAL_RECORD
    if DNAME in zone.records.types:
        yield from _below_dnames(zone)


def _first(found: Iterable[F]) -> list[F]:
    """The first MAX_PROBLEMS in the order of records; nearly all zones have none."""
    for one in (found := iter(found)):
        return nsmallest(MAX_PROBLEMS, chain((one,), found), key=itemgetter(0, 1))
    return []


def _doubtful(zone: Zone) -> Iterator[tuple[int, str]]:
    """Indexes of records whose meaning probably differs from their author's intention, each with a warning."""
    records = zone.records
    over_soa = (index for index in records.of_types({RRSIG}) if records.rdatas[index].startswith(OVER_SOA))
    signatures = (index for index in over_soa if records.owners[index] == zone.name)
    yield from ((index, SIGNED) for index in islice(signatures, 1))
    for index in records.of_types({HTTPS, SVCB}):
        rdata = records.rdatas[index]
        if rdata.startswith(ALIAS_MODE) and name_end(rdata, len(ALIAS_MODE)) < len(rdata):
            what = type_text(records.rtype(index))
            yield index, f"priority 0 is AliasMode: clients ignore the parameters of this {what} (RFC 9460 §2.4.2)"
    for index in records.of_types({TLSA, SMIMEA}):
        _, _, kind, *digest = records.rdatas[index]
        if (size := DIGEST_SIZES.get(kind, len(digest))) != len(digest):
            what = f"matching type {kind} of this {type_text(records.rtype(index))}"
            yield index, f"{what} is a digest of {size} octets, not {len(digest)} (RFC 6698 §2.1.3)"


def _names_to_check(zone: Zone, limits: RrsetLimits) -> Iterator[tuple[bytes, RrsetIndexes]]:
    """The names that could break a rule. Nearly all names of a large zone cannot: their records are not looked at."""
    records, owners = zone.records, zone.records.owners
    few = max(1, min(limits.records, MAX_TYPES, limits.octets // LARGE))  # that many records, none large, are harmless
    largest = limits.octets // few - RECORD_HEAD
    large = records.rdatas.larger(largest)
    misplaced = (index for index in owners.starting(ASTERISK) if records.rtype(index) in NOT_AT_WILDCARDS)
    single = records.of_types({SOA, DNAME})
    if len(single) == 1 and owners[single[0]] == zone.name:  # the SOA alone, as in nearly all zones
        single = single[1:]
    indexes = {owners[index]: [index] for index in chain(single, large, misplaced)}
    wanted = set(indexes)
    if CNAME in records.types:
        types = [traits.rtype for traits in records.distinct]
        named = zip(records.grouped, owners.at(records.grouped), strict=True)
        wanted.update(owner for index, owner in named if types[records.traits[index]] == CNAME)
    if records.most_of_a_name > few:
        wanted.update(owner for owner, number in records.shared().items() if number > few)
    several: dict[bytes, list[int]] = defaultdict(list)
    for index in records.of_names(wanted) if wanted else ():
        several[owners[index]].append(index)
    indexes |= several
    for owner, at_owner in indexes.items():
        yield owner, _rrsets(records, at_owner)


def _rrsets(records: Records, indexes: Iterable[int]) -> RrsetIndexes:
    rrsets: dict[int, list[int]] = defaultdict(list)
    for index in indexes:
        rrsets[records.rtype(index)].append(index)
    return rrsets


def _oversized(limits: RrsetLimits, zone: Zone, owner: bytes, rrsets: RrsetIndexes) -> Iterator[Finding]:
    for rtype, indexes in rrsets.items():
        if (count := len(indexes)) > limits.records:
            what = _records(rtype, owner)
            message = f"{count} {what}; the limit is {limits.records} (limits.rrset_records in dnsd.yaml)"
            yield indexes[limits.records], message, None
        if (size := sum(len(zone.records.rdatas[index]) + RECORD_HEAD for index in indexes)) > limits.octets:
            what = _records(rtype, owner)
            message = f"the {what} take {size} octets; the limit is {limits.octets} (limits.rrset_octets in dnsd.yaml)"
            yield indexes[0], message, None


def _surplus(zone: Zone, owner: bytes, rrsets: RrsetIndexes) -> Iterator[Finding]:
    for rtype in SINGLE.intersection(rrsets):
        if len(indexes := rrsets[rtype]) > 1:
            rule = BrokenRule.OTHERS_AT_NAME if rtype == CNAME else None
            yield indexes[1], f"{len(indexes)} {_records(rtype, owner)}; only one is allowed", rule
    if len(rrsets) > MAX_TYPES:
        yield rrsets[max(rrsets)][0], f"{len(rrsets)} types at {name_text(owner)}; the limit is {MAX_TYPES}", None


def _records(rtype: int, owner: bytes) -> str:
    return f"{type_text(rtype)} records at {name_text(owner)}"


def _cname_conflicts(zone: Zone, owner: bytes, rrsets: RrsetIndexes) -> Iterator[Finding]:
    if CNAME not in rrsets:
        return
    excluded = EXCLUDED_BY_CNAME - {CNAME} - ({NS} if owner == zone.name else set())
    for rtype in sorted(excluded.intersection(rrsets)):
        message = f"a CNAME cannot coexist with {type_text(rtype)} records at {name_text(owner)} (RFC 1034 §3.6.2)"
        cname, other = rrsets[CNAME][0], rrsets[rtype][0]
        yield max(cname, other), message, BrokenRule.OTHERS_AT_NAME if cname > other else BrokenRule.CNAME_AT_NAME


def _misplaced(zone: Zone, owner: bytes, rrsets: RrsetIndexes) -> Iterator[Finding]:
    for rtype, indexes in rrsets.items():
        if rtype == SOA and owner != zone.name:
            yield (
                indexes[0],
                f"an SOA record at {name_text(owner)}; it must be at the apex, {zone.name_text}",
                None,
            )
        if rtype in NOT_AT_WILDCARDS and owner.startswith(ASTERISK):
            yield indexes[0], f"a wildcard cannot own {type_text(rtype)} records (RFC 4592 §4.2, §4.4)", None
        if rtype == DNAME and NS in rrsets and owner != zone.name:
            message = f"a DNAME cannot coexist with NS records at {name_text(owner)} (RFC 6672 §2.3)"
            yield indexes[0], message, None


def _below_dnames(zone: Zone) -> Iterator[Finding]:
    records = zone.records
    redirected = {records.owners[index] for index in records.of_types({DNAME})}
    reported = set()
    for index, owner in enumerate(records.owners):
        for dname in redirected.intersection(ancestors(owner)):
            if (owner, records.rtype(index)) not in reported:
                message = f"{name_text(owner)} lies below the DNAME at {name_text(dname)} (RFC 6672 §2.4)"
                yield index, message, None
        reported.add((owner, records.rtype(index)))
