"""The search in a list of records as a slow model: each condition looks at the JSON of each record."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from dnsd.api.records.data import ShownData, read_content, shown_data
from dnsd.api.records.parts import quoted_text
from dnsd.model.contents import TEXT_TYPES, character_strings
from dnsd.model.spelling import folded, readings, spellings
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import parse_type_text, type_text

ShownRecord = Mapping[str, Any]  # a record as `record_json` makes it
Condition = Callable[[ShownRecord], bool]
Comparison = Callable[[str, str], bool]  # of a record's text with the query's

COMPARISONS: dict[str, Comparison] = {
    "": operator.eq,  # `name=` means `name.exact=`
    ".exact": operator.eq,
    ".contains": operator.contains,
    ".startswith": str.startswith,
    ".endswith": str.endswith,
}
ORDERS = ("type", "name", "content", "ttl", "proxied")
TEXT_TYPE_NAMES = frozenset(map(type_text, TEXT_TYPES))
NO_OWNER, NO_TYPE = b"", -1  # match no record


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Decides whether a list shows a record."""

    conditions: tuple[Condition, ...]
    needs_all: bool  # whether all conditions must hold; otherwise one suffices
    search: Condition | None  # required in addition to the conditions

    def __call__(self, shown: ShownRecord) -> bool:
        """Whether the list shows the record with this JSON."""
        if self.search and not self.search(shown):
            return False
        return (all if self.needs_all else any)(condition(shown) for condition in self.conditions)


def record_filter(query: Mapping[str, str]) -> RecordFilter:
    """The filter of a list's query; unknown and empty parameters are ignored."""
    conditions = (*_conditions(query), *_tag_conditions(query))
    needs_all = query.get("match") != "any" or len(conditions) < 2
    search = query.get("search")
    return RecordFilter(
        conditions,
        needs_all,
        partial(_is_found, spellings(search)) if search else None,
    )


def sort_key(order: str) -> Callable[[ShownRecord], Any] | None:
    """The ascending sort key of an order; None for an unknown order, which leaves the zone's own."""
    if order not in ORDERS:
        return None
    return lambda shown: (shown[order], shown["name"], shown["type"], shown["content"])


def _owner(name: str) -> bytes:
    try:
        return parse_name_text(name).lower()
    except ValueError:
        return NO_OWNER


def _rtype(text: str) -> int:
    try:
        return parse_type_text(text)
    except ValueError:
        return NO_TYPE


def _conditions(query: Mapping[str, str]) -> Iterator[Condition]:
    """All conditions except those on tags."""
    if text := query.get("type"):
        yield partial(_is_equal, "type", type_text(number) if (number := _rtype(text)) >= 0 else None)
    if (flag := query.get("proxied", "").lower()) in ("true", "false"):
        yield partial(_is_equal, "proxied", flag == "true")
    if "comment.present" in query:
        yield lambda shown: bool(shown["comment"])
    if "comment.absent" in query:
        yield lambda shown: not shown["comment"]
    for suffix, compare in COMPARISONS.items():
        if value := query.get(f"name{suffix}"):
            yield partial(_has_name, compare, (_name(value),) if compare is operator.eq else spellings(value))
        if value := query.get(f"content{suffix}"):
            yield _content_condition(compare, value)
        if value := query.get(f"comment{suffix}"):
            yield partial(_has_comment, compare, folded(value))


def _is_equal(key: str, value: Any, shown: ShownRecord) -> bool:
    return bool(shown[key] == value)


def _name(text: str) -> str:
    """A name in the form that records have; any other text unchanged."""
    owner = _owner(text)
    return name_text(owner) if owner != NO_OWNER else text


def _has_name(compare: Comparison, values: Collection[str], shown: ShownRecord) -> bool:
    return any(compare(text, value) for text in _name_texts(shown["name"]) for value in values)


def _name_texts(name: str) -> Iterator[str]:
    for text in readings(name):
        yield text
        yield f"{text}."


