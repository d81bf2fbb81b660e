"""Files to a dataset: read everything, report every problem at its place, and hand over all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.errors import Path as ObjectPath
from dnsd.model.accounts import Account, AccountFields
from dnsd.model.dataset import Dataset, build_dataset, problems, resolve_accounts, resolve_map
from dnsd.model.fields import MAX_PROBLEMS, F, Fields, derived_id, validate
from dnsd.model.maps import MapFields
from dnsd.model.records import Record, RecordError, RecordFields, build_record
from dnsd.model.zones import Status, Zone, ZoneFields, ZoneSettings, apex_records
from dnsd.store.directory import Files, Kind, SourceFile, read_files
from dnsd.store.yaml_text import Data, Places, YamlError, parse_yaml
from dnsd.store.zone_text import parse_zone_text
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import NS, type_text

PLACEHOLDER_NAMESERVERS = ("ns1.dnsd.invalid.", "ns2.dnsd.invalid.")  # RFC 6761 §6.4: no such names exist

Locate = Callable[[Problem], Problem]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds: a dataset without errors, the warnings, and where problems found later stand."""

    dataset: Dataset
    warnings: tuple[Problem, ...]
    locate: Locate


def load_directory(root: Path, nameservers: Iterable[str]) -> Stored:
    """The dataset in the folder `root`; `nameservers` are for zones that name none themselves.

    Raises InvalidDataError with every problem in every file.
    """
    reader = _Reader(tuple(nameservers))
    reader.read(read_files(root))
    dataset = reader.dataset()
    if not dataset.zones:
        message = "there is no zone in this folder: every question will be refused"
        reader.problems.append(Problem(str(root), (), message, warning=True))
    located = [reader.locate(problem) for problem in reader.problems]
    if any(not problem.warning for problem in located):
        raise InvalidDataError(located)
    return Stored(dataset, tuple(located), reader.locate)


