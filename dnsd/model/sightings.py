"""The times of objects, and the only place that knows them: what a file says, else when the object was first seen.

What was seen must outlast the process; it is kept in the state folder (store/first_seen.py). The time of a file says
nothing of an object: others are in the same file, and editors, git and backups touch it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from dnsd.model.accounts import Account, Delegation, Prefix
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress
from dnsd.model.maps import AddressMap
from dnsd.model.records import Record
from dnsd.model.times import UNSAID, Said, Times, time_text
from dnsd.model.zones import Status, Zone, ZoneSettings

KEPT = timedelta(days=30)  # for an object that is gone: it may come back, as with another branch of a repository
MAX_GONE = 5_000  # objects that are gone and still known


class Sighting(NamedTuple):
    """What is known of an object beside what its file says."""

    created: datetime  # its file's word where it says so, should it cease to
    modified: datetime | None  # None: its file says it; later than that: it was changed, and its file still said it
    activated: datetime | None  # None: its file says it, or it is not active
    digest: str  # of what it meant when it was seen last; empty where its file says when it was modified
    gone: datetime | None = None  # when it was missed first


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTimes:
    """When each object that is loaded was made and changed."""

    sightings: Mapping[str, Sighting]  # by key: what kind of object it is, and its id

    def of_zone(self, zone: Zone) -> Times:
        """A zone's times; what is done to its records does not change the zone."""
        return self._times(_zone_key(zone.id), zone.said)

    def of_record(self, zone: Zone, record: Record) -> Times:
        """A record's times; one whose file says none counts as made with its zone, and as never changed."""
        created = record.identity.created_on or self.of_zone(zone).created
        return Times(created, record.identity.modified_on or created)

    def of_map(self, found: AddressMap) -> Times:
        """An address map's times."""
        return self._times(_map_key(found.id), Said(found.created_at, found.modified_at))

    def of_account(self, account: Account) -> Times:
        """When an account was made; what it changes is its parts."""
        return self._times(_account_key(account))

    def of_prefix(self, prefix: Prefix) -> Times:
        """A prefix's times."""
        return self._times(_prefix_key(prefix))

    def of_approval(self, prefix: Prefix) -> Times:
        """When a prefix was approved, or ceased to be: `modified`."""
        return self._times(_approval_key(prefix))

    def of_delegation(self, prefix: Prefix, delegation: Delegation) -> Times:
        """A delegation's times; none ever changes."""
        return self._times(_delegation_key(prefix, delegation))

    def of_lease(self, account: Account, ip: IPAddress) -> Times:
        """A static IP's times; none ever changes."""
        return self._times(_lease_key(account, ip))

    def _times(self, key: str, said: Said = UNSAID) -> Times:
        seen = self.sightings[key]
        modified = max(filter(None, (said.modified, seen.modified)))
        return Times(said.created or seen.created, modified, said.activated or seen.activated)


NEVER_SEEN = ObjectTimes({})


def see(
    dataset: Dataset, now: datetime, *, before: ObjectTimes = NEVER_SEEN, previous: Dataset | None = None
) -> ObjectTimes:
    """The times of everything in a dataset, with what was seen `before`; what is new or has changed is seen `now`.

    `previous` is what was loaded when `before` was seen: only what differs is looked at. None: it was another process.
    """
    known = before.sightings
    seen = {one.key: _seen(one, was, known.get(one.key), now) for one, was in _objects(dataset, previous)}
    news = {key: sighting for key, sighting in seen.items() if sighting != known.get(key)}
    missing = _missing(dataset, previous) if previous else [_Object(key) for key in known.keys() - seen.keys()]
    gone = [one for one in missing if one.key in known and known[one.key].gone is None]
    if not news and not gone:
        return before
    sightings = {**known, **news}
    for one in gone:
        if one.says_all:
            del sightings[one.key]  # should it come back, it will say so again
        else:
            sightings[one.key] = known[one.key]._replace(gone=now)
    return ObjectTimes(_pruned(sightings, now) if gone else sightings)


class _Object(NamedTuple):
    """An object as far as its times depend on it."""

    key: str
    digest: str = ""  # of what it means
    said: Said = UNSAID
    is_active: bool = False

    @property
    def says_all(self) -> bool:
        """Whether its file says all its times."""
        return bool(self.said.created and self.said.modified and (self.said.activated or not self.is_active))


def _seen(one: _Object, was: _Object | None, old: Sighting | None, now: datetime) -> Sighting:
    """What is known of an object; `was` is what this process has loaded of it before, and `old` what was known."""
    created = one.said.created or (old.created if old else now)
    activated = None
    if one.is_active and not one.said.activated:
        activated = created if old is None else old.activated or now
    if one.said.modified:
        return Sighting(created, _modified_since(one, was, old, now), activated, "")
    if old is None:
        return Sighting(created, created, activated, one.digest)
    return Sighting(created, old.modified if old.digest == one.digest else now, activated, one.digest)


