"""Changes of records as lines of a master file, with + and -.

The API has no plan for records: --dry-run computes the change here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import click

from dnsd.api.codes import shown_faults
from dnsd.api.records.read import RecordBodyError, built_record
from dnsd.cli.client import ApiObject, Client, FailedError, fault_line
from dnsd.cli.show import print_json
from dnsd.errors import printable
from dnsd.formats.record_line import record_line
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.records import UNWRITTEN, Record, RecordFields, RecordSettings, build_record
from dnsd.model.requests import is_servers_own
from dnsd.store.text_file import NotTextError, decoded
from dnsd.wire.names import name_text, parse_name_text


def exported(api: Client, zone: ApiObject, *, answered: bool = False) -> str:
    """The text of a zone as a master file: as stored, or as DNS answers it."""
    return api.text(f"{records_path(zone)}/export{'?view=answered' if answered else ''}")


def record_lines(zone_name: bytes, records: Iterable[Record]) -> list[str]:
    """Records as lines of a master file, without the SOA and the NS records at the apex."""
    return [line_of(record) for record in records if not is_servers_own(zone_name, record.owner, record.rtype)]


def print_difference(removed: Sequence[str], added: Sequence[str], *, as_json: bool) -> None:
    """Print the records to remove and to add."""
    if as_json:
        print_json({"removed": list(removed), "added": list(added)})
        return
    for mark, colour, lines in (("-", "red", removed), ("+", "green", added)):
        for line in lines:
            click.secho(f"{mark} {printable(line)}", fg=colour)
    click.echo(f"{len(added):,} to add, {len(removed):,} to remove; nothing was written")


def zone_name(zone: ApiObject) -> bytes:
    """The name of a zone, canonical."""
    return parse_name_text(zone["name"]).lower()


def imported_lines(api: Client, zone: ApiObject, file: str, octets: bytes, *, proxied: bool) -> list[str]:
    """The lines of the records that an import would add."""
    name = zone_name(zone)
    try:
        found = parse_zone_text(decoded(octets, any_octets=True), name, proxies=proxied)
    except NotTextError as error:
        raise FailedError(f"{file}:{error.line}:{error.column}: {error}") from None
    if found.problems:
        raise FailedError(*(f"{file}:{one.line}:{one.column}: {one.message}" for one in found.problems))
    if found.name != name:
        raise FailedError(f"{file} holds the zone {name_text(found.name)}, not {zone['name']}")
    existing = {record.duplicate_key for record in parse_zone_text(exported(api, zone), name).records}
    new = (record for record in found.records if record.duplicate_key not in existing)
    return record_lines(name, new)


def line_of(record: Record) -> str:
    """A record as a line, without its id and times."""
    return record_line(replace(record, identity=UNWRITTEN)).replace("\t", " ")


def shown_record(zone: ApiObject, shown: ApiObject) -> Record:
    """The record in the API's form `shown`."""
    fields = RecordFields(
        name=f"{shown['name']}.",
        type=shown["type"],
        content=shown["content"],
        ttl=shown["ttl"],
        priority=shown.get("priority"),
        proxied=shown["proxied"],
        settings=RecordSettings(**shown["settings"]),
        comment=shown["comment"],
        tags=tuple(shown["tags"]),
    )
    return build_record(fields, zone_name(zone))


def record_of_body(zone: ApiObject, body: ApiObject, before: Record | None = None) -> Record:
    """The record that the API would build from a request body. Raises FailedError where the API would refuse."""
    try:
        return built_record(body, zone_name(zone), before)
    except RecordBodyError as error:
        faults = shown_faults(error)
        raise FailedError(*(fault_line(one.path, one.message, one.code.number) for one in faults)) from None


def records_path(zone: ApiObject) -> str:
    """The path of a zone's records in the API."""
    return f"/zones/{zone['id']}/dns_records"
