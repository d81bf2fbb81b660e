"""The search in a zone's records: the query parameters of Cloudflare's API as tests of the parts of the zone.

A test finds the places, in one part, of the records that meet a condition. Most records are passed over without being
looked at one by one.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from dnsd.api.records.data import read_content, shown_data
from dnsd.api.records.texts import (
    DOTTED,
    END,
    MARK,
    OR,
    comment_lines,
    content_lines,
    name_lines,
    texts_of,
    unquoted,
)
from dnsd.manage.record_ids import Hidden, views
from dnsd.model.columns import Records
from dnsd.model.contents import TEXT_TYPES
from dnsd.model.record_parts import PartView, Steps
from dnsd.model.records import Traits
from dnsd.model.spelling import folded, spellings
from dnsd.model.zones import Zone
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import parse_type_text, type_text

Comparison = Callable[[str, str], bool]  # of a record's text with the query's

COMPARISONS: dict[str, Comparison] = {
    "": operator.eq,  # `name=` means `name.exact=`
    ".exact": operator.eq,
    ".contains": operator.contains,
    ".startswith": str.startswith,
    ".endswith": str.endswith,
}
NO_OWNER, NO_TYPE = b"", -1  # match no record
LOOKED_AT = 8  # if fewer than one in so many lines match, only these are looked at


class RecordTest(Protocol):
    """A condition on records."""

    def places(self, view: PartView) -> Collection[int]:
        """The places, in one part, of the records that meet the condition, counted from the part's start."""


@dataclass(frozen=True, slots=True)
class RecordSearch:
    """The records that a list shows."""

    tests: tuple[RecordTest, ...]
    needs_all: bool  # whether all tests must be met; otherwise one suffices
    anywhere: tuple[RecordTest, ...] = ()  # unless empty, one of these must be met, too

    @property
    def finds_all(self) -> bool:
        """Whether the list shows all records."""
        return not self.tests and not self.anywhere

    def found_in(self, zone: Zone) -> Steps[array[int]]:
        """The indexes of the records found, in the order of the zone's file."""
        found = array("I")
        for view in views(zone):
            places = self._places(view)
            if hidden := view.ask(Hidden(zone.name)):
                places = places - {*hidden}
            found.extend(sorted(view.start + place for place in places))
            yield
        return found

    def _places(self, view: PartView) -> set[int]:
        found = _all_places(view, self.tests) if self.needs_all else _any_place(view, self.tests)
        return found & _any_place(view, self.anywhere) if found and self.anywhere else found


def _all_places(view: PartView, tests: Iterable[RecordTest]) -> set[int]:
    found: set[int] | None = None  # None: all
    for test in tests:
        places = test.places(view)
        found = {*places} if found is None else found.intersection(places)
        if not found:
            break
    return {*range(view.part.size)} if found is None else found


def _any_place(view: PartView, tests: Iterable[RecordTest]) -> set[int]:
    return set().union(*(test.places(view) for test in tests))


@dataclass(frozen=True, slots=True)
class OwnerTest:
    """Has this owner name."""

    owner: bytes

    def places(self, view: PartView) -> list[int]:
        """See `RecordTest`."""
        owners = view.records.owners[view.start : view.stop]
        found, place = [], -1
        for _ in range(owners.count(self.owner)):
            place = owners.index(self.owner, place + 1)
            found.append(place)
        return found


@dataclass(frozen=True, slots=True)
class TraitsTest:
    """Has such traits; most records of a zone share theirs."""

    is_met: Callable[[Traits], bool]
    known: dict[int, bool] = field(default_factory=dict)  # by the number of the traits

    def places(self, view: PartView) -> Collection[int]:
        """See `RecordTest`."""
        numbers, known = view.records.traits[view.start : view.stop], self.known
        there = {*numbers}
        for number in there - known.keys():
            known[number] = self.is_met(view.records.distinct[number])
        if all(map(known.__getitem__, there)):
            return range(len(numbers))
        if not any(map(known.__getitem__, there)):
            return ()
        return [place for place, number in enumerate(numbers) if known[number]]


