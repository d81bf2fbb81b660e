"""Read plain items of a zone's `records` fast, on one line or in block style, with name and type before the content:

    - {name: www, type: A, content: 192.0.2.1, ttl: 300}

The text around the content means the same in every item. This module does not interpret it: it remembers the meaning
that the full reader found. Only names, common data, ids and times, which differ from item to item, have code of their
own. An item with an unknown part is left to the full reader. _items.c reads the plainest items, with the same meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cached_property, partial
from itertools import islice
from typing import NamedTuple, NoReturn

from dnsd.compiled import require
from dnsd.formats.plain_data import MAX_PLAIN, ParseName, parse_plain
from dnsd.formats.plain_lines import KnownParts, room_in
from dnsd.model.columns import Columns
from dnsd.model.contents import PLAIN_STRINGS, TEXT_TYPES, UNQUOTED, WITH_PRIORITY, pack_content, written_content
from dnsd.model.records import MAX_COMMENT, Identity, Record, Traits, parse_owner, parse_written_time
from dnsd.wire.addresses import packed_plain
from dnsd.wire.names import MAX_LABEL, MAX_NAME, ROOT, name_text
from dnsd.wire.rdata import AAAA, CNAME, A

try:
    require("dnsd.formats._items")
    from dnsd.formats import _items as compiled
except ImportError:  # no compiler was found
    compiled = None  # type: ignore[assignment]

MAX_AT_ONCE = 10_000  # items
UNQUOTED_STRING = re.compile(r"[!#-~][ -~]{0,254}")  # RFC 1035 §3.3: at most 255 octets
PLAIN_NAME = re.compile(r"[-\w*.]+", re.ASCII)
ADDRESS_SIZES = {A: 4, AAAA: 16}  # octets

LENGTHS = tuple(bytes((length,)) for length in range(MAX_LABEL + 1))
MOST_ALIKE, MAX_ALIKE = 1_000, 512  # meanings that are kept, and the characters of each
NO_TIMES = [None, None]
ESCAPED = re.compile(r"\\(.)")

ItemData = tuple[bytes, str | None]  # wire form, and `written` of the record's identity
ItemParts = tuple[str, str, str | None, str, str]  # the text around the content, and the comment, if there is one
Common = tuple[str, str, bool, str, str]  # the same without the comment
Meaning = tuple[Traits, int | None]  # and the priority
InterpretItem = Callable[[str], tuple[Record, int | None] | None]
ParseContent = Callable[[str], tuple[bytes, Identity | None] | None]  # any content -> wire form, and what is kept of it
Alike = tuple[int, int, ParseContent]  # of items with the same text around their contents: type, index of the traits


MEANINGS: dict[Common, Meaning] = {}  # the first ones found: the same text means the same in all zones
OF_LINES: dict[tuple[str, str], Meaning] = {}  # likewise, by the texts before and after the content


class ItemForm(NamedTuple):
    """The meaning of an item apart from its name, content, id and times."""

    rtype: int
    traits: int  # index of the traits
    priority: int | None
    datas: dict[str, ItemData]  # known contents of this type and priority, as in the text


class PlainItems:
    """The plain items of one zone's records, read into columns."""

    def __init__(self, zone_name: bytes, columns: Columns, interpret: InterpretItem) -> None:
        """`interpret` returns the record in the text of one item, and its `priority`; None if the item is wrong."""
        self.columns = columns
        self._zone_name = zone_name
        self._zone_text = name_text(zone_name)
        self._interpret = interpret
        self._meanings: dict[Common, Meaning] = {}  # with any comment
        self._datas: dict[tuple[int, int | None], dict[str, ItemData]] = {}

    @cached_property
    def _names(self) -> KnownParts:
        return KnownParts(self._zone_name, _no_meaning)

    @cached_property
    def _hosts(self) -> KnownParts:
        return KnownParts(ROOT, _no_meaning)

    def read(self, text: str, start: int, end: int, column: int) -> int:
        """Read plain items in `column` from `start` on, not all at once; return the start of the first unread line."""
        if compiled:
            columns = self.columns
            place = text, start, end, column, self._zone_name, self._zone_text
            after, traits = compiled.read(self, columns.owners, columns.rdatas, columns.identities, *place)
            columns.traits.frombytes(traits)
            if after > start:
                return after
        from dnsd.formats.item_patterns import BLOCK, FLOW

        return self._read(BLOCK, text, self._read(FLOW, text, start, end, column), end, column)

    def _read(self, pattern: re.Pattern[str], text: str, start: int, end: int, column: int) -> int:
        columns = self.columns
        owners, rdatas, traits, identities = columns.owners, columns.rdatas, columns.traits, columns.identities
        zone_name, zone_text = self._zone_name, self._zone_text
        form: ItemForm | None = None
        of_form: ItemParts | None = None
        for match in islice(pattern.finditer(text, start, end), MAX_AT_ONCE):
            indent, label, name, before, content, after, comment, later, record_id, *times, ending = match.groups()
            if indent is None or len(indent) != column:
                break
            if of_form != (parts := (before, after, comment, later, ending)):
                of_form, form = parts, self._form(parts, match)
            if label and (label := label.lower()) != zone_text:
                owner: bytes | None = LENGTHS[len(label)] + label.encode() + zone_name
            else:
                owner = self._owner(label or name)
            if form is None or owner is None or len(owner) > MAX_NAME:
                break
            data = form.datas.get(content) or self._data(form, content)
            if data is None or (form.rtype == CNAME and data[0].lower() == owner):
                break
            if record_id or data[1] is not None or times != NO_TIMES:
                created, modified = map(_time, times)
                if (created is None and times[0]) or (modified is None and times[1]):
                    break
                identities[len(owners)] = Identity(record_id and record_id.strip('"'), created, modified, data[1])
            owners.append(owner)
            rdatas.append(data[0])
            traits.append(form.traits)
            start = match.end()
        return start

    def alike(self, line: str, before: str, after: str) -> Alike | None:
        """What items with these texts before and after the content, as in this line, have in common.

        None unless the line is plain, and has these texts there.
        """
        meaning = OF_LINES.get((before, after)) or self._meaning_of(line, before, after)
        if meaning is None:
            return None
        form = self._form_of(*meaning)
        return form.rtype, form.traits, partial(self._data_alike, form)

    def _meaning_of(self, line: str, before: str, after: str) -> Meaning | None:
        from dnsd.formats.item_patterns import FLOW

        match = FLOW.match(line)
        if match is None or match[1] is None:
            return None
        _, _, _, head, _, tail, comment, later, record_id, *times, ending = match.groups()
        if comment is not None or record_id or times != NO_TIMES:
            return None
        if (before, after) != (f"{head}content: ", tail + later + ending):
            return None
        meaning = self._meaning((head, tail, None, later, ending), match)
        if meaning and len(OF_LINES) < MOST_ALIKE and len(before) + len(after) <= MAX_ALIKE:
            OF_LINES[before, after] = meaning
        return meaning

    def _data_alike(self, form: ItemForm, scalar: str) -> tuple[bytes, Identity | None] | None:
        data = form.datas.get(scalar) or self._data(form, scalar)
        return data and (data[0], None if data[1] is None else Identity(written=data[1]))

    def _form(self, parts: ItemParts, match: re.Match[str]) -> ItemForm | None:
        """The form of an item with these parts; None if the item is wrong or one for the full reader."""
        meaning = self._meaning(parts, match)
        if meaning is None:
            return None
        traits, priority = meaning
        if (comment := parts[2]) is not None:
            text = _text(comment)
            if len(text) > MAX_COMMENT:
                return None
            traits = traits._replace(comment=text)
        return self._form_of(traits, priority)

    def _form_of(self, traits: Traits, priority: int | None) -> ItemForm:
        datas = self._datas.setdefault((traits.rtype, priority), {})
        return ItemForm(traits.rtype, self.columns.index_of(traits), priority, datas)

    def _meaning(self, parts: ItemParts, match: re.Match[str]) -> Meaning | None:
        """The meaning of these parts but for the comment; None if the item is wrong or one for the full reader."""
        before, after, comment, later, ending = parts
        common = before, after, comment is None, later, ending
        meaning = self._meanings.get(common) or MEANINGS.get(common)
        if meaning is None:
            if not (found := self._interpret(match[0])):
                return None
            meaning = found[0].traits, found[1]
            room_in(self._meanings)[common] = meaning
            if len(MEANINGS) < MOST_ALIKE and len(before) + len(after) + len(later) + len(ending) <= MAX_ALIKE:
                MEANINGS[common] = meaning
        return meaning

    def _owner(self, scalar: str) -> bytes | None:
        name = _text(scalar)
        if PLAIN_NAME.fullmatch(name) and not name.lower().endswith((self._zone_text, ".")):
            return self._names.name(name.lower())
        try:
            return parse_owner(name, self._zone_name)
        except ValueError:
            return None

    def _data(self, form: ItemForm, scalar: str) -> ItemData | None:
        """The data of a content that is not known yet; None if it is wrong."""
        content = _text(scalar)
        data = _text_data(content) if form.rtype in TEXT_TYPES else None
        if data is None:
            rtype, priority = form.rtype, form.priority
            rdata = None if rtype in TEXT_TYPES else _plain_data(rtype, content, priority, self._hosts.name)
            try:
                rdata = rdata or pack_content(rtype, content, priority)
            except ValueError:
                return None
            data = rdata, written_content(rtype, content, rdata)
        room_in(form.datas)[scalar] = data
        return data


