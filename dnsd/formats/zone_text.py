"""Parse master files (RFC 1035 §5), Cloudflare's exports included, to records."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dnsd.formats.zone_entries import NEWLINE
from dnsd.formats.zone_reader import MAX_ENTRY, MAX_PROBLEMS, TextProblem, ZoneReader
from dnsd.model.columns import Records
from dnsd.wire.names import name_text

PACKED = 4096  # records between calls of `Columns.pack`


@dataclass(frozen=True, slots=True)
class ZoneText:
    """The content of a master file: records, the line of each, problems and warnings."""

    name: bytes  # canonical; if there is an SOA, its owner name
    records: Records
    lines: Sequence[int]
    problems: list[TextProblem]
    warnings: list[TextProblem]


def parse_zone_text(
    text: str | Iterable[str],
    default_name: bytes,
    *,
    proxies: bool = False,
    progress: Callable[[int], None] | None = None,
    before: Records | None = None,
) -> ZoneText:
    """Parse a master file; `default_name` is the origin, and the zone's name if the file holds no SOA.

    If `proxies`, proxiable records are proxied unless their tags say no. Pass a large text in blocks of whole lines;
    after each block, `progress` gets the number of records so far. A repeated record counts once (RFC 2181 §5): stored
    zone transfers have the SOA first and last. `before` are the records of an earlier form of the text, if any.
    """
    reader = ZoneReader(default_name, proxies=proxies)
    try:
        _read(reader, iter([text] if isinstance(text, str) else text), progress)
    finally:
        reader.known.release()
    return _result(reader, before)


def _read(reader: ZoneReader, blocks: Iterator[str], progress: Callable[[int], None] | None) -> None:
    rest = ""  # not read yet: the beginning of an entry
    for block in blocks:
        if len(rest) > MAX_ENTRY:  # search for its end once in all of the text, not again with each block
            block = "".join((block, *blocks))
        rest += NEWLINE.sub("\n", block) if "\r" in block else block
        # After a backslash, a newline may be part of a quoted string that ends in the next block.
        if not rest.endswith("\\\n"):
            rest = reader.read(rest)
            reader.columns.pack(at_least=PACKED)
        if progress:
            progress(len(reader.lines))
    reader.read_entry(reader.read(rest))


def _result(reader: ZoneReader, before: Records | None) -> ZoneText:
    """The result, with a problem for each owner name outside the zone."""
    name, lines, problems = reader.zone_name, reader.lines, reader.problems
    records = reader.columns.records(before)
    if repeated := records.repeats().keys():
        records = records.without(repeated)
        lines = array("I", (line for index, line in enumerate(lines) if index not in repeated))
    if not records and not problems:
        problems.append(TextProblem(1, 1, "the file holds no records; to remove the zone, delete the file"))
    for index in records.outside(name, MAX_PROBLEMS):
        message = f"{name_text(records.owners[index])} lies outside the zone {name_text(name)}"
        problems.append(TextProblem(lines[index], 1, message))
    return ZoneText(name, records, lines, sorted(problems[:MAX_PROBLEMS]), reader.warnings)