@dataclass(frozen=True, slots=True)
class TextTest:
    """Has a text that compares like this with one of the values."""

    lines: Callable[[Records, int, int], str]  # of texts.py
    compare: Comparison
    values: Callable[[int], frozenset[str]]  # by record type

    def places(self, view: PartView) -> list[int]:
        """See `RecordTest`."""
        joined, records = view.ask(self.lines), view.records
        types = {records.distinct[number].rtype for number in {*records.traits[view.start : view.stop]}}
        by_type = {rtype: self.values(rtype) for rtype in types}
        values = {value for some in by_type.values() for value in some if value in joined and not MARK.search(value)}
        if not values:
            return []
        if all(some >= values for some in by_type.values()):
            return [*self._by_values(joined, values, view.part.size)]
        return [
            *self._by_type(joined, values, [by_type[records.rtype(index)] for index in range(view.start, view.stop)])
        ]

    def _by_values(self, joined: str, values: set[str], size: int) -> Iterator[int]:
        """The places if records of all types are compared with all of the values."""
        is_dotted = OR not in joined and joined.count(DOTTED) == size
        if len(values) == 1 and (self.compare is operator.contains or (self.compare is str.startswith and is_dotted)):
            wanted = ("" if self.compare is operator.contains else DOTTED) + min(values)
            if joined.count(wanted) < size // LOOKED_AT:
                return _few_containing(joined, wanted)
        lines = enumerate(joined.split(END))
        if self.compare is operator.contains and len(values) == 1:
            value = min(values)
            return (place for place, line in lines if value in line)
        if self.compare is operator.contains:
            return (place for place, line in lines if any(value in line for value in values))
        if is_dotted:
            return self._of_dotted(lines, values)
        return self._by_type(joined, values, [frozenset(values)] * size)

    def _by_type(self, joined: str, values: set[str], of_each: Sequence[frozenset[str]]) -> Iterator[int]:
        """The places if each record is compared with values of its own; `values` are those that occur at all."""
        for place, line in enumerate(joined.split(END)):
            if any(value in line for value in values):
                texts = [*texts_of(line)]
                if any(self.compare(text, value) for text in texts for value in of_each[place]):
                    yield place

    def _of_dotted(self, lines: Iterable[tuple[int, str]], values: set[str]) -> Iterator[int]:
        """The same for lines that are all of one text with an optional final dot."""
        ends = (*values, *(f"{value}." for value in values))
        if self.compare is str.endswith:
            return (place for place, line in lines if line.endswith(ends))
        if self.compare is str.startswith:
            begins = tuple(DOTTED + value for value in values)
            return (place for place, line in lines if line.startswith(begins))
        whole = {DOTTED + end for end in ends}
        return (place for place, line in lines if line in whole)


def _few_containing(joined: str, wanted: str) -> Iterator[int]:
    """The numbers of the lines with a text, without a look at the others."""
    number, start, found = 0, 0, joined.find(wanted)
    while found >= 0:
        number += joined.count(END, start, found)
        yield number
        start = joined.find(END, found)
        found = joined.find(wanted, start) if start >= 0 else -1


def record_search(query: Mapping[str, str]) -> RecordSearch:
    """The search of a list's query; unknown and empty parameters are ignored."""
    tests = (*_tests(query), *_tag_tests(query))
    needs_all = query.get("match") != "any" or len(tests) < 2
    text = query.get("search")
    return RecordSearch(tests, needs_all, tuple(_anywhere(text)) if text else ())


