"""A draft: a change under construction, as texts of files, on top of the loaded data. Nothing is written here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from dnsd.app import Loaded, LoadedChange, load_change
from dnsd.errors import BrokenRule, InvalidDataError, Path, Problem
from dnsd.formats.kept_items import ReadAlready, edited_around, keys_around, rest_around
from dnsd.formats.yaml_edit import edited_yaml, written_yaml
from dnsd.formats.yaml_item_edit import ItemEdit, edited_list
from dnsd.formats.yaml_items import ItemLines
from dnsd.formats.zone_blocks import ReadBefore
from dnsd.formats.zone_edit import edited_zone_text
from dnsd.formats.zone_text import ZoneText
from dnsd.manage.brake import Author
from dnsd.manage.draft_texts import DraftTexts
from dnsd.manage.new_keys import TakenKeys
from dnsd.manage.refusal import Reason, refused, refused_for
from dnsd.manage.request_terms import RequestTerms
from dnsd.model.changes import change_problems
from dnsd.model.dataset import Dataset
from dnsd.model.edits import RecordEdit, keep_parts
from dnsd.model.quota_rules import quota_problems
from dnsd.model.records import Record
from dnsd.model.times import time_text
from dnsd.model.zones import Zone
from dnsd.store.directory import FileKind, Files, SourceFile, account_of, path_of
from dnsd.store.files_edit import edited_files
from dnsd.store.folder import is_as_read
from dnsd.store.master_file import read_master_file
from dnsd.store.room import shortage
from dnsd.store.text_file import Content, FileChangedError, NotTextError, content_of
from dnsd.store.write import FileChange
from dnsd.store.yaml_records import RECORDS
from dnsd.wire.names import parse_name_text

Document = dict[str, Any]  # the content of a YAML file, as plain data


@dataclass(frozen=True, slots=True)
class Note:
    """The effect of a change on one object, for the audit log."""

    key: str
    before: Any
    after: Any


class Draft(DraftTexts):
    """The files with the changes of a request; `now` is the time of the request."""

    def __init__(self, loaded: Loaded, now: datetime, *, by_operator: bool) -> None:
        super().__init__()
        self.loaded = loaded
        self.now = now
        self.by_operator = by_operator
        self.forced = False  # whether address space may be withdrawn although maps answer with it
        self.author: Author | None = None  # for the brake; None: no limit
        self._written: dict[str, SourceFile] = {}  # by key
        self._removed: dict[str, SourceFile] = {}
        self._read: dict[SourceFile, ReadAlready] = {}  # what the files written were read as
        self._removed_accounts: list[str] = []
        self.notes: list[Note] = []
        self.witness: Callable[[Loaded], Any] | None = None  # makes the `Witness`, if the change needs evidence
        self.removes_records = False
        self.names_others = False  # whether a refusal tells the operator about other accounts
        self.beside: list[FileChange] = []  # of files outside of the accounts' folder, to be written with the change
        self.record_edits: dict[str, RecordEdit] = {}  # by the zone's id
        self.own_keys: set[str] = set()  # of zones whose settings are edited, by what their account's files say
        self.places: dict[str, Mapping[int, Path]] = {}  # the place of each record in the request, by key and row

    @property
    def dataset(self) -> Dataset:
        """The loaded data, without the change."""
        return self.loaded.dataset

    @property
    def stamp(self) -> str:
        """The time of the change in RFC 3339, as in files."""
        return time_text(self.now)

    def file(self, key: str) -> SourceFile:
        """An object's file, with the draft's changes. Raises KeyError if it has none."""
        return self._written.get(key) or self._remaining()[key]

    def has_file(self, key: str) -> bool:
        """Whether an object has a file; an account may have none."""
        return key in self._written or key in self._remaining()

    def written_records(self, zone: Zone) -> Iterator[Record]:
        """The records of a zone that are in its file, without the generated ones after them."""
        return islice(zone.records, len(self.loaded.stored.objects.zones[zone.key].rows))

    def note(self, key: str, before: Any, after: Any) -> None:
        """Remember the effect of the change on an object: plain data, None if the object does not exist."""
        self.notes.append(Note(key, before, after))

    def document(self, key: str) -> Document:
        """The content of an object's YAML file, as a copy to edit; empty without a file. A zone's lacks the records."""
        if not self.has_file(key):
            return {}
        file = self.file(key)
        left_out = RECORDS if file.kind is FileKind.ZONE_YAML else None
        items = self._items(file)
        data = keys_around(rest_around(self.octets(file), items) if items else self.text(file))
        return {name: _copied(value) for name, value in data.items() if name != left_out}

    def write(self, key: str, kind: FileKind, document: Mapping[str, Any]) -> None:
        """Write a document to an object's YAML file, keeping comments and style."""
        present = {name: value for name, value in document.items() if value is not None}
        if kind is not FileKind.ZONE_YAML:  # for a zone, the caller notes the relevant part
            self.note(key, self.document(key) or None, present)
        exists = self.has_file(key)
        text = edited_yaml(self.text(self.file(key)), present) if exists else written_yaml(present)
        self.write_text(key, kind, text)

    def write_zone(
        self, key: str, edit: ItemEdit | None = None, change: Callable[[Document], Document] = lambda keys: keys
    ) -> None:
        """Edit the records in a zone's YAML file, by row, and change other keys, keeping comments and style."""
        file, items = self.file(key), self._items(self.file(key))
        edited = edited_around(self.octets(file), items, change) if items and edit is None else None
        if edited is None:
            self.write_text(key, file.kind, edited_list(self.text(file), items, RECORDS, edit, change))
        else:
            self._write_content(key, file.kind, self._content(key, edited[0]))
            self._read[self._written[key]] = edited[1]

    def _items(self, file: SourceFile) -> ItemLines | None:
        """The records in a zone's file, if it was read as it is, and each has lines of its own."""
        read = self.loaded.stored.objects.zones.get(file.key)
        return read.items if read and read.file == file else None

    def edit_master(self, zone: Zone, edit: RecordEdit) -> None:
        """Edit the records in a zone's master file; of the new text, only blocks that changed are read.

        Raises RefusedError like `write_text`, and UnwritableError.
        """
        file, stored = self.file(zone.key), self.loaded.stored.objects.zones[zone.key]
        known = self._read.get(file)
        if isinstance(known, ZoneText):
            before: ReadBefore | None = ReadBefore(known.parts, known.records)
        else:
            before = stored.before if stored.file == file else None
        name, contents = parse_name_text(zone.key.rpartition("/")[2]).lower(), list[Content]()

        def read(text: str) -> ZoneText:
            contents.append(self._content(zone.key, text))
            return read_master_file(replace(file, content=contents[-1]), name, before)

        edited = edited_zone_text(self.text(file), zone, stored.rows, edit, now_s=int(self.now.timestamp()), read=read)
        self._write_content(zone.key, file.kind, contents[-1])
        self._read[self._written[zone.key]] = edited.read

    def _content(self, key: str, text: str | bytes) -> Content:
        """A text as the content of an object's file. Raises RefusedError if it is too large."""
        try:
            return content_of(text, self.file(key).content if self.has_file(key) else None)
        except NotTextError as error:
            raise refused(Reason.INVALID, f"the file of {key} would be too large: it {error}") from None

    def write_text(self, key: str, kind: FileKind, text: str) -> None:
        """Replace the text of an object's file. Raises RefusedError if it is too large or the file is not served."""
        self._write_content(key, kind, self._content(key, text))

    def _write_content(self, key: str, kind: FileKind, content: Content) -> None:
        self.check_served(key)
        modified = int(self.now.timestamp())
        if self.has_file(key):
            before = self.file(key)
            later = max(modified, before.modified + 1)
            self._written[key] = replace(before, content=content, modified=later, stamp=None)
        else:
            path = path_of(self._files.root, key, kind)
            after = self._removed[key].modified + 1 if key in self._removed else modified
            self._written[key] = SourceFile(key, kind, path, content, None, max(modified, after))

    def check_room(self, size: int) -> None:
        """Raise RefusedError unless the memory suffices to read a zone's text of so many octets before it is loaded."""
        if reason := shortage(size, self.loaded.stored.room):
            raise refused(Reason.NO_ROOM, reason)

    def remove(self, key: str) -> None:
        """Remove an object's file; a new one may be written. Raises RefusedError if the file is not served."""
        self.check_served(key)
        if self.file(key).kind is FileKind.MAP:
            self.note(key, self.document(key), None)
        self._removed[key] = self.file(key)
        self._written.pop(key, None)

    def remove_account(self, key: str) -> None:
        """Remove an account's folder with its content. Raises RefusedError if one of its files is not served."""
        read = self.loaded.source.files or self._files
        for file in (*self._files.files, *read.files):
            if account_of(file.key) == key:
                self.check_served(file.key)
        self.note(key, self.document(key), None)
        self._removed_accounts.append(key)
        for file in self._files.files:
            if file.key == key or file.key.startswith(f"{key}/"):
                self._removed[file.key] = file

    def free_key(self, folder: str, name: str) -> str:
        """An unused key in `folder`, derived from a name if possible: `acme/maps/shop-9a78c1`."""
        return self._keys().free(folder, name)

    @property
    def removes(self) -> bool:
        """Whether the change removes records, objects or an account."""
        return bool(self.removes_records or self._removed_accounts or self._removed.keys() - self._written.keys())

    def is_free(self, key: str) -> bool:
        """Whether a key is unused in any case."""
        return self._keys().is_free(key)

    def _keys(self) -> TakenKeys:
        read = self.loaded.source.files or self._files  # the files of a held account differ from the served ones
        return TakenKeys(self._files.by_key(), read.by_key(), self._files.accounts, read.accounts, self._written)

    @property
    def can_move(self) -> bool:
        """Whether it only edits maps, and records and settings of zones: such edits depend on their account alone."""
        edited = self.own_keys.union(self.dataset.zones[zone_id].key for zone_id in self.record_edits)
        edits = [key in edited or file.kind is FileKind.MAP for key, file in self._written.items()]
        if not all(edits) or self._removed or self._removed_accounts or self.beside:
            return False
        return self._written.keys() <= self._files.by_key().keys()

    def fits(self, now: Loaded) -> bool:
        """Whether the verb is known to make the same edits on other data. The rules are checked again by `load_on`."""
        then, accounts = self.loaded, set(map(account_of, self._written))  # none: it may make some there
        if not accounts or not self.can_move or then.settings != now.settings or then.held != now.held:
            return False
        return _files_of(then.files, accounts) == _files_of(now.files, accounts)

    def load_on(self, now: Loaded, known: Loaded) -> tuple[Draft, Loaded]:
        """The same edits on other data, which they fit, and that data loaded with them; this draft stays as it is.

        `known` is the result of an earlier `load`.
        """
        other = copy(self)
        other.loaded = now
        try:
            return other, other._load(LoadedChange(self.loaded, known))
        finally:
            self.names_others = other.names_others  # the requester knows this draft

    def _edited(self) -> Files:
        """The served files with the change."""
        return edited_files(self._files, self._written, self._removed.keys(), self._removed_accounts)

    def load(self) -> Loaded:
        """The loaded data with the change; the same object as before if nothing changes.

        Raises RefusedError with every rule that the change breaks.
        """
        return self._load(None)

    def _load(self, known: LoadedChange | None) -> Loaded:
        self.forget_texts()
        try:
            loaded = load_change(self.loaded, self._edited(), self.now, self._read, known=known)
        except InvalidDataError as error:
            raise refused_for(self._in_terms(error.problems)) from None
        if unresolved := [problem for problem in loaded.flattening if self._is_new_target(problem)]:
            raise refused_for(replace(problem, warning=False, path=()) for problem in unresolved)
        broken = change_problems(self.dataset, loaded.dataset, by_operator=self.by_operator, forced=self.forced)
        quotas = loaded.settings.quotas
        broken += quota_problems(self.dataset, loaded.dataset, self.loaded.uses, loaded.uses, quotas)
        if broken:
            raise refused_for(self._in_terms(broken), Reason.FORBIDDEN)
        self._keep_parts(loaded)
        return loaded

    def _keep_parts(self, loaded: Loaded) -> None:
        """Keep what is known about the records that the edits left alone, so that no question is asked of all again."""
        for zone_id, edit in self.record_edits.items():
            before, after = self.dataset.zones[zone_id], loaded.dataset.zones.get(zone_id)
            if after and after.records is not before.records:
                written = len(self.loaded.stored.objects.zones[before.key].rows)
                keep_parts(before.records, after.records, edit, written)

    def check_served(self, key: str) -> None:
        """Raise RefusedError if an object's file differs from the served version.

        Raises FileChangedError if the file on the disk was edited since it was read: it may be fixed by now.
        """
        problem = self.loaded.unserved(key)
        if problem is None:
            return
        read = self.loaded.source.files
        file = read.by_key().get(key) if read else None
        if read and read.are_on_disk and file and not is_as_read(file, read.limit):
            raise FileChangedError
        reason = self.loaded.described(problem, account_of(key), is_operator=self.by_operator)
        state = f"the file of {key} was edited, and its account is held at its last good version"
        raise refused(Reason.FORBIDDEN, f"{state}: {reason}; fix the file or undo the edit")

    def _is_new_target(self, problem: Problem) -> bool:
        """Whether the draft adds a flattened CNAME with a target outside of the zones served here."""
        if problem.rule is not BrokenRule.TARGET_OUTSIDE or problem.source not in self._written:
            return False
        return all((one.source, one.message) != (problem.source, problem.message) for one in self.loaded.flattening)

    def _in_terms(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems in terms of the request."""
        terms = RequestTerms(
            written=self._written.keys(), removed=self._removed.keys(), places=self.places, by_operator=self.by_operator
        )
        found = [*problems]
        self.names_others |= self.by_operator and any(map(terms.is_about_others, found))
        return [*map(terms.of, found)]

    def touched(self) -> list[SourceFile]:
        """The files to write or remove, as loaded; without new files."""
        files = self._files.by_key()
        return [files[key] for key in dict.fromkeys((*self._written, *self._removed)) if key in files]

    def written(self) -> list[SourceFile]:
        """The files to write."""
        return list(self._written.values())

    def _remaining(self) -> Mapping[str, SourceFile]:
        files = self._files.by_key()
        return {key: file for key, file in files.items() if key not in self._removed} if self._removed else files

    @property
    def _files(self) -> Files:
        return self.loaded.files


def _files_of(files: Files, accounts: Set[str]) -> list[tuple[SourceFile, int]]:
    """The files of accounts, with the times of their contents: a zone's serial follows from them."""
    return [(file, file.modified) for file in files.files if account_of(file.key) in accounts]


def _copied(data: Any) -> Any:
    """A deep copy of plain data."""
    if isinstance(data, dict):
        return {key: _copied(value) for key, value in data.items()}
    return [_copied(item) for item in data] if isinstance(data, list) else data
