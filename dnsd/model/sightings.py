"""The only source of objects' creation and modification times: their files, else when the server first saw them.

Sightings must outlast the process and are kept in the state folder (store/first_seen.py). The modification time of a
file is useless here: a file holds several objects, and editors, git and backups touch it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from dnsd.model.accounts import Account, BgpPrefix, Delegation, Prefix
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress
from dnsd.model.maps import AddressMap
from dnsd.model.records import Record
from dnsd.model.times import NO_TIMES, Times, WrittenTimes, time_text
from dnsd.model.zones import Status, Zone, ZoneSettings

KEPT = timedelta(days=30)  # for a removed object: it may come back, as when a repository switches branches
MAX_GONE = 5_000  # removed objects still known


class Sighting(NamedTuple):
    """The times of an object that are known from observation, not from its file."""

    created: datetime  # the time in its file if it has one, in case that is removed later
    modified: datetime | None  # None: use the file's time; a later time: the object changed, the file's time did not
    activated: datetime | None  # None: use the time in the file, or the zone is not active
    digest: str  # of the object's content when last seen; empty if its file has the modification time
    gone: datetime | None = None  # when it was first found missing


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTimes:
    """The times of all loaded objects."""

    sightings: Mapping[str, Sighting]  # by key: the kind of object and its id

    def of_zone(self, zone: Zone) -> Times:
        """A zone's times; changes to its records do not count."""
        return self._times(_zone_key(zone.id), zone.written_times)

    def of_record(self, zone: Zone, record: Record) -> Times:
        """A record's times; without times in its file it counts as created with its zone and never modified."""
        created = record.identity.created_on or self.of_zone(zone).created
        return Times(created, record.identity.modified_on or created)

    def of_map(self, found: AddressMap) -> Times:
        """An address map's times."""
        return self._times(_map_key(found.id), WrittenTimes(found.created_at, found.modified_at))

    def of_account(self, account: Account) -> Times:
        """An account's times; changes to its parts do not count."""
        return self._times(_account_key(account))

    def of_prefix(self, prefix: Prefix) -> Times:
        """A prefix's times."""
        return self._times(_prefix_key(prefix))

    def of_bgp_prefix(self, bgp: BgpPrefix) -> Times:
        """A BGP prefix's times."""
        return self._times(_bgp_key(bgp))

    def of_advertisement(self, bgp: BgpPrefix) -> Times:
        """The times of a BGP prefix's declared state; `modified` is its last change."""
        return self._times(_advertisement_key(bgp))

    def of_delegation(self, prefix: Prefix, delegation: Delegation) -> Times:
        """A delegation's times; delegations never change."""
        return self._times(_delegation_key(prefix, delegation))

    def of_lease(self, account: Account, ip: IPAddress) -> Times:
        """A static IP's times; static IPs never change."""
        return self._times(_lease_key(account, ip))

    def _times(self, key: str, written: WrittenTimes = NO_TIMES) -> Times:
        seen = self.sightings[key]
        modified = max(filter(None, (written.modified, seen.modified)))
        return Times(written.created or seen.created, modified, written.activated or seen.activated)


NEVER_SEEN = ObjectTimes({})


