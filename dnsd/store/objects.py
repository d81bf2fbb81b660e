"""Parse the file of one account, map or zone to its object, with every problem at its place.

Each object is read by itself; load.py resolves references between objects. A result depends only on the file and the
arguments, so it can be reused while these stay the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeAlias

from dnsd.errors import Problem
from dnsd.formats.kept_items import ItemsKept, ReadAlready
from dnsd.formats.yaml_items import ItemLines, find_items, parsed_rest, rest_text
from dnsd.formats.yaml_text import Data
from dnsd.formats.zone_blocks import ReadBefore, ZonePart
from dnsd.formats.zone_text import ZoneText
from dnsd.model.columns import Columns, Records
from dnsd.model.fields import MAX_PROBLEMS, F, validate
from dnsd.model.records import UNWRITTEN, Identity, RecordError, RecordFields, build_record
from dnsd.model.times import WrittenTimes
from dnsd.model.zones import Zone, ZoneFields, apex_rdatas, stand_in_zone, unwritten_zone_id
from dnsd.progress import Progress, no_progress
from dnsd.store.control_characters import ESCAPE, control_problems
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.file_reader import CHANGED, FileReader
from dnsd.store.master_file import read_master_file
from dnsd.store.text_file import Content, FileChangedError
from dnsd.store.usual_text import read_usual, usual_text, valid_fields
from dnsd.store.yaml_records import RECORDS, ItemsRead, KnownItems, read_items, same_as_before
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import NS, SOA

PLACEHOLDER_NAMESERVERS = ("ns1.dnsd.invalid.", "ns2.dnsd.invalid.")  # RFC 6761 §6.4: these names never exist


@dataclass(frozen=True, slots=True, eq=False)
class ReadFields(Generic[F]):
    """The fields of an account or a map; None if they are wrong, with the reasons in `problems`."""

    file: SourceFile
    fields: F | None
    problems: tuple[Problem, ...]
    salvaged: F | None = None  # of wrong fields, those with valid keys: other objects may refer to them


@dataclass(frozen=True, slots=True, eq=False)
class ReadZone:
    """A zone, and the position of each record in its file."""

    file: SourceFile
    account_id: str
    nameservers: tuple[str, ...]  # for a zone without its own
    zone: Zone | None  # if the file is broken, a stand-in for maps to refer to; None if it cannot have a name
    rows: Sequence[int]  # for each record, its index in a YAML file's list, or its line in a master file
    problems: tuple[Problem, ...]
    items: ItemLines | None = None  # the records of a YAML file, if each has lines of its own, which begin alike
    large: Problem | None = None  # the warning that its file is too large, if it is
    parts: Sequence[ZonePart] = ()  # of a master file of several blocks without errors

    @property
    def before(self) -> ReadBefore | None:
        """What the next reading of a master file may take over."""
        return ReadBefore(self.parts, self.zone.records) if self.parts and self.zone else None


NO_FIELDS = ZoneFields()
NO_RECORDS = Records.of(())
REPORTED = 1_000  # records of a YAML file between reports of progress

Read: TypeAlias = ReadFields[Any] | ReadZone


def read_fields(model: type[F], file: SourceFile) -> ReadFields[F]:
    """Read a file of the form `model`."""
    reader = FileReader(file)
    data = reader.data()
    if data is None:
        return ReadFields(file, None, tuple(reader.problems))
    fields, found = validate(model, data, file.key)
    reader.add_all(found)
    wrong = {problem.path[0] for problem in found if problem.path}
    salvaged = fields or validate(model, {key: data[key] for key in data.keys() - wrong}, file.key)[0]
    return ReadFields(file, fields, tuple(reader.problems), salvaged)


def read_zone(
    file: SourceFile,
    account_id: str,
    nameservers: tuple[str, ...],
    progress: Progress = no_progress,
    *,
    previous: ReadZone | None = None,
    known: ReadAlready | None = None,
) -> ReadZone:
    """Read a zone's file, and add missing apex records; calls `progress` with the number of records now and then.

    The records of a YAML file that the `previous` one has, too, are taken over. `known` is what is known of the text:
    what a master file was read as, or that a YAML file has the items of the previous one.
    """
    reader = _ZoneReader(file, account_id, nameservers, progress)
    if file.kind is FileKind.ZONE_MASTER:
        reader.read_master(known if isinstance(known, ZoneText) else None, previous)
    else:
        reader.read_yaml(known if isinstance(known, ItemsKept) else None, previous)
    zone = reader.zone or stand_in_zone(file.key, account_id)
    parts = reader.parts if len(file.content.blocks) > 1 and all(one.warning for one in reader.problems) else ()
    return ReadZone(file, account_id, nameservers, zone, reader.rows, tuple(reader.problems), reader.items, parts=parts)


def unread_zone(file: SourceFile, account_id: str, nameservers: tuple[str, ...], problem: Problem) -> ReadZone:
    """The stand-in for a zone whose file is not read, for the reason given."""
    return ReadZone(file, account_id, nameservers, stand_in_zone(file.key, account_id), (), (problem,))


class _ZoneReader(FileReader):
    """A zone's file, and the zone as far as it has been read."""

    def __init__(self, file: SourceFile, account_id: str, nameservers: tuple[str, ...], progress: Progress) -> None:
        super().__init__(file)
        self.zone: Zone | None = None  # None: the file is broken
        self.rows: Sequence[int] = ()
        self._account_id = account_id
        self._nameservers = nameservers
        self.parts: Sequence[ZonePart] = ()
        self._progress = partial(progress, file.path)

    def read_yaml(self, kept: ItemsKept | None, previous: ReadZone | None) -> None:
        """Read a YAML file item by item or, if its form or its problems do not allow that, whole."""
        if not (kept and self._read_items(previous, kept)) and not self._read_items(previous):
            self._read_whole()

    def _read_items(self, previous: ReadZone | None, kept: ItemsKept | None = None) -> bool:
        """Read a YAML file with each record on lines of its own. False: nothing is read, as the text is another one.

        With `kept`, only the rest of the text is read.
        """
        try:
            text = kept.rest if kept else "" if self.file.problem else self.file.text()
        except FileChangedError:
            return False
        if kept is None and previous is None and self._read_usual(text):
            return True
        items = find_items(text, RECORDS)
        rest = parsed_rest(text, items) if items else None
        if items is None or rest is None:
            return False
        fields, found = valid_fields(self.file.key, rest_text(text, items), rest)
        try:
            name = self._parsed_name(fields.name if fields else None)
        except ValueError:
            return False
        read: ItemsRead | None
        if kept:
            read, items = _taken_over(previous, name), kept.items
        else:
            known = _known(previous, name, self.file.content, text)
            read = read_items(self.file.key, name, text, items, known, self._progress)
        if read is None:
            return False
        if read.is_counted:
            self.items = items
        if ESCAPE in text:
            for key in rest:
                own = control_problems(self.file.key, {key: rest[key]})
                self.add_all(read.controls if key == items.key else own)
        self.add_all(found)
        self.add_all(read.problems)
        self.rows = read.rows
        self._finish(name, fields or NO_FIELDS, read.records)
        return True

    def _read_usual(self, text: str) -> bool:
        """Read a small YAML file with fields as in another one, and plain items only. False: nothing is read."""
        usual = usual_text(text)
        if usual is None:
            return False
        try:
            name = self._parsed_name(usual.fields.name)
        except ValueError:
            return False
        columns = read_usual(self.file.key, name, text, usual.items)
        if columns is None:
            return False
        self.items, self.rows = usual.items, range(len(columns.owners))
        self._progress(len(self.rows))
        self._finish(name, usual.fields, columns)
        return True

    def _read_whole(self) -> None:
        data = self.data()
        if data is None:
            return
        written = data.get("records")
        written = [] if written is None else written
        fields = self.fields(ZoneFields, {key: value for key, value in data.items() if key != "records"})
        name = self._name(fields.name if fields else None)
        if not isinstance(written, list):
            self.add(("records",), "expected a list of records")
        elif name is not None:
            self._finish(name, fields or NO_FIELDS, self._records(written, name))

    def read_master(self, known: ZoneText | None, previous: ReadZone | None) -> None:
        name = None if self.file.problem else self._name(None)
        if name is None:
            return
        try:
            before = previous.before if previous else None
            found = known or read_master_file(self.file, name, before, self._progress)
        except FileChangedError:
            self.add_at(1, 1, CHANGED)
            return
        for one, is_warning in (*((one, False) for one in found.problems), *((one, True) for one in found.warnings)):
            self.add_at(one.line, one.column, one.message, warning=is_warning)
        if found.name != name:
            message = f"the SOA's owner name is {name_text(found.name)}: the zone has that name, not the file's"
            self.add_at(1, 1, message, warning=True)
        self.rows, self.parts = found.lines, found.parts
        self._finish(found.name, NO_FIELDS, found.records)

    def _records(self, written: list[Data], zone_name: bytes) -> Records:
        records, rows = Columns(), array("I")
        already = len(self.problems)
        for index, data in enumerate(written):
            if index % REPORTED == 0:
                self._progress(index)
            if len(self.problems) - already >= MAX_PROBLEMS:
                self.add(("records", index), "too many problems; the rest of the file was not checked")
                break
            fields = self.fields(RecordFields, data, ("records", index))
            if fields is None:
                continue
            try:
                records.add(build_record(fields, zone_name))
                rows.append(index)
            except RecordError as error:
                self.add(("records", index, *error.path), str(error))
        self.rows = rows
        return records.records()

    def _finish(self, name: bytes, fields: ZoneFields, found: Records | Columns) -> None:
        """Set the zone, adding missing apex records; the SOA's serial is the time of the file's last change."""
        nameservers = fields.nameservers or self._nameservers
        if isinstance(found, Columns) and not found.has(name):  # as in most YAML files
            columns, records = found, NO_RECORDS
        else:
            columns, records = Columns(), found.records() if isinstance(found, Columns) else found
        at_apex = _first_of_types(records, name) if records is not NO_RECORDS else {}
        count = len(records) or columns.count
        if not nameservers and NS not in at_apex:
            nameservers = PLACEHOLDER_NAMESERVERS
            message = "the zone has no name servers; give them here or as `nameservers` in dnsd.yaml"
            self.add(("nameservers",), message, warning=True)
        if SOA not in at_apex or NS not in at_apex:
            given = {rtype: records.rdatas[index] for rtype, index in at_apex.items()}
            serial = self.file.modified % 2**32
            try:
                for traits, rdata in apex_rdatas(name, given, nameservers, fields.soa, serial, fields.settings.ns_ttl):
                    columns.put(name, traits, rdata)
            except ValueError as error:
                self.add(("soa",), str(error))
            made = columns.records()
            records = made if records is NO_RECORDS else records.followed_by(made)
        self.zone = Zone(
            key=self.file.key,
            id=fields.id or unwritten_zone_id(name_text(name)),
            account_id=self._account_id,
            name=name,
            status=fields.status,
            paused=fields.paused,
            settings=fields.settings,
            records=records,
            verified=fields.verified,
            written_times=_written_times(fields, records.identities.get(at_apex.get(SOA, -1), UNWRITTEN)),
            own_records=None if at_apex else len(records) - count,
        )

    def _name(self, given: str | None) -> bytes | None:
        try:
            return self._parsed_name(given)
        except ValueError as error:
            self.add(("name",) if given else (), f"the zone's name: {error}")
            return None

    def _parsed_name(self, given: str | None) -> bytes:
        return parse_name_text(given or self.file.key.rpartition("/")[2]).lower()


