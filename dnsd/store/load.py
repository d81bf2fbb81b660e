"""Files to a dataset: every problem at its place, and all or nothing.

What did not change is taken over from what was loaded before: the objects whose files are the same, and what the rules
said of each by itself. Only the rules that objects must satisfy together are applied to all of them each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from dnsd.errors import InvalidDataError, Problem, Rule
from dnsd.model.accounts import Account, AccountFields
from dnsd.model.dataset import Dataset, build_dataset, map_problems, problems_between, resolve_accounts, resolve_map
from dnsd.model.fields import F
from dnsd.model.maps import AddressMap, MapFields
from dnsd.model.zone_rules import DEFAULT_LIMITS, RrsetLimits, zone_problems
from dnsd.model.zones import Zone
from dnsd.progress import Progress, no_progress
from dnsd.store.directory import Files, Kind, SourceFile
from dnsd.store.objects import Read, ReadFields, ReadZone, located, read_fields, read_zone

NO_FIELDS = AccountFields()  # of an account without a file


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What is in the files, each object by its key."""

    accounts: Mapping[str, ReadFields[AccountFields]] = field(default_factory=dict)
    maps: Mapping[str, ReadFields[MapFields]] = field(default_factory=dict)
    zones: Mapping[str, ReadZone] = field(default_factory=dict)

    def get(self, key: str) -> Read | None:
        """The object of that key, whatever it is."""
        return self.accounts.get(key) or self.maps.get(key) or self.zones.get(key)

    def problems(self) -> Iterator[Problem]:
        """What is wrong with each as it is written."""
        reads: Iterable[Read] = chain(self.accounts.values(), self.maps.values(), self.zones.values())
        return (problem for read in reads for problem in read.problems)


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """What the meaning of a map depends on, beside its file: the accounts, and each zone's name, id and account."""

    accounts: Mapping[str, Account] = field(default_factory=dict)  # by folder name
    zones: Sequence[tuple[bytes, str, str]] = ()

    def are_those_of(self, other: Surroundings) -> bool:
        """Whether every map means the same in both."""
        return self.accounts is other.accounts and self.zones == other.zones


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What the store holds: a dataset without errors, the warnings, and what the next load may take over."""

    dataset: Dataset
    warnings: tuple[Problem, ...]
    objects: Objects = field(default_factory=Objects)
    surroundings: Surroundings = field(default_factory=Surroundings)
    maps: Mapping[str, AddressMap] = field(default_factory=dict)  # by key
    said_of_maps: Mapping[str, Sequence[Problem]] = field(default_factory=dict)  # of each by itself
    said_of_zones: Mapping[str, Sequence[Problem]] = field(default_factory=dict)  # of each by itself; none are left out
    limits: RrsetLimits = DEFAULT_LIMITS  # by which the zones were judged
    places: Mapping[Problem, Problem] = field(default_factory=dict)  # a warning -> the same at its place

    def locate(self, problems: Iterable[Problem]) -> list[Problem]:
        """The problems, each at its place in the file of the object that it is in."""
        return list(_placed(problems, self.objects, {}).values())


NOTHING = Stored(Dataset({}, {}, {}), ())


def load_files(
    found: Files,
    nameservers: Iterable[str],
    previous: Stored = NOTHING,
    *,
    limits: RrsetLimits = DEFAULT_LIMITS,
    progress: Progress = no_progress,
) -> Stored:
    """The dataset in the files `found`; `nameservers` are for zones that name none themselves.

    What did not change since `previous` is taken over from it, zones as the same objects. `progress` hears now and then
    how far the reading of a zone is. Raises InvalidDataError with every problem in every file.
    """
    return Loading(nameservers, previous, progress, limits=limits).load(found)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What files say, and every problem in them; only what has no errors is a dataset to serve."""

    stored: Stored
    own: tuple[Problem, ...]  # of each object by itself, whatever the others say
    between: tuple[Problem, ...]  # of objects together

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, warnings too."""
        return self.own + self.between

    @property
    def has_errors(self) -> bool:
        """Whether one of them is no warning."""
        return any(not problem.warning for problem in self.problems)


class Loading:
    """Loads files, perhaps several variants of them: what has been read once is not read again."""

    def __init__(
        self,
        nameservers: Iterable[str],
        previous: Stored = NOTHING,
        progress: Progress = no_progress,
        *,
        limits: RrsetLimits = DEFAULT_LIMITS,
    ) -> None:
        self._nameservers = tuple(nameservers)
        self._previous = previous
        self._progress = progress
        self._limits = limits
        self._fields: dict[SourceFile, ReadFields[Any]] = {}
        self._zones: dict[tuple[SourceFile, int, str], ReadZone] = {}  # by file, its time, which is a serial; account
        self._said_of_zones: dict[ReadZone, Sequence[Problem]] = {}

    def load(self, found: Files) -> Stored:
        """The dataset in the files. Raises InvalidDataError with every problem in every file."""
        return self.accept(self.judge(found))

    def accept(self, judged: Judged) -> Stored:
        """What was judged, its warnings at their places. Raises InvalidDataError where there is an error."""
        placed = self.placed(judged)
        if any(not problem.warning for problem in placed):
            raise InvalidDataError(placed.values())
        return replace(judged.stored, warnings=tuple(placed.values()), places=placed)

    def placed(self, judged: Judged) -> dict[Problem, Problem]:
        """Each problem -> the same at its place in a file."""
        objects = judged.stored.objects
        return _placed(judged.problems, objects, _still_in_place(self._previous, objects))

    def judge(self, found: Files) -> Judged:
        """What the files say, and what is wrong with it."""
        previous = self._previous
        read_accounts = self._read_all(AccountFields, found, Kind.ACCOUNT, previous.objects.accounts)
        accounts, unresolved = _resolve_accounts(found, read_accounts, previous)
        read_maps = self._read_all(MapFields, found, Kind.MAP, previous.objects.maps)
        read_zones = self._read_zones(found, accounts)
        objects = Objects(read_accounts, read_maps, read_zones)

        zones = [read.zone for read in read_zones.values() if read.zone]
        surroundings = Surroundings(accounts, [(zone.name, zone.id, zone.account_id) for zone in zones])
        maps, without_members = _resolve_maps(read_maps, surroundings, zones, previous)
        dataset, clashes = build_dataset(accounts.values(), maps.values(), zones)
        said_of_maps = {
            key: previous.said_of_maps[key] if previous.maps.get(key) is one else tuple(map_problems(dataset, one))
            for key, one in maps.items()
        }
        said_of_zones = {key: said for key, read in read_zones.items() if (said := self._said_of_zone(key, read))}
        own = [*found.problems, *objects.problems(), *chain.from_iterable(said_of_zones.values())]
        if not zones:
            message = "there is no zone in this folder: every question will be refused"
            own.append(Problem(found.root, (), message, warning=True))
        between = [*unresolved, *without_members, *clashes, *problems_between(dataset)]
        between += chain.from_iterable(said_of_maps.values())
        if any(problem for read in read_accounts.values() for problem in read.problems if not problem.warning):
            # What their maps may use is not known without all accounts: no false alarms.
            between = [problem for problem in between if problem.rule is not Rule.OUTSIDE_SPACE]
        stored = Stored(dataset, (), objects, surroundings, maps, said_of_maps, said_of_zones, self._limits)
        return Judged(stored, tuple(own), tuple(between))

    def _said_of_zone(self, key: str, read: ReadZone) -> Sequence[Problem]:
        """What the rules say of a zone by itself."""
        previous = self._previous
        if read is previous.objects.zones.get(key) and self._limits == previous.limits:
            return previous.said_of_zones.get(key, ())
        if read not in self._said_of_zones:
            self._said_of_zones[read] = zone_problems(read.zone, self._limits) if read.zone else ()
        return self._said_of_zones[read]

    def _read_all(
        self, model: type[F], found: Files, kind: Kind, before: Mapping[str, ReadFields[F]]
    ) -> dict[str, ReadFields[F]]:
        """The accounts or the maps."""
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
        zones = {}
        for file in found.files:
            if file.kind in (Kind.ZONE_YAML, Kind.ZONE_MASTER):
                account_id = accounts[file.key.partition("/")[0]].id
                read = self._previous.objects.zones.get(file.key)
                if not (
                    read and (read.file, read.account_id, read.nameservers) == (file, account_id, self._nameservers)
                ):
                    read = self._read_zone(file, account_id)
                zones[file.key] = read
        return zones

    def _read_zone(self, file: SourceFile, account_id: str) -> ReadZone:
        which = file, file.modified, account_id
        if which not in self._zones:
            self._zones[which] = read_zone(file, account_id, self._nameservers, self._progress)
        return self._zones[which]


def _unchanged(file: SourceFile, before: Mapping[str, ReadFields[F]]) -> ReadFields[F] | None:
    read = before.get(file.key)
    return read if read and read.file == file else None


def _resolve_accounts(
    found: Files, read: Mapping[str, ReadFields[AccountFields]], previous: Stored
) -> tuple[Mapping[str, Account], list[Problem]]:
    """The accounts by folder name, those without a file too; and every problem in resolving them."""
    before = previous.surroundings.accounts
    if list(found.accounts) == list(before) and list(read.values()) == list(previous.objects.accounts.values()):
        return before, []
    fields = {name: read[name].salvaged if name in read else None for name in found.accounts}
    return resolve_accounts({name: given or NO_FIELDS for name, given in fields.items()})


def _resolve_maps(
    read: Mapping[str, ReadFields[MapFields]], surroundings: Surroundings, zones: Sequence[Zone], previous: Stored
) -> tuple[dict[str, AddressMap], list[Problem]]:
    """The address maps by key; and a problem for each member that is not to be found."""
    is_known = surroundings.are_those_of(previous.surroundings)
    by_name = {zone.name: zone for zone in reversed(zones)}  # of two with one name, the first
    by_id = {zone.id: zone for zone in zones}
    maps = {}
    problems: list[Problem] = []
    for key, one in read.items():
        if is_known and one is previous.objects.maps.get(key):
            maps[key] = previous.maps[key]
        elif one.fields:
            account = surroundings.accounts[key.partition("/")[0]]
            maps[key], found = resolve_map(key, one.fields, account, by_name, by_id)
            problems += found
    return maps, problems


def _placed(problems: Iterable[Problem], objects: Objects, known: Mapping[Problem, Problem]) -> dict[Problem, Problem]:
    """Each problem -> the same at its place in a file; each file is searched once, for all of them together."""
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
    """The places of problems that were found before, in files that are the same."""
    return {
        problem: placed
        for problem, placed in previous.places.items()
        if objects.get(problem.source) is previous.objects.get(problem.source)
    }
