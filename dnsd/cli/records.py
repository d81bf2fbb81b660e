"""The record commands of `dnsd zone`: single records, and a whole zone as a master file.

The API has no plan for records: --dry-run computes the change here, and prints lines of a master file with + and -.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from dnsd.api.codes import shown_faults
from dnsd.api.records.read import RecordBodyError, built_record
from dnsd.cli.client import ApiObject, Client, FailedError, fault_line, with_api
from dnsd.cli.commands import json_option
from dnsd.cli.find import find_record, find_zone
from dnsd.cli.into_open import confirmed, yes_option
from dnsd.cli.show import print_json, print_table, say
from dnsd.errors import printable
from dnsd.formats.record_line import record_line
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.records import (
    AUTOMATIC_TTL,
    UNWRITTEN,
    Record,
    RecordFields,
    RecordSettings,
    build_record,
    parse_owner,
)
from dnsd.model.requests import is_servers_own
from dnsd.store.text_file import NotTextError, decoded
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import parse_type_text

STANDARD_INPUT = "-"

zone_argument = click.argument("zone", metavar="ZONE")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show the records to add and remove; write nothing.")
ttl_option = click.option("--ttl", type=int, metavar="SECONDS", help="TTL, 60 to 86400; 1 means automatic.")
priority_option = click.option("--priority", type=int, metavar="NUMBER", help="Priority of an MX, SRV or URI record.")


@click.command("records")
@zone_argument
@click.option("--type", "rtype", metavar="TYPE", help="Only records of this type.")
@click.option(
    "--name",
    metavar="NAME",
    help="Only records at this name: relative to the zone, @ for the apex, or fully qualified.",
)
@json_option
@with_api
def records_command(api: Client, *, zone: str, rtype: str | None, name: str | None, as_json: bool) -> None:
    """List a zone's records, without SOA and apex NS."""
    found = find_zone(api, zone)
    records = api.all(_path(found), **_filter(found, rtype, name))
    if as_json:
        print_json(records)
    elif records:
        with_comments = any(one["comment"] for one in records)
        columns = ("id", "name", "type", "ttl", "proxied", "content", *(("comment",) if with_comments else ()))
        print_table(columns, [_row(one)[: len(columns)] for one in records], words=len(columns))
    else:
        say("no records match" if rtype or name else "the zone has no records")