def _known(previous: ReadZone | None, name: bytes, content: Content, text: str) -> KnownItems | None:
    """The items of an earlier version of a zone, if all its records were read from lines of their own."""
    if not (previous and previous.items and previous.zone and _are_records(previous, name)):
        return None
    same = same_as_before(previous.file.content, content, text)
    return KnownItems(previous.items, previous.zone.records, len(previous.rows), same)


def _taken_over(previous: ReadZone | None, name: bytes) -> ItemsRead | None:
    """All items of an earlier version of a zone, under the same condition."""
    if not (previous and previous.items and previous.zone and _are_records(previous, name)):
        return None
    count = len(previous.rows)
    return ItemsRead(previous.zone.records.spliced(count, count, count, NO_RECORDS), previous.rows, [], [], True)


def _are_records(read: ReadZone, name: bytes) -> bool:
    """Whether each item is a record of the zone with this name."""
    is_same = read.zone is not None and read.zone.name == name
    return is_same and not any(problem.path[:1] == (RECORDS,) for problem in read.problems)


def _first_of_types(records: Records, name: bytes) -> dict[int, int]:
    """The index of the first record of each type at a name."""
    return {records.rtype(index): index for index in reversed(records.owners.places(name))}


def _written_times(fields: ZoneFields, of_soa: Identity) -> WrittenTimes:
    """The times in a zone's file: its own keys, or, in a master file, tags of its SOA record."""
    return WrittenTimes(
        fields.created_on or of_soa.created_on, fields.modified_on or of_soa.modified_on, fields.activated_on
    )
