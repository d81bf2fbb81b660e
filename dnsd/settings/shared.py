"""The settings that all nodes of a fleet share: their keys, their check, and their place over a node's own settings.

Answers, and the rules on accounts, depend on them. They are one text in the fleet's state. Where a fleet has it, it is
whole: a shared key that it lacks has its default on each node, whatever the node's own file says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.errors import Path as KeyPath
from dnsd.formats.yaml_problems import YamlError
from dnsd.formats.yaml_text import Data, parse_yaml
from dnsd.model.fields import validate
from dnsd.settings.server import Settings
from dnsd.store.blocks import digest_of, text_block
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.kept_file import read_octets
from dnsd.store.text_file import MAX_KEPT, Content, NotTextError, decoded

SHARED: tuple[KeyPath, ...] = (
    ("default_addresses",),
    ("missing_family",),
    ("nameservers",),
    ("on_error",),
    ("reload", "max_drop_percent"),
    ("reload", "brake"),
    ("reload", "window"),
    ("advertisement", "max_age_s"),
    ("limits", "file_mib"),
    ("limits", "rrset_records"),
    ("limits", "rrset_octets"),
    ("quotas",),
    ("audit",),
    ("audit_days",),
)
NAME = "fleet/settings.yaml"  # in messages: the text is on no disk
MAX_SHARED = MAX_KEPT  # octets
DIFFERS = "differs from the fleet's settings, which are in force: remove it here"
OF_A_NODE = "is a setting of each node: write it in the node's own file"


@dataclass(frozen=True, slots=True)
class SharedText:
    """The shared settings as written, without errors; the places of their keys in the text, and its name."""

    data: Mapping[str, Data]
    places: Mapping[KeyPath, tuple[int, int]]
    name: str

    def locate(self, problem: Problem) -> Problem:
        """The problem with its place in the text."""
        return _located(problem, self.places, self.name)


def parse_shared(text: str, name: str = NAME) -> SharedText:
    """The shared settings in a text. Raises InvalidDataError with every problem, as the same keys in dnsd.yaml do."""
    places: dict[KeyPath, tuple[int, int]] = {}
    try:
        data = parse_yaml(text, places=places)
    except YamlError as error:
        found = [Problem("", (), message, place=Place(name, line, column)) for line, column, message in error.problems]
        raise InvalidDataError(found) from None
    _, problems = validate(Settings, data, "")
    if isinstance(data, dict):
        known = {problem.path for problem in problems}
        problems += [Problem("", path, OF_A_NODE) for path in _of_a_node(data) if path not in known]
        if data.get("default_addresses") is None:
            problems.append(Problem("", ("default_addresses",), "is missing"))
    if problems or not isinstance(data, dict):
        raise InvalidDataError(_located(problem, places, name) for problem in problems)
    return SharedText(data, places, name)


def shared_file(octets: bytes, modified: int = 0, *, name: str = NAME) -> SourceFile:
    """The file of shared settings, of which each octet travels. Raises InvalidDataError with every problem.

    `name` is that of the file from which they come, for problems.
    """
    try:
        if len(octets) > MAX_SHARED:
            raise NotTextError(f"has {len(octets):,} octets; the limit is {MAX_SHARED:,}")
        text = decoded(octets)
    except NotTextError as error:
        problem = Problem("", (), str(error), place=Place(name, error.line, error.column))
        raise InvalidDataError([problem]) from None
    parse_shared(text, name)
    blocks = (text_block(octets),)
    return SourceFile("", FileKind.SETTINGS, NAME, Content(digest_of(blocks), text, blocks), modified=modified)


def kept_shared(path: Path) -> SourceFile | None:
    """The shared settings that a server of this state folder used last; None without usable ones."""
    try:
        return shared_file(read_octets(path, MAX_SHARED))
    except (OSError, ValueError, InvalidDataError):
        return None


def is_shared(path: KeyPath) -> bool:
    """Whether a key is one of shared settings, or below one."""
    return any(path[: len(key)] == key for key in SHARED)


def with_shared(own: Data, shared: SharedText) -> Data:
    """The settings of a node as written, with the shared ones in the place of its own."""
    if not isinstance(own, dict):
        return own
    found: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in own.items()}
    for path in SHARED:
        section = found
        for key in map(str, path[:-1]):
            if section.get(key) is None:
                section[key] = {}
            section = section[key]
        if isinstance(section, dict):  # else the node's own section has an error, which is found there
            section.pop(str(path[-1]), None)
            if (value := _written(shared.data, path)) is not None:
                section[str(path[-1])] = value
    return found


def differing(own: Data, shared: SharedText) -> Iterator[KeyPath]:
    """The shared keys that a node's own file gives another value than that in force."""
    in_force, _ = validate(Settings, shared.data, "")
    for path in SHARED:
        written = _written(own, path)
        if written is not None and _parsed(path, written) != _value(in_force, path):
            yield path


def shared_part(own: Data) -> dict[str, Data]:
    """What the settings of a node, as written, give of the shared ones."""
    found: dict[str, Any] = {}
    for path in SHARED:
        if (value := _written(own, path)) is not None:
            section = found
            for key in map(str, path[:-1]):
                section = section.setdefault(key, {})
            section[str(path[-1])] = value
    return found


def changed_keys(old: Settings, new: Settings) -> Iterator[tuple[str, str, str]]:
    """The shared keys with other values, and both values in words."""
    for path in SHARED:
        before, after = _value(old, path), _value(new, path)
        if before != after:
            yield ".".join(map(str, path)), _shown(before), _shown(after)


def _of_a_node(data: Mapping[str, Data]) -> Iterator[KeyPath]:
    """The keys in shared settings that are none of theirs."""
    sections = {path[0] for path in SHARED if len(path) > 1}
    for key, value in data.items():
        if key in sections and isinstance(value, dict):
            yield from ((key, inner) for inner in value if not is_shared((key, inner)))
        elif key not in sections and not is_shared((key,)):
            yield (key,)


def _written(data: object, path: KeyPath) -> Data:
    """The value written for a key; None without one."""
    found: Any = data
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    value: Data = found
    return value


def _parsed(path: KeyPath, written: Data) -> object:
    """The value that a written one means; None if it has an error."""
    data: Any = written
    for key in reversed(path):
        data = {key: data}
    settings, _ = validate(Settings, data, "")
    return _value(settings, path)


def _value(settings: Settings | None, path: KeyPath) -> object:
    found: Any = settings
    for key in path:
        found = getattr(found, str(key), None)
    return found


def _shown(value: Any) -> str:
    """A value for people; of a section, what differs from its defaults."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if hasattr(value, "model_dump"):
        given = value.model_dump(mode="json", exclude_defaults=True)
        return ", ".join(f"{key} {one}" for key, one in given.items()) or "defaults"
    return str(value)


def _located(problem: Problem, places: Mapping[KeyPath, tuple[int, int]], name: str) -> Problem:
    path = problem.path
    while path and path not in places:
        path = path[:-1]
    return Problem(
        "", problem.path, problem.message, warning=problem.warning, place=Place(name, *places.get(path, (1, 1)))
    )
