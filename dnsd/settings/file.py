"""The settings file: one YAML file, whose keys the environment can override (docs/settings.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.errors import Path as KeyPath
from dnsd.formats.yaml_problems import YamlError
from dnsd.formats.yaml_text import Data, parse_yaml
from dnsd.model.fields import validate
from dnsd.settings.server import DEFAULT_DATA, Settings
from dnsd.store.text_file import NotTextError, read_text

PREFIX = "DNSD_"
# Variables that are not settings: other ones of dnsd, and those set by Kubernetes for a service named dnsd.
NOT_SETTINGS = ("DNSD_CONFIG", "DNSD_API_URL", "DNSD_API_TOKEN", "DNSD_API_CA", "DNSD_SERVICE_", "DNSD_PORT")
DEFAULT_STATE = "state"


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings, and a function that gives later problems with them their place in the file."""

    settings: Settings
    locate: Callable[[Problem], Problem]


class InvalidSettingsError(InvalidDataError):
    """Invalid settings; `data` and `state` are the folders named in them, as far as they can be read."""

    def __init__(self, problems: Iterable[Problem], data: str, state: str | None) -> None:
        super().__init__(problems)
        self.data = data
        self.state = state


def load_settings(file: Path, environment: Mapping[str, str] = os.environ) -> SettingsFile:
    """The settings in `file`, overridden by the environment. Raises InvalidDataError with every problem."""
    places: dict[KeyPath, tuple[int, int]] = {}
    written_data = _read(file, places)
    variables = _overrides(environment)

    def locate(problem: Problem) -> Problem:
        return _located(problem, str(file), places, variables)

    written = _overridden(written_data, variables)
    settings, problems = validate(Settings, written, str(file))
    if settings is None:
        folders = [written.get(key) if isinstance(written, dict) else None for key in ("data", "state")]
        data, state = (folder if isinstance(folder, str) else None for folder in folders)
        raise InvalidSettingsError(map(locate, problems), data or DEFAULT_DATA, state)
    return SettingsFile(settings, locate)


def _read(file: Path, places: dict[KeyPath, tuple[int, int]]) -> Data:
    try:
        return parse_yaml(read_text(file), places=places)
    except OSError as error:
        found = [(1, 1, f"cannot be read: {error.strerror}; give a file with -c or $DNSD_CONFIG")]
    except NotTextError as error:
        found = [(error.line, error.column, str(error))]
    except YamlError as error:
        found = [(line, column, message) for line, column, message in error.problems]
    raise InvalidDataError(
        Problem(str(file), (), message, place=Place(str(file), line, column)) for line, column, message in found
    )


Variables = Mapping[KeyPath, tuple[str, Data]]  # key -> name and value of the variable


def _overrides(environment: Mapping[str, str]) -> Variables:
    """`DNSD_API__LISTEN=…` overrides `api: {listen: …}`; a value may be YAML, such as a list."""
    return {
        tuple(name.removeprefix(PREFIX).lower().split("__")): (name, _value(text))
        for name, text in sorted(environment.items())
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS) and text
    }


def _value(text: str) -> Data:
    """The text parsed as YAML if that gives a list, a mapping or null; else the text itself."""
    try:
        data = parse_yaml(text)
    except YamlError:
        return text  # such as [::1]:53
    return text if isinstance(data, str) else data


def _overridden(data: Data, variables: Variables) -> Data:
    if not isinstance(data, dict):
        return data
    merged: dict[str, Data] = dict(data)
    for path, (_, value) in variables.items():
        inner = merged
        for step in path[:-1]:
            below = inner.get(str(step))
            inner[str(step)] = copy = dict(below) if isinstance(below, dict) else {}
            inner = copy
        inner[str(path[-1])] = value
    return merged


def _located(problem: Problem, file: str, places: Mapping[KeyPath, tuple[int, int]], variables: Variables) -> Problem:
    """The problem with its place in the file, or with the name of the variable that caused it."""
    path = problem.path
    for key, (name, _) in variables.items():
        if path and (path[: len(key)] == key or key[: len(path)] == path):
            return replace(problem, source=f"${name}")
    while path and path not in places:
        path = path[:-1]
    return replace(problem, place=Place(file, *places.get(path, (1, 1))))


def state_folder(file: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder of the server with these settings, also if other settings are invalid.

    Raises InvalidDataError if the file cannot be read or parsed.
    """
    try:
        state = load_settings(file, environment).settings.state
    except InvalidSettingsError as error:
        state = error.state
    return state_folder_of(file, state, environment)


def state_folder_of(file: Path, state: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder in the settings, else systemd's (StateDirectory=), else `state` next to `file`."""
    return file.parent / (state or environment.get("STATE_DIRECTORY", "").partition(":")[0] or DEFAULT_STATE)
