"""Parse master files (RFC 1035 §5), Cloudflare's exports included, to records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dnsd.formats.zone_blocks import BlockReading, BlockText, ReadBefore, ZonePart, line_numbers
from dnsd.formats.zone_reader import MAX_PROBLEMS, TextProblem, ZoneReader
from dnsd.model.columns import Records
from dnsd.wire.names import name_text


@dataclass(frozen=True, slots=True)
class ZoneText:
    """The content of a master file: records, the line of each, problems and warnings."""

    name: bytes  # canonical; if there is an SOA, its owner name
    records: Records
    lines: Sequence[int]
    problems: list[TextProblem]
    warnings: list[TextProblem]
    parts: Sequence[ZonePart] = field(default=(), compare=False)  # to be taken over by the next reading


def parse_zone_text(
    text: str | BlockText,
    default_name: bytes,
    *,
    proxies: bool = False,
    progress: Callable[[int], None] | None = None,
    before: ReadBefore | None = None,
) -> ZoneText:
    """Parse a master file; `default_name` is the origin, and the zone's name if the file holds no SOA.

    If `proxies`, proxiable records are proxied unless their tags say no. Pass a large text in blocks; after each,
    `progress` gets the number of records so far. A repeated record counts once (RFC 2181 §5): stored zone transfers
    have the SOA first and last. `before` is an earlier form of the text, if any, read with the same name and `proxies`.
    """
    reader = ZoneReader(default_name, proxies=proxies)
    reading = BlockReading(reader, BlockText.of([text]) if isinstance(text, str) else text, before)
    try:
        reading.read(progress)
    finally:
        reader.known.release()
    return _result(reader, reading)


def _result(reader: ZoneReader, reading: BlockReading) -> ZoneText:
    """The result, with a problem for each owner name outside the zone."""
    name, problems = reader.zone_name, reader.problems
    records = reading.settle_repeats(reading.records())
    lines = line_numbers(reading.parts)
    if not records and not problems:
        problems.append(TextProblem(1, 1, "the file holds no records; to remove the zone, delete the file"))
    for index in records.outside(name, MAX_PROBLEMS):
        message = f"{name_text(records.owners[index])} lies outside the zone {name_text(name)}"
        problems.append(TextProblem(lines[index], 1, message))
    return ZoneText(name, records, lines, sorted(problems[:MAX_PROBLEMS]), reading.warnings(), tuple(reading.parts))