def _tests(query: Mapping[str, str]) -> Iterator[RecordTest]:
    """All tests except those of tags."""
    if text := query.get("type"):
        yield TraitsTest(partial(_has_type, _rtype(text)))
    if (flag := query.get("proxied", "").lower()) in ("true", "false"):
        yield TraitsTest(partial(_is_proxied, flag == "true"))
    if "comment.present" in query:
        yield TraitsTest(lambda traits: bool(traits.comment))
    if "comment.absent" in query:
        yield TraitsTest(lambda traits: not traits.comment)
    for suffix, compare in COMPARISONS.items():
        if value := query.get(f"name{suffix}"):
            is_whole = compare is operator.eq
            yield OwnerTest(_owner(value)) if is_whole else _text_test(name_lines, compare, spellings(value))
        if value := query.get(f"content{suffix}"):
            yield _content_test(compare, value)
        if value := query.get(f"comment{suffix}"):
            yield _text_test(comment_lines, compare, (folded(value),))


def _has_type(rtype: int, traits: Traits) -> bool:
    return traits.rtype == rtype


def _is_proxied(wanted: bool, traits: Traits) -> bool:
    return traits.proxied is wanted


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


def _text_test(lines: Callable[[Records, int, int], str], compare: Comparison, values: Iterable[str]) -> TextTest:
    always = frozenset(values)
    return TextTest(lines, compare, lambda rtype: always)


def _content_test(compare: Comparison, value: str) -> TextTest:
    """A test of content: equal in meaning, or matching as text."""
    always = frozenset({*spellings(value), " ".join(folded(value).split()) or folded(value)})
    of_text = always | ({folded(unquoted(value))} - {""})
    by_type: dict[int, frozenset[str]] = {}

    def values(rtype: int) -> frozenset[str]:
        if rtype not in by_type:
            by_type[rtype] = of_text if rtype in TEXT_TYPES else always
            if compare is operator.eq:
                by_type[rtype] |= _as_shown(rtype, value)
        return by_type[rtype]

    return TextTest(content_lines, compare, values)


def _as_shown(rtype: int, content: str) -> frozenset[str]:
    """The content as a record of this type would show it; empty if the type cannot have it."""
    try:
        rdata, has_its_priority = read_content(rtype, content)
    except ValueError:
        return frozenset()
    shown = shown_data(rtype, rdata)
    is_ranked = has_its_priority and shown.priority is not None
    return frozenset({folded(f"{shown.priority} {shown.content}" if is_ranked else shown.content)})


def _anywhere(text: str) -> Iterator[RecordTest]:
    """Tests for a text in names, contents, comments, types or tags."""
    values = spellings(text)
    for lines in (name_lines, content_lines, comment_lines):
        yield _text_test(lines, operator.contains, values)
    yield TraitsTest(partial(_has_in_type_or_tags, values))


def _has_in_type_or_tags(values: Sequence[str], traits: Traits) -> bool:
    texts = [*map(folded, (type_text(traits.rtype), *traits.tags))]
    return any(value in text for value in values for text in texts)


def _tag_tests(query: Mapping[str, str]) -> Iterator[RecordTest]:
    """A single test for all tag parameters, combined as `tag_match` says."""
    conditions: list[Callable[[Traits], bool]] = [
        partial(_has_tag, compare, value)
        for suffix, compare in COMPARISONS.items()
        if (value := query.get(f"tag{suffix}", "").casefold())
    ]
    if value := query.get("tag.present", "").casefold():
        conditions.append(partial(_has_tag_name, value))
    if value := query.get("tag.absent", "").casefold():
        conditions.append(lambda traits: not _has_tag_name(value, traits))
    if conditions:
        needed = any if query.get("tag_match") == "any" else all
        yield TraitsTest(lambda traits: needed(condition(traits) for condition in conditions))


def _has_tag(compare: Comparison, value: str, traits: Traits) -> bool:
    """Whether a tag matches `name:value`."""
    name, _, wanted = value.partition(":")
    tags = (tag.casefold().partition(":") for tag in traits.tags)
    return any(tag_name == name and compare(tag_value, wanted) for tag_name, _, tag_value in tags)


def _has_tag_name(name: str, traits: Traits) -> bool:
    return any(tag.casefold().partition(":")[0] == name for tag in traits.tags)