def _time(scalar: str | None) -> datetime | None:
    return parse_written_time(scalar.strip('"')) if scalar else None


def begins_plain(text: str, start: int) -> bool:
    """Whether an item from `start` on looks plain."""
    from dnsd.formats.item_patterns import BLOCK, FLOW

    return any(match[0] for match in (FLOW.match(text, start), BLOCK.match(text, start)) if match)


def _text(scalar: str) -> str:
    """The text that a scalar means."""
    if scalar[0] == '"':
        inner = scalar[1:-1]
        return ESCAPED.sub(r"\1", inner) if "\\" in inner else inner
    return scalar[1:-1].replace("''", "'") if scalar[0] == "'" else scalar


def _text_data(content: str) -> ItemData | None:
    """The data of a TXT record of printable characters without escapes; None for any other content."""
    if UNQUOTED_STRING.fullmatch(content):
        return bytes((len(content),)) + content.encode(), UNQUOTED
    if len(content) > MAX_PLAIN or not PLAIN_STRINGS.fullmatch(content):
        return None
    return b"".join(bytes((len(one),)) + one.encode() for one in content[1:-1].split('" "')), None


def _plain_data(rtype: int, content: str, priority: int | None, parse_name: ParseName) -> bytes | None:
    """The wire form of plain data, in which host names are full names; None for any other content."""
    if rtype in ADDRESS_SIZES:
        octets = packed_plain(content)
        return octets if octets and len(octets) == ADDRESS_SIZES[rtype] else None
    text = content if priority is None or rtype not in WITH_PRIORITY else f"{priority} {content}"
    parse = parse_plain(rtype) if len(text) <= MAX_PLAIN else None
    try:
        return parse(text, parse_name) if parse else None
    except ValueError:
        return None


def _no_meaning(*_: object) -> NoReturn:
    raise ValueError
