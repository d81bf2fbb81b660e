"""User input as pydantic models: the shared base class, the scalar types, and validation errors as sentences.

A class named …Fields is an object as written in a file or a request; the frozen dataclass next to it is its resolved
form.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from dnsd.errors import Path, Problem
from dnsd.wire.names import name_text, parse_name_text

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
MAX_PROBLEMS = 100  # of one object; more would not help the reader
MAX_SHOWN = 60  # characters of the user's text in a message
F = TypeVar("F", bound="Fields")

CONTROL_CHARACTERS = re.compile(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # not allowed in texts; except \t \n \r


class Fields(BaseModel):
    """The base of all input models: unknown keys are errors, a key without a value counts as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, Mapping) else data


def parse_ip(text: Any) -> IPAddress:
    """Parse an IP address in any spelling, without a scope (`%eth0` has no meaning in DNS). Raises ValueError."""
    if isinstance(text, IPAddress):
        return text
    if not isinstance(text, str) or "%" in text:
        raise ValueError(f"{text!r} is not an IP address")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        hint = ": remove the prefix length" if "/" in text else ""
        raise ValueError(f"{text!r} is not an IP address{hint}") from None


def parse_network(text: Any) -> IPNetwork:
    """Parse a prefix such as 203.0.113.0/24, without host bits. Raises ValueError."""
    if isinstance(text, IPNetwork):
        return text
    if not isinstance(text, str) or "/" not in text:
        raise ValueError(f"{text!r} is not a prefix such as 203.0.113.0/24 or 2001:db8::/48")
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a prefix such as 203.0.113.0/24 or 2001:db8::/48") from None
    raise ValueError(f"{text!r} has host bits set; did you mean {meant}?")


def _parse_id(text: Any) -> str:
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise ValueError(f"{text!r} is not an id of 32 hexadecimal digits")
    return text.lower()


Ip = Annotated[
    IPAddress,
    BeforeValidator(parse_ip),
    WithJsonSchema({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
]
Cidr = Annotated[IPNetwork, BeforeValidator(parse_network), WithJsonSchema({"type": "string", "description": "prefix"})]


def _absolute(text: str) -> str:
    """A host name with a final dot."""
    return name_text(parse_name_text(text)).removesuffix(".") + "."


Host = Annotated[str, AfterValidator(_absolute)]
Id = Annotated[str, BeforeValidator(_parse_id), WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{32}$"})]


def derived_id(*parts: str) -> str:
    """The id of an object without an `id` in its file; the same names always give the same id."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def validate(model: type[F], data: Any, source: str, path: Path = ()) -> tuple[F | None, list[Problem]]:
    """Return the object that `data` describes, or None and all problems in it."""
    if not isinstance(data, Mapping):
        return None, [Problem(source, path, f"expected keys and values, found {_kind(data)}")]
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return None, [
            Problem(source, path + _loc(item["loc"]), _sentence(model, item, data))
            for item in error.errors(include_url=False)[:MAX_PROBLEMS]
        ]


def _loc(loc: tuple[int | str, ...]) -> Path:
    # pydantic's path includes the branches of a union, which the user did not write.
    return tuple(step for step in loc if not (isinstance(step, str) and "[" in step))


def _kind(data: Any) -> str:
    if data is None:
        return "nothing"
    if isinstance(data, list | tuple):
        return "a list"
    text = repr(data)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _sentence(model: type[BaseModel], item: Any, data: Any) -> str:
    """A pydantic error as a sentence for users."""
    kind, loc, given = item["type"], item["loc"], item["input"]
    if kind == "extra_forbidden":
        known = _known_keys(model, loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), known, 1, 0.6)
        return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known keys: {', '.join(known)}"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(item["ctx"]["error"])
    if kind in ("model_type", "dict_type", "mapping_type"):
        return f"expected keys and values, found {_kind(given)}"
    if kind in ("list_type", "tuple_type"):
        return f"expected a list, found {'keys and values' if isinstance(given, Mapping) else _kind(given)}"
    if kind == "string_type":
        return f"expected text, found {'keys and values' if isinstance(given, Mapping) else _kind(given)}"
    if kind == "timezone_aware":
        return f"expected a time with a time zone, such as 2026-01-01T00:00:00Z, found {given!r}"
    if kind == "too_short" or (kind == "string_too_short" and not given):
        return "must not be empty"
    if kind == "too_long":
        return f"has too many entries; the limit is {item['ctx']['max_length']:,}"
    if kind == "string_too_long":
        return f"has {len(given):,} characters; the limit is {item['ctx']['max_length']:,}"
    if kind.startswith("bool_"):
        return f"expected true or false, found {_kind(given)}"
    if kind.startswith("int_"):
        return f"expected a whole number, found {_kind(given)}"
    if kind in ("greater_than_equal", "less_than_equal") and (bounds := _bounds(model, loc)):
        return f"expected a number from {bounds[0]:,} to {bounds[1]:,}, found {_kind(given)}"
    wanted = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    found = "" if isinstance(given, Mapping | list) else f", found {_kind(given)}"
    return f"expected {wanted}{found}"


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys of the model at `loc` inside `model`."""
    return list(_model_at(model, loc).model_fields)


def _bounds(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[float, float] | None:
    """The minimum and maximum number at `loc`, if both are limited."""
    field = _model_at(model, loc[:-1]).model_fields.get(str(loc[-1]))
    metadata = field.metadata if field else []
    low = next((one.ge for one in metadata if hasattr(one, "ge")), None)
    high = next((one.le for one in metadata if hasattr(one, "le")), None)
    return None if low is None or high is None else (low, high)


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    for step in loc:
        field = model.model_fields.get(step) if isinstance(step, str) else None
        inner = _inner_model(field.annotation) if field else None
        model = inner or model
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found:
            return found
    return None