@click.command("add-record")
@zone_argument
@click.argument("name")
@click.argument("type")
@click.argument("content")
@ttl_option
@click.option("--proxied", is_flag=True, help="Answer with edge addresses (A, AAAA and CNAME only).")
@priority_option
@click.option("--comment", metavar="TEXT", help="Comment on the record.")
@dry_run_option
@yes_option
@json_option
@with_api
def add_record_command(api: Client, *, zone: str, dry_run: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Add a record to a zone and print its id.

    NAME is relative to the zone, @ for the apex, or fully qualified. CONTENT is written as in a master file. Put `--`
    before arguments that begin with a dash.
    """
    found = find_zone(api, zone)
    body = _present(given)
    if dry_run:
        print_difference([], [_line(_built(found, body))], as_json=as_json)
    else:
        _print_done("created", confirmed(partial(api.post, _path(found), body), yes=yes), as_json=as_json)


@click.command("edit-record")
@zone_argument
@click.argument("record", metavar="ID")
@click.option("--name", metavar="NAME", help="New name.")
@click.option("--type", metavar="TYPE", help="New type; requires --content.")
@click.option("--content", metavar="CONTENT", help="New content.")
@ttl_option
@click.option("--proxied/--no-proxied", default=None, help="Answer with edge addresses, or as stored.")
@priority_option
@click.option("--comment", metavar="TEXT", help="New comment; an empty text clears it.")
@dry_run_option
@yes_option
@json_option
@with_api
def edit_record_command(
    api: Client, *, zone: str, record: str, dry_run: bool, yes: bool, as_json: bool, **given: Any
) -> None:
    """Change fields of a record.

    ID is a record's id, or the first digits of it (at least four). On a terminal, asks before an origin becomes public.
    """
    body = _present(given)
    if not body:
        raise click.UsageError("nothing to change: use an option such as --content")
    found = find_zone(api, zone)
    shown = find_record(api, found, record)
    if dry_run:
        before = _record(found, shown)
        after = _built(found, body, before)
        changed = before != after
        print_difference([_line(before)] * changed, [_line(after)] * changed, as_json=as_json)
    else:
        edited = confirmed(partial(api.patch, f"{_path(found)}/{shown['id']}", body), yes=yes)
        _print_done("edited", edited, as_json=as_json)


@click.command("delete-record")
@zone_argument
@click.argument("records", metavar="ID...", nargs=-1, required=True)
@dry_run_option
@yes_option
@json_option
@with_api
def delete_record_command(
    api: Client, *, zone: str, records: Sequence[str], dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Delete records.

    ID is a record's id, or the first digits of it (at least four). On an error, no record is deleted.
    """
    found = find_zone(api, zone)
    shown = {one["id"]: one for one in (find_record(api, found, record) for record in records)}
    if dry_run:
        print_difference([_line(_record(found, one)) for one in shown.values()], [], as_json=as_json)
        return
    body = {"deletes": [{"id": one} for one in shown]}
    result = confirmed(partial(api.post, f"{_path(found)}/batch", body), yes=yes)
    if as_json:
        print_json(result["deletes"])
    else:
        for one in shown.values():
            click.echo(f"deleted {_name(one)}")


@click.command("import")
@zone_argument
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--proxied", is_flag=True, help="Proxy all A, AAAA and CNAME records; default: as marked in the file.")
@dry_run_option
@yes_option
@json_option
@with_api
def import_command(
    api: Client, *, zone: str, file: str, proxied: bool, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Add a master file's new records to a zone.

    FILE is a path, or - for standard input. Either all new records are added or none; existing records stay. The file's
    SOA and apex NS records are skipped. --dry-run compares the file with the zone, but only the import itself detects
    conflicts between records.
    """
    found = find_zone(api, zone)
    octets = _octets(file)
    if dry_run:
        print_difference([], _imported(api, found, file, octets, proxied=proxied), as_json=as_json)
        return
    parts = {"file": (None, octets), "proxied": (None, str(proxied).lower().encode())}

    def send(**query: str) -> ApiObject:
        return api.send("POST", f"{_path(found)}/import", files=parts, params=query)

    envelope = confirmed(send, yes=yes)
    result = envelope["result"]
    if as_json:
        print_json(result)
    else:
        added, existing = result["recs_added"], result["total_records_parsed"] - result["recs_added"]
        click.echo(f"added {added:,} record{'' if added == 1 else 's'}; {existing:,} already existed")
    for message in envelope["messages"]:
        click.echo(f"warning: {printable(message['message'])}", err=True)


@click.command("export")
@zone_argument
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default=STANDARD_INPUT)
@with_api
def export_command(api: Client, *, zone: str, file: str) -> None:
    """Write a zone as a master file.

    FILE is a path, or - for standard output, the default.
    """
    text = exported(api, find_zone(api, zone))
    if file == STANDARD_INPUT:
        click.echo(text, nl=False)
        return
    try:
        Path(file).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise FailedError(f"{file} cannot be written: {error.strerror}") from None


RECORD_COMMANDS: tuple[click.Command, ...] = (
    records_command,
    add_record_command,
    edit_record_command,
    delete_record_command,
    import_command,
    export_command,
)


# Changes of records, as lines of a master file


def exported(api: Client, zone: ApiObject) -> str:
    """The text of a zone as a master file."""
    return api.text(f"{_path(zone)}/export")


def record_lines(zone_name: bytes, records: Iterable[Record]) -> list[str]:
    """Records as lines of a master file, without the SOA and the NS records at the apex."""
    return [_line(record) for record in records if not is_servers_own(zone_name, record.owner, record.rtype)]


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


def _imported(api: Client, zone: ApiObject, file: str, octets: bytes, *, proxied: bool) -> list[str]:
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


def _line(record: Record) -> str:
    return record_line(replace(record, identity=UNWRITTEN)).replace("\t", " ")


def _record(zone: ApiObject, shown: ApiObject) -> Record:
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


def _built(zone: ApiObject, body: ApiObject, before: Record | None = None) -> Record:
    """The record that the API would build from a request body. Raises FailedError where the API would refuse."""
    try:
        return built_record(body, zone_name(zone), before)
    except RecordBodyError as error:
        faults = shown_faults(error)
        raise FailedError(*(fault_line(one.path, one.message, one.code.number) for one in faults)) from None


# Requests and output


def _path(zone: ApiObject) -> str:
    return f"/zones/{zone['id']}/dns_records"


def _present(given: ApiObject) -> ApiObject:
    """The options that were given, as fields of a request."""
    return {name: value for name, value in given.items() if value is not None}


def _filter(zone: ApiObject, rtype: str | None, name: str | None) -> dict[str, str]:
    """The query for records of a type and at a name. An invalid filter is an error: it must not select all records."""
    query = {}
    try:
        if rtype is not None:
            parse_type_text(rtype.upper())
            query["type"] = rtype.upper()
        if name is not None:
            if not name.strip():
                raise ValueError("the name must not be empty; use @ for the apex")
            query["name"] = name_text(parse_owner(name.strip(), zone_name(zone)))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return query


def _octets(file: str) -> bytes:
    """The content of a file, or of standard input."""
    try:
        return sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
    except OSError as error:
        raise FailedError(f"{file} cannot be read: {error.strerror}") from None


def _row(shown: ApiObject) -> tuple[str, ...]:
    return (
        shown["id"],
        shown["name"],
        shown["type"],
        "auto" if shown["ttl"] == AUTOMATIC_TTL else str(shown["ttl"]),
        "yes" if shown["proxied"] else "-",
        _content(shown),
        shown["comment"] or "",
    )


def _content(shown: ApiObject) -> str:
    return f"{shown['priority']} {shown['content']}" if "priority" in shown else str(shown["content"])


def _name(shown: ApiObject) -> str:
    return printable(f"{shown['id']} ({shown['name']} {shown['type']} {_content(shown)})")


def _print_done(what: str, shown: ApiObject, *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        click.echo(f"{what} {_name(shown)}")
