"""What a node uses of the state that belongs to no account: the shared settings, and the fleet's level.

Settings that the node cannot read, such as those of a later version, take no effect: the last good ones stay in force,
also over a restart, for which they are kept in the state folder.
"""

from __future__ import annotations

from pathlib import Path

from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.fleet.level import level_of, level_problem
from dnsd.fleet.values import FleetFile, LaterValueError, ValueFormatError, pack_value, parse_value
from dnsd.settings.shared import MAX_SHARED, NAME, kept_shared, shared_file
from dnsd.store.directory import SourceFile
from dnsd.store.kept_file import read_octets
from dnsd.whole_file import replacing


def settings_value(octets: bytes, modified: int) -> bytes:
    """The value of the object with these shared settings."""
    return pack_value(FleetFile(octets, modified))


def settings_of(value: bytes) -> SourceFile:
    """The shared settings in the value of their object. Raises InvalidDataError with every problem."""
    try:
        found = parse_value(value)
    except LaterValueError as error:
        raise InvalidDataError([_wrong(f"{error}: upgrade this node")]) from None
    except ValueFormatError as error:
        raise InvalidDataError([_wrong(str(error))]) from None
    if found.is_list:
        raise InvalidDataError([_wrong("they are in blocks, in which this version of dnsd cannot read them")])
    return shared_file(found.octets, found.modified)


class SettingsInForce:
    """The settings in force and the level, from the objects as they come."""

    def __init__(self, path: Path) -> None:
        """`path` is the file of the settings used last."""
        self._path = path
        self._value: bytes | None = None
        self._is_begun = False
        self._wrong = ""  # the reason why the newest settings are not in force
        self._not_kept = ""
        self.settings: SourceFile | None = None
        self.level_problem = ""

    @property
    def is_unusable(self) -> bool:
        """Whether the fleet has settings, and none of them can be in force: without them, answers would be others."""
        return bool(self._wrong) and self.settings is None

    def problems(self) -> list[str]:
        """What the operator must know."""
        return [*filter(None, (self._wrong, self._not_kept, self.level_problem))]

    def take(self, settings: bytes | None, meta: bytes | None) -> None:
        """Take the values of both objects as they are now; None stands for a missing one. Blocks."""
        self.level_problem = level_problem(level_of(meta))
        if self._is_begun and settings == self._value:
            return
        self._is_begun, self._value = True, settings
        try:
            found = settings_of(settings) if settings is not None else None
        except InvalidDataError as error:
            self.settings = self.settings or kept_shared(self._path)
            now = "nothing is served" if self.settings is None else "the last good ones stay in force"
            self._wrong = f"the fleet's settings cannot be used, and {now}: {error.problems[0]}"
            return
        self.settings, self._wrong = found, ""
        self._keep(found)

    def _keep(self, settings: SourceFile | None) -> None:
        """Keep settings for the next start."""
        self._not_kept = ""
        try:
            if settings is None:
                self._path.unlink(missing_ok=True)
            elif self._kept_octets() != (octets := octets_of_settings(settings)):
                with replacing(self._path) as out:
                    out.write(octets)
        except OSError as error:
            self._not_kept = f"the fleet's settings cannot be kept for the next start: {error}"

    def _kept_octets(self) -> bytes | None:
        try:
            return read_octets(self._path, MAX_SHARED)
        except (OSError, ValueError):
            return None


def octets_of_settings(settings: SourceFile) -> bytes:
    """The octets of shared settings, as they were written."""
    return b"".join(map(settings.block_reader(), range(len(settings.content.blocks))))


def _wrong(message: str) -> Problem:
    return Problem("", (), message, place=Place(NAME, 1, 1))
