"""The fields of a body that its model lacks: accepted without effect, refused, or ignored with a note.

Cloudflare's own fields that dnsd does not have are refused, unless their value asks for nothing: null, empty,
Cloudflare's default, or what the object shows now. Fields that neither has are refused on dnsd's own routes; on
Cloudflare's, where real clients send extra keys, they are ignored, with a note.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel

from dnsd.errors import Path
from dnsd.manage.refusal import Fault, Reason

MAX_NOTES = 20  # of one request
ABSENT = object()


class Unavailable(NamedTuple):
    """A field of Cloudflare's that dnsd does not have."""

    defaults: tuple[Any, ...] = ()  # values that ask for nothing, besides null, empty ones, and what is shown
    remedy: str = ""


def other_fields(model: type[BaseModel], data: Mapping[str, Any], shown: Any, path: Path = ()) -> Iterator[Fault | str]:
    """The faults and notes for fields of `data` that `model` lacks; `shown` is the object as clients see it now."""
    unavailable: Mapping[str, Unavailable] = getattr(model, "unavailable", {})
    for name, value in data.items():
        now = shown.get(name, ABSENT) if isinstance(shown, Mapping) else ABSENT
        if name in model.model_fields:
            yield from _nested(model, name, value, now, path)
        elif _asks_for_nothing(value, now):
            continue
        elif name in unavailable:
            defaults, remedy = unavailable[name]
            if not any(_is_same(value, one) for one in defaults):
                message = f"{name} is not available here" + (f": {remedy}" if remedy else "")
                yield Fault(Reason.INVALID, message, (*path, name))
        elif getattr(model, "is_ours", False):
            near = difflib.get_close_matches(name, model.model_fields, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield Fault(Reason.INVALID, f"unknown field{hint}", (*path, name))
        else:
            yield f"{'.'.join(map(str, (*path, name)))} is ignored: there is no such field"


def first_of(found: Iterable[Fault | str], most: int) -> tuple[list[Fault], list[str]]:
    """The first faults, `most` at most, and the first notes; a body of thousands of faults is not read to its end."""
    faults: list[Fault] = []
    notes: list[str] = []
    for one in found:
        if isinstance(one, Fault):
            faults.append(one)
            if len(faults) == most:
                break
        elif len(notes) < MAX_NOTES:
            notes.append(one)
    return faults, notes


def _nested(model: type[BaseModel], name: str, value: Any, shown: Any, path: Path) -> Iterator[Fault | str]:
    """The faults and notes within a field that is an object, or a list of objects."""
    inner = next(_models(model.model_fields[name].annotation), None)
    if inner and isinstance(value, Mapping):
        yield from other_fields(inner, value, shown, (*path, name))
    elif inner and isinstance(value, list):
        for index, one in enumerate(value):
            if isinstance(one, Mapping):
                yield from other_fields(inner, one, _shown_item(inner, one, shown), (*path, name, index))


def _shown_item(model: type[BaseModel], item: Mapping[str, Any], shown: Any) -> Any:
    """The item of a list that an item of a body describes: all fields of the model are equal; else None."""
    for one in shown if isinstance(shown, list) else ():
        if isinstance(one, Mapping) and all(item.get(name) == one.get(name) for name in model.model_fields):
            return one
    return None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in the type of a field."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _asks_for_nothing(value: Any, shown: Any) -> bool:
    """Whether a value is null, empty, or part of what is shown."""
    if value is None or value in ("", [], {}) or _is_same(value, shown):
        return True
    if isinstance(value, Mapping):
        return all(_asks_for_nothing(one, _part(shown, name)) for name, one in value.items())
    return False


def _part(shown: Any, name: str) -> Any:
    return shown.get(name, ABSENT) if isinstance(shown, Mapping) else ABSENT


def _is_same(value: Any, other: Any) -> bool:
    """Whether two values are equal in JSON, where true is not 1, and 1.0 is 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)