def see(
    dataset: Dataset, now: datetime, *, before: ObjectTimes = NEVER_SEEN, previous: Dataset | None = None
) -> ObjectTimes:
    """Update the times `before` for a dataset; new and changed objects get the time `now`.

    `previous` is the dataset of `before`: only its differences are examined. None: `before` is of an earlier process.
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
        if one.has_all_times:
            del sightings[one.key]  # if it comes back, its file has the times again
        else:
            sightings[one.key] = known[one.key]._replace(gone=now)
    return ObjectTimes(_pruned(sightings, now) if gone else sightings)


class _Object(NamedTuple):
    """The parts of an object that affect its times."""

    key: str
    digest: str = ""  # of its content
    written: WrittenTimes = NO_TIMES
    is_active: bool = False

    @property
    def has_all_times(self) -> bool:
        """Whether its file has all its times."""
        return bool(self.written.created and self.written.modified and (self.written.activated or not self.is_active))


def _seen(one: _Object, was: _Object | None, old: Sighting | None, now: datetime) -> Sighting:
    """The new sighting of an object; `was` is the object in the previous dataset, `old` its last sighting."""
    created = one.written.created or (old.created if old else now)
    activated = None
    if one.is_active and not one.written.activated:
        activated = created if old is None else old.activated or now
    if one.written.modified:
        return Sighting(created, _modified_since(one, was, old, now), activated, "")
    if old is None:
        return Sighting(created, created, activated, one.digest)
    return Sighting(created, old.modified if old.digest == one.digest else now, activated, one.digest)


def _modified_since(one: _Object, was: _Object | None, old: Sighting | None, now: datetime) -> datetime | None:
    """When an object changed although the modification time in its file did not; None if it has not."""
    if old is None or old.digest or (was and was.written.modified != one.written.modified):
        return None
    return now if was and was.digest != one.digest else old.modified


def _pruned(sightings: dict[str, Sighting], now: datetime) -> dict[str, Sighting]:
    """Forget objects removed longer ago than KEPT, and all but the MAX_GONE most recently removed."""
    gone = sorted(((one.gone, key) for key, one in sightings.items() if one.gone), reverse=True)
    for place, (at, key) in enumerate(gone):
        if place >= MAX_GONE or at < now - KEPT:
            del sightings[key]
    return sightings


def _objects(dataset: Dataset, previous: Dataset | None) -> Iterator[tuple[_Object, _Object | None]]:
    """New and changed objects, each with its previous version; without `previous` all objects."""
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
    return _Object(_zone_key(zone.id), digest, zone.written_times, zone.status is Status.ACTIVE)


def _map(found: AddressMap) -> _Object:
    return _Object(_map_key(found.id), _map_digest(found), WrittenTimes(found.created_at, found.modified_at))


def _parts(account: Account) -> Iterator[_Object]:
    """An account and all its parts."""
    yield _Object(_account_key(account))
    for ip in account.static_ips:
        yield _Object(_lease_key(account, ip))
    for prefix in account.prefixes:
        # Defaults are left out here, too.
        loa = [part for part in (prefix.delegate_loa_creation, prefix.loa_document_id) if part]
        yield _Object(_prefix_key(prefix), _digest(prefix.asn, prefix.approved.value, prefix.description, *loa))
        for bgp in prefix.bgp_prefixes:
            content = (bgp.advertised, bgp.locked, bgp.asn_prepend_count, bgp.auto_advertise_withdraw)
            yield _Object(_bgp_key(bgp), _digest(*content))
            yield _Object(_advertisement_key(bgp), _digest(bgp.advertised))
        for delegation in prefix.delegations:
            yield _Object(_delegation_key(prefix, delegation))


def _missing(dataset: Dataset, previous: Dataset) -> list[_Object]:
    """The objects of the previous dataset that are no longer in `dataset`."""
    missing = [_zone(previous.zones[key]) for key in previous.zones.keys() - dataset.zones.keys()]
    missing += [_map(previous.maps[key]) for key in previous.maps.keys() - dataset.maps.keys()]
    before = [one for key, one in previous.accounts.items() if dataset.accounts.get(key) is not one]
    if before:
        there = {part.key for account in dataset.accounts.values() for part in _parts(account)}
        missing += [part for account in before for part in _parts(account) if part.key not in there]
    return missing


def _digest(*words: object) -> str:
    return hashlib.blake2b(repr(words).encode(), digest_size=8).hexdigest()


@lru_cache(maxsize=1024)  # most zones have equal values
def _zone_digest(account_id: str, status: Status, settings: ZoneSettings, *, paused: bool, verified: bool) -> str:
    # Defaults are left out: a later version may add settings.
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


def _bgp_key(bgp: BgpPrefix) -> str:
    return f"bgp:{bgp.id}"


def _advertisement_key(bgp: BgpPrefix) -> str:
    return f"advertisement:{bgp.id}"


def _delegation_key(prefix: Prefix, delegation: Delegation) -> str:
    return f"delegation:{prefix.id}:{delegation.cidr}:{delegation.account_id}"