def _modified_since(one: _Object, was: _Object | None, old: Sighting | None, now: datetime) -> datetime | None:
    """When an object was changed by somebody who left the time in its file as it was; None where nobody has."""
    if old is None or old.digest or (was and was.said.modified != one.said.modified):
        return None
    return now if was and was.digest != one.digest else old.modified


def _pruned(sightings: dict[str, Sighting], now: datetime) -> dict[str, Sighting]:
    """Without objects that have been gone for long, or of which there are too many; the last to go are kept."""
    gone = sorted(((one.gone, key) for key, one in sightings.items() if one.gone), reverse=True)
    for place, (at, key) in enumerate(gone):
        if place >= MAX_GONE or at < now - KEPT:
            del sightings[key]
    return sightings


def _objects(dataset: Dataset, previous: Dataset | None) -> Iterator[tuple[_Object, _Object | None]]:
    """The objects that are not the same as in another dataset, or all; each with what it was there."""
    zones, maps, accounts = (previous.zones, previous.maps, previous.accounts) if previous else ({}, {}, {})
    for zone_id, zone in dataset.zones.items():
        if (old_zone := zones.get(zone_id)) is not zone:
            yield _zone(zone), _zone(old_zone) if old_zone else None
    for map_id, found in dataset.maps.items():
        if (old_map := maps.get(map_id)) is not found:
            yield _map(found), _map(old_map) if old_map else None
    for account_id, account in dataset.accounts.items():
        if accounts.get(account_id) is not account:
            yield from ((part, None) for part in _parts(account))


def _zone(zone: Zone) -> _Object:
    digest = _zone_digest(zone.account_id, zone.status, zone.settings, paused=zone.paused, verified=zone.verified)
    return _Object(_zone_key(zone.id), digest, zone.said, zone.status is Status.ACTIVE)


def _map(found: AddressMap) -> _Object:
    return _Object(_map_key(found.id), _map_digest(found), Said(found.created_at, found.modified_at))


def _parts(account: Account) -> Iterator[_Object]:
    """An account, and all that its file says."""
    yield _Object(_account_key(account))
    for ip in account.static_ips:
        yield _Object(_lease_key(account, ip))
    for prefix in account.prefixes:
        yield _Object(_prefix_key(prefix), _digest(prefix.asn, prefix.approved.value, prefix.description))
        yield _Object(_approval_key(prefix), _digest(prefix.approved.value))
        for delegation in prefix.delegations:
            yield _Object(_delegation_key(prefix, delegation))


def _missing(dataset: Dataset, previous: Dataset) -> list[_Object]:
    """The objects that were in another dataset, and are not in this one."""
    missing = [_zone(previous.zones[key]) for key in previous.zones.keys() - dataset.zones.keys()]
    missing += [_map(previous.maps[key]) for key in previous.maps.keys() - dataset.maps.keys()]
    before = [one for key, one in previous.accounts.items() if dataset.accounts.get(key) is not one]
    if before:
        there = {part.key for account in dataset.accounts.values() for part in _parts(account)}
        missing += [part for account in before for part in _parts(account) if part.key not in there]
    return missing


def _digest(*words: object) -> str:
    return hashlib.blake2b(repr(words).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=1024)  # most zones are alike in it
def _zone_digest(account_id: str, status: Status, settings: ZoneSettings, *, paused: bool, verified: bool) -> str:
    # Defaults are left out: a later version may have more of them.
    return _digest(account_id, status.value, paused, verified, settings.model_dump_json(exclude_defaults=True))


def _map_digest(found: AddressMap) -> str:
    members = [
        (one.kind.value, one.identifier, time_text(one.created_at) if one.created_at else "")
        for one in found.memberships
    ]
    ips = [*map(str, found.ips)]
    return _digest(found.description, found.enabled, ips, members, found.default_sni, found.immutable)


def _zone_key(zone_id: str) -> str:
    return f"zone:{zone_id}"


def _map_key(map_id: str) -> str:
    return f"map:{map_id}"


def _account_key(account: Account) -> str:
    return f"account:{account.id}"


def _lease_key(account: Account, ip: IPAddress) -> str:
    return f"lease:{account.id}:{ip}"


def _prefix_key(prefix: Prefix) -> str:
    return f"prefix:{prefix.id}"


def _approval_key(prefix: Prefix) -> str:
    return f"approval:{prefix.id}"


def _delegation_key(prefix: Prefix, delegation: Delegation) -> str:
    return f"delegation:{prefix.id}:{delegation.cidr}:{delegation.account_id}"
