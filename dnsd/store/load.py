"""Build a dataset from files, all or nothing, with every problem at its place.

Unchanged objects are taken over from the previous load, with the problems that cannot differ. Which these are is known
to `model/findings.py` for problems between objects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import Any, TypeVar

from dnsd.errors import BrokenRule, InvalidDataError, Problem
from dnsd.formats.kept_items import ReadAlready
from dnsd.model.accounts import Account, AccountFields
from dnsd.model.claims import ZoneNames
from dnsd.model.dataset import Dataset, build_dataset
from dnsd.model.fields import F
from dnsd.model.findings import NOTHING_FOUND, Findings, findings
from dnsd.model.maps import AddressMap, MapFields
from dnsd.model.resolve import resolve_accounts, resolve_map
from dnsd.model.zone_rules import DEFAULT_LIMITS, RrsetLimits, zone_problems
from dnsd.model.zones import Zone
from dnsd.progress import Progress, no_progress
from dnsd.store.directory import ZONES, FileKind, Files, SourceFile, account_of, contents_of
from dnsd.store.kept_zones import NOTHING_KEPT, KeptZones
from dnsd.store.located import located
from dnsd.store.objects import Read, ReadFields, ReadZone, read_fields, read_zone, unread_zone
from dnsd.store.room import UNBOUNDED, Room, over_file_limit, too_large
from dnsd.store.text_file import Content

T = TypeVar("T", Account, AddressMap)
NO_FIELDS = AccountFields()  # of an account without a file


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """The objects in the files, by key."""

    accounts: Mapping[str, ReadFields[AccountFields]] = field(default_factory=dict)
    maps: Mapping[str, ReadFields[MapFields]] = field(default_factory=dict)
    zones: Mapping[str, ReadZone] = field(default_factory=dict)

    def get(self, key: str) -> Read | None:
        """The object with this key, of any kind."""
        return self.accounts.get(key) or self.maps.get(key) or self.zones.get(key)

    def problems(self) -> Iterator[Problem]:
        """The problems found in reading each object's file."""
        reads: Iterable[Read] = chain(self.accounts.values(), self.maps.values(), self.zones.values())
        yield from (problem for read in reads for problem in read.problems)
        yield from (read.large for read in self.zones.values() if read.large)


@dataclass(frozen=True, slots=True, eq=False)
class MapContext:
    """The context that gives a map's file its meaning: the accounts, and each zone's name, id and account."""

    accounts: Mapping[str, Account] = field(default_factory=dict)  # by folder name
    zones: Sequence[tuple[bytes, str, str]] = ()

    def is_same_as(self, other: MapContext) -> bool:
        """Whether every map means the same in both."""
        return self.accounts is other.accounts and self.zones == other.zones


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A dataset without errors, its warnings, and the results that the next load can reuse."""

    dataset: Dataset
    warnings: tuple[Problem, ...]
    objects: Objects = field(default_factory=Objects)
    map_context: MapContext = field(default_factory=MapContext)
    maps: Mapping[str, AddressMap] = field(default_factory=dict)  # by key
    findings: Findings = NOTHING_FOUND  # of accounts and maps, and between objects
    zone_findings: Mapping[str, Sequence[Problem]] = field(default_factory=dict)  # of each zone by itself, unless empty
    limits: RrsetLimits = DEFAULT_LIMITS  # used to judge the zones
    room: Room = UNBOUNDED  # for zones to be read
    places: Mapping[Problem, Problem] = field(default_factory=dict)  # a warning -> the same with its place

    def locate(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems, each with its place in the file of its object."""
        return list(self.located(problems).values())

    def located(self, problems: Iterable[Problem], previous: Stored | None = None) -> dict[Problem, Problem]:
        """Each problem -> the same with its place, which the `previous` load knows for unchanged files."""
        return _placed(problems, self.objects, _still_in_place(previous, self.objects) if previous else {})


NOTHING_READ: Mapping[SourceFile, ReadAlready] = MappingProxyType({})
NOTHING = Stored(Dataset({}, {}, {}), ())


def load_files(
    found: Files,
    nameservers: Iterable[str],
    previous: Stored = NOTHING,
    *,
    limits: RrsetLimits = DEFAULT_LIMITS,
    room: Room = UNBOUNDED,
    progress: Progress = no_progress,
    read: Mapping[SourceFile, ReadAlready] = NOTHING_READ,
    known: Stored = NOTHING,
) -> Stored:
    """Load the dataset in the files `found`; `nameservers` are for zones without their own.

    Unchanged objects are taken over from `previous`, and zones also from `known`, another load; unchanged zones stay
    the same Python objects. `progress` is called now and then while a zone is read; `read` has what is known of
    zones' texts already. Raises InvalidDataError with every problem in every file.
    """
    return Loading(nameservers, previous, progress, limits=limits, room=room, read=read, known=known).load(found)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The data in files, with every problem; to be served only if there are no errors."""

    stored: Stored
    own: tuple[Problem, ...]  # of single objects
    between: tuple[Problem, ...]  # between objects

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, warnings included."""
        return self.own + self.between

    @property
    def has_errors(self) -> bool:
        """Whether any problem is an error, not a warning."""
        return any(not problem.warning for problem in self.problems)