@dataclass(slots=True)
class _Reader:
    """The objects read so far, and what is needed to say where a problem in one of them stands."""

    nameservers: tuple[str, ...]
    problems: list[Problem] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    maps: dict[str, MapFields] = field(default_factory=dict)
    zones: dict[str, Zone] = field(default_factory=dict)
    sources: dict[str, SourceFile] = field(default_factory=dict)
    accounts_are_whole: bool = True
    # Where each record of a zone is written: its index in a YAML file's list, or its line in a master file.
    yaml_indexes: dict[str, list[int]] = field(default_factory=dict)
    master_lines: dict[str, list[int]] = field(default_factory=dict)
    places: dict[str, Places] = field(default_factory=dict)

    def read(self, found: Files) -> None:
        """Read accounts first, as the other objects refer to them."""
        self.sources = {file.key: file for file in found.files}
        self.problems += found.problems
        self._read_accounts(found)
        for key in found.unread:
            if "/zones/" in key:
                self._add_stand_in(key)
        for file in self.sources.values():
            if file.kind is Kind.MAP:
                fields = self._fields(MapFields, file, self._data(file))
                if fields:
                    self.maps[file.key] = fields
            elif file.kind is Kind.ZONE_YAML:
                self._read_yaml_zone(file)
            elif file.kind is Kind.ZONE_MASTER:
                self._read_master_zone(file)

    def dataset(self) -> Dataset:
        """All of it together; what the rules say is added to the problems."""
        by_name = {zone.name: zone for zone in reversed(self.zones.values())}  # of two with one name, the first
        by_id = {zone.id: zone for zone in self.zones.values()}
        maps = []
        for key, fields in self.maps.items():
            address_map, found = resolve_map(key, fields, self._account(key), by_name, by_id)
            maps.append(address_map)
            self.problems += found
        dataset, found = build_dataset(self.accounts.values(), maps, self.zones.values())
        found += problems(dataset)
        # Without all accounts, what their maps may use is not known: no false alarms.
        self.problems += [p for p in found if self.accounts_are_whole or "/maps/" not in p.source]
        return dataset

    def locate(self, problem: Problem) -> Problem:
        """The problem with its place in the file of the object that it is in."""
        file = self.sources.get(problem.source)
        if problem.place or file is None:
            return problem
        path = problem.path
        if path[:1] == ("records",) and len(path) > 1:
            index = int(path[1])
            if file.kind is Kind.ZONE_MASTER:
                record = self.zones[file.key].records[index]
                lines = self.master_lines[file.key]
                line = lines[index] if index < len(lines) else 1
                words = f"{name_text(record.owner)} {type_text(record.rtype)}"
                return replace(problem, path=(words,), place=Place(file.path, line, 1))
            written = self.yaml_indexes[file.key]
            path = ("records", written[index], *path[2:]) if index < len(written) else ("nameservers",)
        return replace(problem, path=path, place=self._place(file, path))

    def _read_accounts(self, found: Files) -> None:
        written = {}
        self.accounts_are_whole = not any("/" not in key for key in found.unread)
        for name in found.accounts:
            written[name] = AccountFields()
            file = self.sources.get(name)
            if file:
                fields = self._fields(AccountFields, file, self._data(file))
                self.accounts_are_whole &= fields is not None
                written[name] = fields or written[name]
        self.accounts, problems_found = resolve_accounts(written)
        self.problems += problems_found

    def _read_yaml_zone(self, file: SourceFile) -> None:
        self._add_stand_in(file.key)
        data = self._data(file)
        if not isinstance(data, dict):
            return
        written = data.get("records")
        written = [] if written is None else written
        fields = self._fields(ZoneFields, file, {key: value for key, value in data.items() if key != "records"})
        name = self._zone_name(file, fields.name if fields else None)
        if not isinstance(written, list):
            self._problem(file, ("records",), "expected a list of records")
        elif name is not None:
            self._add_zone(file, name, fields or ZoneFields(), self._records(file, written, name))

    def _records(self, file: SourceFile, written: list[Data], zone_name: bytes) -> list[Record]:
        records, indexes = [], []
        already = len(self.problems)
        for index, data in enumerate(written):
            if len(self.problems) - already >= MAX_PROBLEMS:
                self._problem(file, ("records", index), "there are problems enough already; the rest is not read")
                break
            fields, found = validate(RecordFields, data, file.key, ("records", index))
            self.problems += [replace(problem, place=self._place(file, problem.path)) for problem in found]
            if fields is None:
                continue
            try:
                records.append(build_record(fields, zone_name))
                indexes.append(index)
            except RecordError as error:
                self._problem(file, ("records", index, *error.path), str(error))
        self.yaml_indexes[file.key] = indexes
        return records

    def _read_master_zone(self, file: SourceFile) -> None:
        self._add_stand_in(file.key)
        name = self._zone_name(file, None)
        if name is None:
            return
        found = parse_zone_text(file.text, name)
        self.problems += [_in_text(file, *astuple(problem)) for problem in found.problems]
        self.master_lines[file.key] = found.lines
        if found.name != name:
            message = f"the SOA record is of {name_text(found.name)}: the zone is served by that name, not the file's"
            self.problems.append(replace(_in_text(file, 1, 1, message), warning=True))
        self._add_zone(file, found.name, ZoneFields(), found.records)

    def _add_zone(self, file: SourceFile, name: bytes, fields: ZoneFields, records: list[Record]) -> None:
        """Add the zone with what it lacks at its apex; the SOA's serial is the time of the file's last change."""
        nameservers = fields.nameservers or self.nameservers
        if not nameservers and not any(record.owner == name and record.rtype == NS for record in records):
            nameservers = PLACEHOLDER_NAMESERVERS
            message = "the zone has no name servers; give them here or as `nameservers` in dnsd.yaml"
            self.problems.append(Problem(file.key, ("nameservers",), message, warning=True))
        try:
            records += apex_records(name, records, nameservers, fields.soa, file.modified % 2**32)
        except ValueError as error:
            self._problem(file, ("soa",), str(error))
        self.zones[file.key] = Zone(
            key=file.key,
            id=fields.id or derived_id("zone", name_text(name)),
            account_id=self._account(file.key).id,
            name=name,
            status=fields.status,
            paused=fields.paused,
            settings=fields.settings,
            records=tuple(records),
        )

    def _add_stand_in(self, key: str) -> None:
        """Something that maps can refer to where a zone's file is broken: one mistake is not reported as two."""
        name = key.rpartition("/")[2]
        with suppress(ValueError):
            wire, zone_id = parse_name_text(name).lower(), derived_id("zone", name)
            account_id = self._account(key).id
            self.zones[key] = Zone(key, zone_id, account_id, wire, Status.ACTIVE, False, ZoneSettings(), ())

    def _account(self, key: str) -> Account:
        return self.accounts[key.partition("/")[0]]

    def _zone_name(self, file: SourceFile, given: str | None) -> bytes | None:
        try:
            return parse_name_text(given or file.key.rpartition("/")[2]).lower()
        except ValueError as error:
            self._problem(file, ("name",) if given else (), f"the zone's name: {error}")
            return None

    def _data(self, file: SourceFile) -> Data:
        """What the file says; None where it cannot be read as keys and values, which is among the problems then."""
        try:
            data = parse_yaml(file.text)
        except YamlError as error:
            self.problems += [_in_text(file, *problem) for problem in error.problems]
            return None
        if not isinstance(data, dict):
            self.problems += validate(Fields, data, file.key)[1]
            return None
        return data

    def _fields(self, model: type[F], file: SourceFile, data: Data) -> F | None:
        """The validated object; None where it is wrong, which is among the problems then."""
        if data is None:
            return None
        fields, found = validate(model, data, file.key)
        self.problems += found
        return fields

    def _problem(self, file: SourceFile, path: ObjectPath, message: str) -> None:
        self.problems.append(Problem(file.key, path, message, place=self._place(file, path)))

    def _place(self, file: SourceFile, path: ObjectPath) -> Place:
        """Where `path`, or as much of it as is written, stands in a file."""
        if file.kind is Kind.ZONE_MASTER:
            return Place(file.path, 1, 1)
        if file.key not in self.places:
            # Parsed a second time: problems are rare, and places cost more memory than all else.
            self.places[file.key] = {}
            with suppress(YamlError):
                parse_yaml(file.text, places=self.places[file.key])
        places = self.places[file.key]
        while path and path not in places:
            path = path[:-1]
        return Place(file.path, *places.get(path, (1, 1)))


def _in_text(file: SourceFile, line: int, column: int, message: str) -> Problem:
    return Problem(file.key, (), message, place=Place(file.path, line, column))
