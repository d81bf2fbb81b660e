"""The style of generated YAML: plain data as lines of text, in the style of hand-written files.

Top-level entries get lines of their own; nested values use flow style. PyYAML's emitter writes every scalar; this
module only chooses the quotes. It knows nothing of existing text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import yaml

from dnsd.formats.yaml_problems import MAX_DEPTH, TOO_DEEP
from dnsd.formats.yaml_text import STR_TAG, Data

PlainData: TypeAlias = "Mapping[str, PlainData] | Sequence[PlainData] | str | int | float | bool | None"

MAX_WIDTH = 100  # columns of a line with a list of scalars
MAX_KEY = 100  # characters; with every one escaped, a key still has fewer than the 1024 of YAML 1.1 §9.3
UNLIMITED = 2**31 - 1  # libyaml takes an int

DUMPER: type[yaml.CSafeDumper | yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
RESOLVE: Callable[[type[yaml.Node], str, tuple[bool, bool]], str] = yaml.resolver.Resolver().resolve

# Unmistakably text, written without quotes. A matter of taste: the emitter quotes every scalar that needs quotes.
PLAIN = re.compile(r"[\w./](?:[\w./+=@%;()$*!<>~^' -]*[\w./+=@%;()$*!<>~^'-])?", re.ASCII)
# Not resolved by PyYAML: numbers of YAML 1.2, and booleans of YAML 1.1 as other parsers read them.
NUMBER = re.compile(r"(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?|0o[0-7]+|[yYnN]", re.ASCII)


class _Unquoted(str):
    """The text of a number or a boolean."""

    __slots__ = ()


def as_read(data: PlainData, depth: int = 0) -> Data:
    """The data as `parse_yaml` reads it back: scalars are text, and keys with the value None are dropped.

    Numbers and booleans equal their text (`true`) but are written without quotes. Raises ValueError for more than
    MAX_DEPTH levels.
    """
    if data is None or isinstance(data, str):
        return data
    if isinstance(data, bool):
        return _Unquoted(str(data).lower())
    if isinstance(data, int | float):
        return _Unquoted(data)
    if depth == MAX_DEPTH:
        raise ValueError(TOO_DEEP)
    if isinstance(data, Mapping):
        return {key: as_read(value, depth + 1) for key, value in data.items() if value is not None}
    return [as_read(item, depth + 1) for item in data]


def document_lines(data: Data) -> list[str]:
    """The lines of a whole file, without line breaks."""
    if isinstance(data, dict) and data and max(map(len, data)) <= MAX_KEY:
        return [line for key, value in data.items() for line in entry_lines(key, value, 0)]
    if isinstance(data, list) and data:
        return [f"- {item}" for item in flow_texts(data)]
    return flow_texts([data])


def entry_lines(key: str, value: Data, column: int) -> list[str]:
    """The lines of a mapping's entry that begins in `column`, from 0."""
    head = " " * column + flow_texts([key])[0] + ":"
    first, *below = value_lines(value, column, MAX_WIDTH - len(head))
    return [head + first, *below]


def value_lines(value: Data, column: int, room: int) -> list[str]:
    """The text after the colon of a key in `column`, at most `room` wide, followed by the lines below it."""
    if not isinstance(value, list) or not value:
        return [" " + flow_texts([value])[0]]
    items = flow_texts(value)
    line = f" [{', '.join(items)}]"
    if len(line) <= room and not any(isinstance(item, dict | list) for item in value):
        return [line]
    return ["", *(f"{' ' * column}  - {item}" for item in items)]


def flow_texts(values: Sequence[Data]) -> list[str]:
    """Each value in flow style, on one line, safe in any context. Raises ValueError for a lone surrogate."""
    quick = [_mapping_text(value) if isinstance(value, dict) else None for value in values]
    emitted = iter(emitted_texts([value for value, text in zip(values, quick, strict=True) if text is None]))
    return [next(emitted) if text is None else text for text in quick]


def _mapping_text(value: dict[str, Data]) -> str | None:
    """A mapping of usual scalars as the emitter writes it, which takes ten times longer; None for any other."""
    parts = []
    for key, item in value.items():
        key_text, text = _scalar_text(key), _scalar_text(item)
        if key_text is None or text is None or len(key) > MAX_KEY:
            return None
        parts.append(f"{key_text}: {text}")
    return f"{{{', '.join(parts)}}}" if parts else None


def _scalar_text(value: Data) -> str | None:
    """A scalar of printable ASCII characters as the emitter writes it; None for any other value."""
    if not isinstance(value, str) or not value or not (value.isascii() and value.isprintable()):
        return None
    if isinstance(value, _Unquoted):
        return value if value.isdecimal() or value in ("true", "false") else None
    if '"' in value:
        return None if value[0] != '"' else "'" + value.replace("'", "''") + "'"
    if value.startswith(("...", "---")) or "\\" in value:
        return None
    return value if _is_usual(value) else f'"{value}"'


def emitted_texts(values: Sequence[Data]) -> list[str]:
    """The same by PyYAML's emitter alone."""
    # Brackets make the emitter quote for flow context; one document per value, so that one call writes them all.
    nodes = [_node([value]) for value in values]
    text = str(yaml.serialize_all(nodes, Dumper=DUMPER, width=UNLIMITED, allow_unicode=True))
    return [line.removeprefix("--- ")[1:-1] for line in text.split("\n")[:-1]]


def _node(value: Data) -> yaml.Node:
    if isinstance(value, dict):
        pairs = [(_node(key), _node(item)) for key, item in value.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=True)
    if isinstance(value, list):
        return yaml.SequenceNode("tag:yaml.org,2002:seq", [_node(item) for item in value], flow_style=True)
    if value is None or isinstance(value, _Unquoted):
        text = "null" if value is None else str(value)
        return yaml.ScalarNode(_resolved_tag(text), text)
    return yaml.ScalarNode(STR_TAG, value, style=None if _is_plain(value) else '"')


@lru_cache(maxsize=4_096)
def _is_usual(text: str) -> bool:
    return _is_plain(text)


def _is_plain(text: str) -> bool:
    """Whether the emitter may choose the quotes of a text; if not, use double quotes."""
    if '"' in text:
        return text.isascii() and text.isprintable()
    return _resolved_tag(text) == STR_TAG and bool(PLAIN.fullmatch(text)) and not NUMBER.fullmatch(text)


def _resolved_tag(text: str) -> str:
    return RESOLVE(yaml.ScalarNode, text, (True, False))
