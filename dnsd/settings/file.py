"""The settings file: one YAML file, whose keys the environment can override (docs/settings.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.errors import Path as KeyPath
from dnsd.model.fields import validate
from dnsd.settings.role import role_problems
from dnsd.settings.server import DEFAULT_DATA, Settings
from dnsd.settings.written import Variables, read_settings


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings, and a function that gives later problems with them their place in the file."""

    settings: Settings
    locate: Callable[[Problem], Problem]


class InvalidSettingsError(InvalidDataError):
    """Invalid settings; `data` is the folder of the accounts, as far as it can be read."""

    def __init__(self, problems: Iterable[Problem], data: str) -> None:
        super().__init__(problems)
        self.data = data


def load_settings(file: Path, environment: Mapping[str, str] = os.environ) -> SettingsFile:
    """The settings in `file`, overridden by the environment. Raises InvalidDataError with every problem."""
    written = read_settings(file, environment)

    def locate(problem: Problem) -> Problem:
        return _located(problem, str(file), written.places, written.variables)

    settings, found = validate(Settings, written.data, str(file))
    problems = [*found, *(role_problems(settings, str(file)) if settings else ())]
    if settings is None or problems:
        raise InvalidSettingsError(map(locate, problems), written.text("data") or DEFAULT_DATA)
    return SettingsFile(settings, locate)


def _located(problem: Problem, file: str, places: Mapping[KeyPath, tuple[int, int]], variables: Variables) -> Problem:
    """The problem with its place in the file, or with the name of the variable that caused it."""
    path = problem.path
    for key, (name, _) in variables.items():
        if path and (path[: len(key)] == key or key[: len(path)] == path):
            return replace(problem, source=f"${name}")
    while path and path not in places:
        path = path[:-1]
    return replace(problem, place=Place(file, *places.get(path, (1, 1))))
