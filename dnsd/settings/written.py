"""The settings as written in the file and the environment, not yet checked.

They have the state folder, so that a command which asks a running server imports no rules (docs/settings.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dnsd.errors import InvalidDataError, Place, Problem
from dnsd.errors import Path as KeyPath
from dnsd.formats.yaml_problems import YamlError
from dnsd.formats.yaml_text import Data, parse_yaml
from dnsd.store.text_file import NotTextError, read_text

PREFIX = "DNSD_"
# Variables that are not settings: other ones of dnsd, and those set by Kubernetes for a service named dnsd.
NOT_SETTINGS = ("DNSD_CONFIG", "DNSD_API_URL", "DNSD_API_TOKEN", "DNSD_API_CA", "DNSD_SERVICE_", "DNSD_PORT")
DEFAULT_STATE = "state"

Variables = Mapping[KeyPath, tuple[str, Data]]  # key -> name and value of the variable


@dataclass(frozen=True, slots=True)
class WrittenSettings:
    """The settings, with the places of those in the file and the variables of the others."""

    data: Data
    places: Mapping[KeyPath, tuple[int, int]]
    variables: Variables

    def text(self, key: str) -> str | None:
        """The text written for a key of the first level, None if there is none."""
        value = self.data.get(key) if isinstance(self.data, dict) else None
        return value if isinstance(value, str) else None


def read_settings(file: Path, environment: Mapping[str, str] = os.environ) -> WrittenSettings:
    """The settings in `file`, overridden by the environment.

    Raises InvalidDataError if the file cannot be read or parsed.
    """
    places: dict[KeyPath, tuple[int, int]] = {}
    data = _read(file, places)
    variables = _overrides(environment)
    return WrittenSettings(_overridden(data, variables), places, variables)


def state_folder(file: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder of the server with these settings, also if other settings are invalid.

    Raises InvalidDataError if the file cannot be read or parsed.
    """
    return state_folder_of(file, read_settings(file, environment).text("state"), environment)


def state_folder_of(file: Path, state: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The state folder in the settings, else systemd's (StateDirectory=), else `state` next to `file`."""
    return file.parent / (state or environment.get("STATE_DIRECTORY", "").partition(":")[0] or DEFAULT_STATE)


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