class Loading:
    """Loads files, possibly several variants of them; reads each file only once."""

    def __init__(
        self,
        nameservers: Iterable[str],
        previous: Stored = NOTHING,
        progress: Progress = no_progress,
        *,
        limits: RrsetLimits = DEFAULT_LIMITS,
        room: Room = UNBOUNDED,
        good: Callable[[], Files | None] = lambda: None,
        read: Mapping[SourceFile, ReadAlready] = NOTHING_READ,
        known: Stored = NOTHING,
        kept: KeptZones = NOTHING_KEPT,
    ) -> None:
        """`good` returns the files served last, and is called if the `room` does not suffice.

        `known` is another load whose zones are taken over, and `kept` has those that an earlier process has read.
        """
        self._nameservers = tuple(nameservers)
        self._previous = previous
        self._progress = progress
        self._limits = limits
        self._room = room
        self._good = good
        self._read = read
        self._loads = (previous, known)
        self._kept = kept
        self._fields: dict[SourceFile, ReadFields[Any]] = {}
        self._zones: dict[tuple[SourceFile, int, str], ReadZone] = {}  # by file, time (its serial) and account
        self._zone_findings: dict[ReadZone, Sequence[Problem]] = {}

    def load(self, found: Files) -> Stored:
        """Load the dataset in the files. Raises InvalidDataError with every problem in every file."""
        return self.accept(self.judge(found))

    def accept(self, judged: Judged) -> Stored:
        """The judged data, its warnings with places. Raises InvalidDataError if there is an error."""
        placed = self.placed(judged)
        if any(not problem.warning for problem in placed):
            raise InvalidDataError(placed.values())
        return replace(judged.stored, warnings=tuple(placed.values()), places=placed)

    def placed(self, judged: Judged) -> dict[Problem, Problem]:
        """Each problem -> the same with its place in a file."""
        objects = judged.stored.objects
        return _placed(judged.problems, objects, _still_in_place(self._previous, objects))

    def judge(self, found: Files) -> Judged:
        """Read the files and collect their problems."""
        previous = self._previous
        read_accounts = self._read_all(AccountFields, found, FileKind.ACCOUNT, previous.objects.accounts)
        accounts, unresolved = _resolve_accounts(found, read_accounts, previous)
        read_maps = self._read_all(MapFields, found, FileKind.MAP, previous.objects.maps)
        read_zones = self._read_zones(found, accounts)
        objects = Objects(read_accounts, read_maps, read_zones)

        zones = [read.zone for read in read_zones.values() if read.zone]
        map_context = MapContext(accounts, [(zone.name, zone.id, zone.account_id) for zone in zones])
        maps, without_members = _resolve_maps(read_maps, map_context, zones, previous)
        dataset, clashes = build_dataset(accounts.values(), maps.values(), zones)
        found_between = findings(dataset, maps.values(), previous.findings)
        zone_findings = {key: some for key, read in read_zones.items() if (some := self._findings_of_zone(key, read))}
        own = [*found.problems, *objects.problems(), *chain.from_iterable(zone_findings.values())]
        if not zones:
            message = "no zone in this folder: every query will be refused"
            own.append(Problem(found.root, (), message, warning=True))
        between = [*unresolved, *without_members, *clashes, *found_between.problems()]
        if any(problem for read in read_accounts.values() for problem in read.problems if not problem.warning):
            # Avoid false alarms: unless all accounts are read, the addresses that maps may use are unknown.
            between = [problem for problem in between if problem.rule is not BrokenRule.OUTSIDE_SPACE]
        stored = Stored(dataset, (), objects, map_context, maps, found_between, zone_findings, self._limits, self._room)
        return Judged(stored, tuple(own), tuple(between))

    def _findings_of_zone(self, key: str, read: ReadZone) -> Sequence[Problem]:
        """The problems that the rules for zones find in a zone by itself."""
        for load in self._loads:
            if read is load.objects.zones.get(key) and self._limits == load.limits:
                return load.zone_findings.get(key, ())
        if read not in self._zone_findings:
            self._zone_findings[read] = zone_problems(read.zone, self._limits) if read.zone else ()
        return self._zone_findings[read]

    def _read_all(
        self, model: type[F], found: Files, kind: FileKind, before: Mapping[str, ReadFields[F]]
    ) -> dict[str, ReadFields[F]]:
        """The fields of all accounts, or of all maps, by key."""
        return {
            file.key: _unchanged(file, before) or self._read_fields(model, file)
            for file in found.files
            if file.kind is kind
        }

    def _read_fields(self, model: type[F], file: SourceFile) -> ReadFields[F]:
        if file not in self._fields:
            self._fields[file] = read_fields(model, file)
        return self._fields[file]

    def _read_zones(self, found: Files, accounts: Mapping[str, Account]) -> dict[str, ReadZone]:
        zones: dict[str, ReadZone | None] = {}  # None: not read yet
        for file in found.files:
            if file.kind in ZONES:
                account_id = accounts[account_of(file.key)].id
                known = self._known_zone(file, account_id)
                zones[file.key] = known or self._read_before(file, account_id)
        files = found.by_key()
        new = {key: files[key] for key, read in zones.items() if read is None}
        large = too_large(new.values(), self._room, self._served_texts)
        for key, file in new.items():
            which = file, file.modified, accounts[account_of(key)].id
            self._zones[which] = zones[key] = self._read_zone(file, which[-1], large.get(file))
        return {key: read for key, read in zones.items() if read}

    def _known_zone(self, file: SourceFile, account_id: str) -> ReadZone | None:
        """The zone of a file as an earlier load read it."""
        for load in self._loads:
            read = load.objects.zones.get(file.key)
            if read and (read.file, read.account_id, read.nameservers) == (file, account_id, self._nameservers):
                return read
        return None

    def _read_before(self, file: SourceFile, account_id: str) -> ReadZone | None:
        """The zone in a file, if it was read already: for another variant of the files, or by an earlier process."""
        which = file, file.modified, account_id
        found = self._zones.get(which) if self._zones else None
        if found is None and (kept := self._kept.read(file, account_id, self._nameservers)):
            large = over_file_limit(file, self._room, self._served_texts)
            if large is None or large.warning:
                found = self._zones[which] = replace(kept, large=large) if large else kept
        return found

    def _read_zone(self, file: SourceFile, account_id: str, large: Problem | None) -> ReadZone:
        if large and not large.warning:
            return unread_zone(file, account_id, self._nameservers, large)
        previous = self._previous.objects.zones.get(file.key)
        read = read_zone(
            file, account_id, self._nameservers, self._progress, previous=previous, known=self._read.get(file)
        )
        return replace(read, large=large) if large else read

    def _served_texts(self) -> frozenset[Content]:
        """The texts that the server has served before, perhaps in an earlier process."""
        return frozenset(contents_of(self._good()))


