"""The settings file: one YAML file, whose keys the environment can override (docs/settings.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.errors import Path as KeyPath
from dnsd.formats.yaml_text import Data
from dnsd.model.fields import validate
from dnsd.settings.role import role_problems
from dnsd.settings.server import DEFAULT_DATA, Settings
from dnsd.settings.shared import DIFFERS, SharedText, differing, is_shared, with_shared
from dnsd.settings.written import Variables, read_settings


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings, a function that gives later problems with them their place in the file, and warnings."""

    settings: Settings
    locate: Callable[[Problem], Problem]
    warnings: tuple[Problem, ...] = ()


class InvalidSettingsError(InvalidDataError):
    """Invalid settings; `data` is the folder of the accounts, as far as it can be read."""

    def __init__(self, problems: Iterable[Problem], data: str) -> None:
        super().__init__(problems)
        self.data = data


def load_settings(
    file: Path, environment: Mapping[str, str] = os.environ, *, shared: SharedText | None = None
) -> SettingsFile:
    """The settings in `file`, overridden by the environment, and these by those of a fleet, if it has any.

    Raises InvalidDataError with every problem.
    """
    written = read_settings(file, environment)

    def in_file(problem: Problem) -> Problem:
        return _located(problem, str(file), written.places, written.variables)

    def locate(problem: Problem) -> Problem:
        return shared.locate(problem) if shared and is_shared(problem.path) else in_file(problem)

    data = with_shared(written.data, shared) if shared else written.data
    settings, found = validate(Settings, data, str(file))
    problems = [*found, *_without_pool(data, str(file)), *(role_problems(settings, str(file)) if settings else ())]
    if settings is None or problems:
        raise InvalidSettingsError(map(locate, problems), written.text("data") or DEFAULT_DATA)
    paths = differing(written.data, shared) if shared else ()
    warnings = tuple(in_file(Problem(str(file), path, DIFFERS, warning=True)) for path in paths)
    return SettingsFile(settings, locate, warnings)


def _without_pool(data: Data, source: str) -> Iterator[Problem]:
    """The problem of a server without a pool that belongs to no fleet, from which it could have one."""
    if isinstance(data, dict) and data.get("default_addresses") is None and data.get("fleet") is None:
        yield Problem(source, ("default_addresses",), "is missing")


def _located(problem: Problem, file: str, places: Mapping[KeyPath, tuple[int, int]], variables: Variables) -> Problem:
    """The problem with its place in the file, or with the name of the variable that caused it."""
    path = problem.path
    for key, (name, _) in variables.items():
        if path and (path[: len(key)] == key or key[: len(path)] == path):
            return replace(problem, source=f"${name}")
    while path and path not in places:
        path = path[:-1]
    return replace(problem, place=Place(file, *places.get(path, (1, 1))))
