"""A draft: a change in the making, as texts of files, on top of what is loaded. Nothing is written here."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from dnsd.app import Loaded, load_change
from dnsd.errors import InvalidDataError, Path, Problem, Rule
from dnsd.formats.yaml_edit import NO_ORIGINS, Origins, edited_yaml, written_yaml
from dnsd.formats.yaml_text import parse_yaml
from dnsd.manage.refusal import Reason, refused, refused_for
from dnsd.model.changes import change_problems
from dnsd.model.dataset import Dataset
from dnsd.model.records import Record
from dnsd.model.times import time_text
from dnsd.model.zones import Zone
from dnsd.store.directory import Files, Kind, SourceFile, is_as_read
from dnsd.store.files_edit import edited_files
from dnsd.store.hold import account_of
from dnsd.store.text_file import FileChangedError, NotTextError, content_of

SUFFIXES = {Kind.ACCOUNT: "/account.yaml", Kind.MAP: ".yaml", Kind.ZONE_YAML: ".yaml", Kind.ZONE_MASTER: ".zone"}

OF_REQUESTS = ("ips", "memberships", "description", "default_sni", "enabled", "immutable", "name", "status", "verified")

Document = dict[str, Any]  # what a YAML file says, as plain data


@dataclass(frozen=True, slots=True)
class Note:
    """What a change does to one object."""

    key: str
    before: Any
    after: Any


class Draft:
    """What a request wants of the files; `now` is when it was made."""

    def __init__(self, loaded: Loaded, now: datetime, *, by_operator: bool) -> None:
        self.loaded = loaded
        self.now = now
        self.by_operator = by_operator
        self._written: dict[str, SourceFile] = {}  # by key
        self._removed: dict[str, SourceFile] = {}
        self._gone_accounts: list[str] = []
        self.notes: list[Note] = []
        self.places: dict[str, Mapping[int, Path]] = {}  # where in the request each record is, by key and row

    @property
    def dataset(self) -> Dataset:
        """What is loaded."""
        return self.loaded.dataset

    @property
    def stamp(self) -> str:
        """The time of the change as it is written down: RFC 3339."""
        return time_text(self.now)

    def file(self, key: str) -> SourceFile:
        """The file of an object, as the draft has it. Raises KeyError where there is none."""
        return self._written.get(key) or self._kept()[key]

    def has_file(self, key: str) -> bool:
        """Whether an object has a file: an account need not."""
        return key in self._written or key in self._kept()

    def written_records(self, zone: Zone) -> Iterator[Record]:
        """The records of a zone that its file says; the others are made where it lacks them."""
        return islice(zone.records, len(self.loaded.stored.objects.zones[zone.key].rows))

    def note(self, key: str, before: Any, after: Any) -> None:
        """Remember what the change does to an object, for people; plain data, None for what is not there."""
        self.notes.append(Note(key, before, after))

    def document(self, key: str) -> Document:
        """What an object's YAML file says, to be changed; nothing where there is no file."""
        data = parse_yaml(self.file(key).text()) if self.has_file(key) else {}
        assert isinstance(data, dict)
        return {key: _copied(value) for key, value in data.items()}

    def write(self, key: str, kind: Kind, document: Mapping[str, Any], origins: Origins = NO_ORIGINS) -> None:
        """Have an object's YAML file say this, with all else in it as it is; `origins` is that of `edited_yaml`."""
        said = {name: value for name, value in document.items() if value is not None}
        if kind is not Kind.ZONE_YAML:  # of a zone, who changes it knows what is worth telling
            self.note(key, self.document(key) or None, said)
        is_there = self.has_file(key)
        self.write_text(
            key, kind, edited_yaml(self.file(key).text(), said, origins) if is_there else written_yaml(said)
        )

    def write_text(self, key: str, kind: Kind, text: str) -> None:
        """Have an object's file be this text. Raises RefusedError where it is too large, or is not what is served."""
        self.check_served(key)
        modified = int(self.now.timestamp())
        try:
            content = content_of(text)
        except NotTextError as error:
            raise refused(Reason.INVALID, f"the file of {key} would be too large: it {error}") from None
        if self.has_file(key):
            before = self.file(key)
            self._written[key] = replace(
                before, content=content, modified=max(modified, before.modified + 1), stamp=None
            )
        else:
            path = os.path.join(self._files.root, key + SUFFIXES[kind])
            after = self._removed[key].modified + 1 if key in self._removed else modified
            self._written[key] = SourceFile(key, kind, path, content, None, max(modified, after))

    def remove(self, key: str) -> None:
        """Have an object's file go; another one may be written for it. Raises RefusedError if it is not served."""
        self.check_served(key)
        if self.file(key).kind is Kind.MAP:
            self.note(key, self.document(key), None)
        self._removed[key] = self.file(key)
        self._written.pop(key, None)

    def remove_account(self, key: str) -> None:
        """Have an account's folder go, with all that is in it. Raises RefusedError if some of it is not served."""
        found = self.loaded.source.files or self._files
        for file in (*self._files.files, *found.files):
            if account_of(file.key) == key:
                self.check_served(file.key)
        self.note(key, self.document(key), None)
        self._gone_accounts.append(key)
        for file in self._files.files:
            if file.key == key or file.key.startswith(f"{key}/"):
                self._removed[file.key] = file

    def free_key(self, folder: str, name: str) -> str:
        """A key in `folder` that no object has, readable where it can be: `acme/maps/shop-9a78c1`."""
        prefix = f"{folder}/" if folder else ""
        stem = slug(name)
        key = f"{prefix}{stem or 'x'}"
        while not stem or not self.is_free(key):
            stem = f"{stem or 'x'}-{secrets.token_hex(3)}"
            key = f"{prefix}{stem}"
        return key

    def is_free(self, key: str) -> bool:
        """Whether no object has a key, in small letters or large ones: not every disk tells them apart."""
        wanted = key.lower()
        found = self.loaded.source.files or self._files  # an account that is held has other files than those served
        taken = (*self._files.by_key(), *found.by_key(), *self._files.accounts, *found.accounts, *self._written)
        return all(one.lower() != wanted for one in taken)

    def _edited(self) -> Files:
        """The files that are served once the change is made."""
        return edited_files(self._files, self._written, self._removed.keys(), self._gone_accounts)

    def load(self) -> Loaded:
        """What is loaded once the change is made; what is loaded now, if it changes nothing.

        Raises RefusedError with every rule that forbids it.
        """
        try:
            loaded = load_change(self.loaded, self._edited(), self.now)
        except InvalidDataError as error:
            raise refused_for(map(self._of_request, error.problems)) from None
        if unresolved := [problem for problem in loaded.flattening if self._is_new_target(problem)]:
            raise refused_for(replace(problem, warning=False, path=()) for problem in unresolved)
        broken = change_problems(self.dataset, loaded.dataset, by_operator=self.by_operator)
        if broken:
            raise refused_for(map(self._of_request, broken), Reason.FORBIDDEN)
        return loaded

    def check_served(self, key: str) -> None:
        """Raise RefusedError for an object whose file says something else than what is served.

        Raises FileChangedError where the file has been edited since: it may be mended.
        """
        problem = self.loaded.unserved(key)
        if problem is None:
            return
        found = self.loaded.source.files.by_key().get(key) if self.loaded.source.files else None
        if found and not is_as_read(found):
            raise FileChangedError
        why = self.loaded.described(problem, account_of(key), is_operator=self.by_operator)
        what = f"the file of {key} was edited, and its account is held at its last good version"
        raise refused(Reason.FORBIDDEN, f"{what}: {why}; mend that, or put back what the file said")

    def _is_new_target(self, problem: Problem) -> bool:
        """Whether a CNAME that nobody could resolve would come with the draft."""
        if problem.rule is not Rule.TARGET_OUTSIDE or problem.source not in self._written:
            return False
        return all((one.source, one.message) != (problem.source, problem.message) for one in self.loaded.flattening)

    def _of_request(self, problem: Problem) -> Problem:
        """A problem as who made the request can understand it: what is in another file is said with its name.

        Of what other accounts have, the operator alone hears.
        """
        if not self.by_operator and not self._accounts() >= {account_of(problem.source), account_of(problem.other)}:
            path = problem.path if problem.source in self._written else ()
            return replace(problem, path=path, message="it clashes with what another account has")
        if problem.source in self._written or problem.source in self._removed:
            return replace(problem, path=self._place(problem))
        return replace(problem, path=(), message=f"{problem.source}: {problem.message}")

    def _place(self, problem: Problem) -> Path:
        """Where in the request a problem is, of which we know where in a file it is."""
        first, *rest = problem.path or ("",)
        if first == "records":
            return self.places.get(problem.source, {}).get(rest[0], ()) if rest and isinstance(rest[0], int) else ()
        if first in ("prefixes", "static_ips"):
            return tuple(step for step in rest[-1:] if isinstance(step, str))
        return problem.path if first in OF_REQUESTS else ()

    def _accounts(self) -> set[str]:
        """The accounts, by their keys, whose files the draft changes."""
        return {"", *map(account_of, (*self._written, *self._removed))}

    def touched(self) -> list[SourceFile]:
        """The files that are written or removed, as they were loaded; new ones are left out."""
        known = self._files.by_key()
        return [known[key] for key in dict.fromkeys((*self._written, *self._removed)) if key in known]

    def written(self) -> list[SourceFile]:
        """The files that are written."""
        return list(self._written.values())

    def _kept(self) -> Mapping[str, SourceFile]:
        known = self._files.by_key()
        return {key: file for key, file in known.items() if key not in self._removed} if self._removed else known

    @property
    def _files(self) -> Files:
        return self.loaded.files


def slug(name: str) -> str:
    """A name as part of a file's name; empty where nothing of it can be."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split()
    return "-".join(words)[:40]


def _copied(data: Any) -> Any:
    """Data that shares nothing with what was read."""
    if isinstance(data, dict):
        return {key: _copied(value) for key, value in data.items()}
    return [_copied(item) for item in data] if isinstance(data, list) else data