def _unchanged(file: SourceFile, before: Mapping[str, ReadFields[F]]) -> ReadFields[F] | None:
    read = before.get(file.key)
    return read if read and read.file == file else None


def _resolve_accounts(
    found: Files, read: Mapping[str, ReadFields[AccountFields]], previous: Stored
) -> tuple[Mapping[str, Account], list[Problem]]:
    """The accounts by folder name, with or without a file; and every problem in resolving them."""
    before = previous.map_context.accounts
    if list(found.accounts) == list(before) and list(read.values()) == list(previous.objects.accounts.values()):
        return before, []
    fields = {name: read[name].salvaged if name in read else None for name in found.accounts}
    resolved, problems = resolve_accounts({name: given or NO_FIELDS for name, given in fields.items()})
    return {name: _as_before(one, before.get(name)) for name, one in resolved.items()}, problems


def _resolve_maps(
    read: Mapping[str, ReadFields[MapFields]], context: MapContext, zones: Sequence[Zone], previous: Stored
) -> tuple[dict[str, AddressMap], list[Problem]]:
    """The address maps by key; and a problem for each missing member."""
    is_known = context.is_same_as(previous.map_context)
    names = ZoneNames(zones)
    by_id = {zone.id: zone for zone in zones}
    maps = {}
    problems: list[Problem] = []
    for key, one in read.items():
        if is_known and one is previous.objects.maps.get(key):
            maps[key] = previous.maps[key]
        elif one.fields:
            account = context.accounts[account_of(key)]
            resolved, found = resolve_map(key, one.fields, account, names, by_id)
            maps[key] = _as_before(resolved, previous.maps.get(key))
            problems += found
    return maps, problems


def _as_before(one: T, before: T | None) -> T:
    """The object of the previous load if it is equal: so all that depends on it can be taken over."""
    return before if before == one and before is not None else one


def _placed(problems: Iterable[Problem], objects: Objects, known: Mapping[Problem, Problem]) -> dict[Problem, Problem]:
    """Each problem -> the same with its place in a file; each file is searched once for all its problems."""
    placed = {}
    unplaced: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        placed[problem] = known.get(problem, problem)
        if problem.place is None and problem not in known:
            unplaced[problem.source].append(problem)
    for key, group in unplaced.items():
        read = objects.get(key)
        if read:
            placed.update(zip(group, located(group, read), strict=True))
    return placed


def _still_in_place(previous: Stored, objects: Objects) -> dict[Problem, Problem]:
    """The problems of the previous load in unchanged files -> the same with their places."""
    return {
        problem: placed
        for problem, placed in previous.places.items()
        if objects.get(problem.source) is previous.objects.get(problem.source)
    }