def _content_condition(compare: Comparison, value: str) -> Condition:
    """A condition on content: equal in meaning, or matching as text."""
    values = {*spellings(value), " ".join(folded(value).split()) or folded(value)}
    has_text = partial(_has_content, compare, values, values | ({folded(_plain(value))} - {""}))
    if compare is not operator.eq:
        return has_text
    wanted = cache(partial(_shown_as, value))
    return lambda shown: has_text(shown) or _is_same(wanted(shown["type"]), shown)


def _has_content(compare: Comparison, values: Collection[str], of_text: Collection[str], shown: ShownRecord) -> bool:
    wanted = of_text if shown["type"] in TEXT_TYPE_NAMES else values
    return any(compare(text, one) for text in _content_texts(shown) for one in wanted)


def _shown_as(text: str, mnemonic: str) -> ShownData | None:
    """Content as a record of this type would show it; None if the type cannot have it."""
    try:
        rtype = parse_type_text(mnemonic)
        rdata, has_its_priority = read_content(rtype, text)
    except ValueError:
        return None
    data = shown_data(rtype, rdata)
    return data if has_its_priority else data._replace(priority=None)


def _is_same(wanted: ShownData | None, shown: ShownRecord) -> bool:
    if wanted is None or wanted.content.casefold() != shown["content"].casefold():
        return False
    return wanted.priority is None or wanted.priority == shown["priority"]


def _content_texts(shown: ShownRecord) -> set[str]:
    """The spellings of the content that clients may send: text without quotes, a final dot, the priority before it."""
    content = shown["content"]
    if shown["type"] in TEXT_TYPE_NAMES:
        plain = _plain(content)
        texts = {content, plain, quoted_text(plain.encode())}
    elif "priority" in shown:
        texts = {content, f"{content}.", f"{shown['priority']} {content}"}
    else:
        texts = {content, f"{content}."}
    return {reading for text in texts for reading in readings(text)}


def _plain(content: str) -> str:
    """Text data without quotes and escapes, its strings joined; other content unchanged."""
    try:
        return b"".join(character_strings(content)).decode(errors="replace")
    except ValueError:
        return content


def _has_comment(compare: Comparison, value: str, shown: ShownRecord) -> bool:
    return compare(folded(shown["comment"] or ""), value)


def _is_found(values: Collection[str], shown: ShownRecord) -> bool:
    """Whether a search for one of these texts finds the record."""
    others = (shown["type"], shown["comment"] or "", *shown["tags"])
    texts = [*_name_texts(shown["name"]), *map(folded, others), *_content_texts(shown)]
    return any(value in text for value in values for text in texts)


def _tag_conditions(query: Mapping[str, str]) -> Iterator[Condition]:
    """A single condition for all tag parameters, combined as `tag_match` says."""
    conditions: list[Condition] = [
        partial(_has_tag, compare, value)
        for suffix, compare in COMPARISONS.items()
        if (value := query.get(f"tag{suffix}", "").casefold())
    ]
    if value := query.get("tag.present", "").casefold():
        conditions.append(partial(_has_tag_name, value))
    if value := query.get("tag.absent", "").casefold():
        conditions.append(lambda shown: not _has_tag_name(value, shown))
    if conditions:
        needed = any if query.get("tag_match") == "any" else all
        yield lambda shown: needed(condition(shown) for condition in conditions)


def _has_tag(compare: Comparison, value: str, shown: ShownRecord) -> bool:
    """Whether a tag matches `name:value`."""
    name, _, wanted = value.partition(":")
    tags = (tag.casefold().partition(":") for tag in shown["tags"])
    return any(tag_name == name and compare(tag_value, wanted) for tag_name, _, tag_value in tags)


def _has_tag_name(name: str, shown: ShownRecord) -> bool:
    return any(tag.casefold().partition(":")[0] == name for tag in shown["tags"])
