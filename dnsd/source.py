"""The content of all files: the settings file, and the accounts' folder that it names, as read at one moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dnsd.errors import InvalidDataError, Problem
from dnsd.process.garbage import garbage_paused
from dnsd.settings.file import InvalidSettingsError, SettingsFile, load_settings
from dnsd.settings.sections import LimitSettings
from dnsd.settings.shared import parse_shared
from dnsd.store.directory import FileKind, Files, SizeLimit, SourceFile
from dnsd.store.folder import is_folder, read_file, read_files
from dnsd.store.port import Noted, Seen
from dnsd.store.text_file import MIB, Content

NO_POOL = "is missing here, and in the fleet's settings: see `dnsd fleet settings`"


@dataclass(frozen=True, slots=True)
class Source:
    """The content of all files, with the settings in them. Sources with the same content are equal."""

    seen: Seen
    settings: SettingsFile | InvalidDataError = field(compare=False)

    @property
    def files(self) -> Files | None:
        """The accounts' files; None if their folder is missing."""
        return self.seen.files


class SettingsReader:
    """The settings in the file `config`, the environment and the fleet, parsed anew when a text of them has changed."""

    def __init__(
        self, config: Path, environment: Mapping[str, str] = os.environ, *, known: Source | None = None
    ) -> None:
        self.config = config
        self._environment = environment
        self._last = ((known.seen.settings_file, known.seen.shared), known.settings) if known else None

    def source(self, seen: Seen) -> Source:
        """What was seen, with the settings in it."""
        return Source(seen, self.settings(seen.settings_file, seen.shared))

    def settings(self, file: SourceFile, shared: SourceFile | None = None) -> SettingsFile | InvalidDataError:
        """The settings in a file just read and in those of a fleet, or their errors."""
        # The text is read before the settings: if the file changes in between, the next reading sees the difference.
        if self._last is None or self._last[0] != (file, shared):
            self._last = (file, shared), self._parsed(shared)
        return self._last[1]

    def _parsed(self, shared: SourceFile | None) -> SettingsFile | InvalidDataError:
        try:
            text = parse_shared(shared.text(), shared.path) if shared else None
            found = load_settings(self.config, self._environment, shared=text)
        except InvalidDataError as error:
            return error.with_traceback(None)
        if not found.settings.default_addresses:
            problem = found.locate(Problem(str(self.config), ("default_addresses",), NO_POOL))
            return InvalidSettingsError([problem], found.settings.data)
        return found


def read_source(
    config: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    previous: Source | None = None,
    served: Callable[[], Iterable[Content]] = tuple,
    shared: SourceFile | None = None,
) -> Source:
    """The content of all files; files unchanged since `previous` are not read again. See `read_folder`."""
    reader = SettingsReader(config, environment, known=previous)
    return reader.source(read_folder(reader, previous.seen if previous else None, served=served, shared=shared))


@garbage_paused()
def read_folder(
    reader: SettingsReader,
    known: Seen | None = None,
    *,
    is_patient: bool = False,
    served: Callable[[], Iterable[Content]] = tuple,
    noted: Noted = lambda root: None,
    shared: SourceFile | None = None,
) -> Seen:
    """See the settings file and the accounts' folder that it names; files that are as `known` are not read again.

    Unreadable files are seen, not yet an error. `is_patient` is passed to `read_files`. `served` returns the texts
    served before, and is called for a zone's file over the limit: if it may be one of them, it is read. Without
    `known`, `noted` returns files that need not be read if their status is the same. `shared` are the settings of the
    fleet to which the folder belongs.
    """
    before = known.settings_file if known else None
    file = read_file(str(reader.config), "", FileKind.SETTINGS, previous=before, now_ns=time.time_ns())
    settings = reader.settings(file, shared)
    folder = _data_folder(reader.config, settings)
    if folder is None or not is_folder(folder):
        return Seen(file, folder, None, f"there is no folder {folder}", shared)
    found = settings.settings.limits if isinstance(settings, SettingsFile) else LimitSettings()
    limit = SizeLimit(found.file_mib * MIB, served)
    files = known.files if known else noted(str(folder))
    return Seen(file, folder, read_files(folder, files, patient=is_patient, limit=limit), shared=shared)


def _data_folder(config: Path, settings: SettingsFile | InvalidDataError) -> Path | None:
    if isinstance(settings, InvalidSettingsError):
        return config.parent / settings.data
    return config.parent / settings.settings.data if isinstance(settings, SettingsFile) else None
