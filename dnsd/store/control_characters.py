"""Control characters in comments, descriptions and tags of YAML files, where only escapes can write them."""

from __future__ import annotations

from collections.abc import Iterator

from dnsd.errors import Path, Problem
from dnsd.formats.yaml_text import Data
from dnsd.model.fields import CONTROL_CHARACTERS

ESCAPE = "\\"  # in every text with control characters
TEXTS = ("comment", "description", "tags")  # keys of texts for people
CONTROL = "has control characters, which the next version refuses: remove them"


def control_problems(source: str, data: Data, path: Path = ()) -> Iterator[Problem]:
    """A warning for each text with control characters."""
    return (Problem(source, place, CONTROL, warning=True) for place in controlled_texts(data, path))


def controlled_texts(data: Data, path: Path = (), *, is_text: bool = False) -> Iterator[Path]:
    """The paths of texts with control characters."""
    if isinstance(data, str):
        if is_text and CONTROL_CHARACTERS.search(data):
            yield path
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from controlled_texts(value, (*path, key), is_text=key in TEXTS)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from controlled_texts(value, (*path, index), is_text=is_text)
