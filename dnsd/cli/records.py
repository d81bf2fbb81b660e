"""The commands of `dnsd zone` that are about records: one by one, and a whole zone as a master file.

What a command would do to records is shown as lines of a master file, with + and -; the API has no plan for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dnsd.api.record_shape import RecordBodyError, built_record
from dnsd.cli.client import Client, FailedError, Shape, fault_line, with_api
from dnsd.cli.commands import json_option
from dnsd.cli.find import find_record, find_zone
from dnsd.cli.show import print_json, print_table, say
from dnsd.errors import printable
from dnsd.model.records import (
    AUTOMATIC_TTL,
    UNWRITTEN,
    Record,
    RecordFields,
    RecordSettings,
    build_record,
    parse_owner,
)
from dnsd.store.record_line import record_line
from dnsd.store.text_file import NotTextError, decoded
from dnsd.store.zone_text import parse_zone_text
from dnsd.wire.names import name_text, parse_name_text
from dnsd.wire.rdata import NS, SOA, canonical_rdata, parse_type_text

STANDARD_INPUT = "-"

zone_argument = click.argument("zone", metavar="ZONE")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show the records that would come and go; write nothing.")
ttl_option = click.option("--ttl", type=int, metavar="SECONDS", help="60 to 86400; 1 means automatic.")
priority_option = click.option("--priority", type=int, metavar="NUMBER", help="Of MX, SRV and URI.")


@click.command("records")
@zone_argument
@click.option("--type", "rtype", metavar="TYPE", help="Of this type alone.")
@click.option(
    "--name", metavar="NAME", help="At this name alone: relative to the zone, @ for the zone itself, or full."
)
@json_option
@with_api
def records_command(api: Client, *, zone: str, rtype: str | None, name: str | None, as_json: bool) -> None:
    """Show the records of a zone, without its SOA and the NS records at its apex."""
    found = find_zone(api, zone)
    records = api.all(_path(found), **_filter(found, rtype, name))
    if as_json:
        print_json(records)
    elif records:
        with_comments = any(one["comment"] for one in records)
        columns = ("id", "name", "type", "ttl", "proxied", "content", *(("comment",) if with_comments else ()))
        print_table(columns, [_row(one)[: len(columns)] for one in records], words=len(columns))
    else:
        say("there are no such records" if rtype or name else "the zone has no records")


@click.command("add-record")
@zone_argument
@click.argument("name")
@click.argument("type")
@click.argument("content")
@ttl_option
@click.option("--proxied", is_flag=True, help="Answered with edge addresses: A, AAAA and CNAME.")
@priority_option
@click.option("--comment", metavar="TEXT", help="For people.")
@dry_run_option
@json_option
@with_api
def add_record_command(api: Client, *, zone: str, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Add a record to a zone, and print its id.

    NAME is relative to the zone, @ for the zone itself, or full; CONTENT as in a master file. What begins with a dash
    goes behind `--`.
    """
    found = find_zone(api, zone)
    body = _said(given)
    if dry_run:
        print_difference([], [_line(_built(found, body))], as_json=as_json)
    else:
        _print_done("created", api.post(_path(found), body), as_json=as_json)


@click.command("edit-record")
@zone_argument
@click.argument("record", metavar="ID")
@click.option("--name", metavar="NAME", help="Another name.")
@click.option("--type", metavar="TYPE", help="Another type; takes --content.")
@click.option("--content", metavar="CONTENT", help="Other data.")
@ttl_option
@click.option("--proxied/--no-proxied", default=None, help="Answered with edge addresses, or as stored.")
@priority_option
@click.option("--comment", metavar="TEXT", help="For people; an empty text clears it.")
@dry_run_option
@json_option
@with_api
def edit_record_command(api: Client, *, zone: str, record: str, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Change some fields of a record, which is given by its id, or by the beginning of one."""
    body = _said(given)
    if not body:
        raise click.UsageError("nothing to change: give a field, such as --content")
    found = find_zone(api, zone)
    shown = find_record(api, found, record)
    if dry_run:
        before = _record(found, shown)
        after = _built(found, body, before)
        changed = before != after
        print_difference([_line(before)] * changed, [_line(after)] * changed, as_json=as_json)
    else:
        _print_done("edited", api.patch(f"{_path(found)}/{shown['id']}", body), as_json=as_json)


@click.command("delete-record")
@zone_argument
@click.argument("records", metavar="ID...", nargs=-1, required=True)
@dry_run_option
@json_option
@with_api
def delete_record_command(api: Client, *, zone: str, records: Sequence[str], dry_run: bool, as_json: bool) -> None:
    """Delete records, each given by its id, or by the beginning of one: all of them, or with an error none."""
    found = find_zone(api, zone)
    shown = {one["id"]: one for one in (find_record(api, found, record) for record in records)}
    if dry_run:
        print_difference([_line(_record(found, one)) for one in shown.values()], [], as_json=as_json)
        return
    result = api.post(f"{_path(found)}/batch", {"deletes": [{"id": one} for one in shown]})
    if as_json:
        print_json(result["deletes"])
    else:
        for one in shown.values():
            click.echo(f"deleted {_name(one)}")


@click.command("import")
@zone_argument
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--proxied", is_flag=True, help="All A, AAAA and CNAME records proxied; else those that say so.")
@dry_run_option
@json_option
@with_api
def import_command(api: Client, *, zone: str, file: str, proxied: bool, dry_run: bool, as_json: bool) -> None:
    """Add the records of a master FILE (- is standard input) that a zone does not have; all of them, or none.

    Nothing is taken out of the zone. The file's SOA, and its NS records at the apex, are passed over. With --dry-run,
    the file is read and compared; whether records go together is looked at when they are imported.
    """
    found = find_zone(api, zone)
    octets = _octets(file)
    if dry_run:
        print_difference([], _imported(api, found, file, octets, proxied=proxied), as_json=as_json)
        return
    parts = {"file": (None, octets), "proxied": (None, str(proxied).lower().encode())}
    said = api.send("POST", f"{_path(found)}/import", files=parts)
    result = said["result"]
    if as_json:
        print_json(result)
    else:
        added, there = result["recs_added"], result["total_records_parsed"] - result["recs_added"]
        click.echo(f"added {added:,} record{'' if added == 1 else 's'}; {there:,} had been there")
    for message in said["messages"]:
        click.echo(f"warning: {printable(message['message'])}", err=True)


@click.command("export")
@zone_argument
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default=STANDARD_INPUT)
@with_api
def export_command(api: Client, *, zone: str, file: str) -> None:
    """Write a zone as a master file, to FILE or to standard output."""
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


# What records would come and go


def exported(api: Client, zone: Shape) -> str:
    """A zone as a master file."""
    return api.text(f"{_path(zone)}/export")


def record_lines(zone_name: bytes, records: Iterable[Record]) -> list[str]:
    """Records as lines; the SOA and the NS records at the apex are left out."""
    return [_line(record) for record in records if _is_shown(zone_name, record)]


def print_difference(removed: Sequence[str], added: Sequence[str], *, as_json: bool) -> None:
    """The records that would go, and those that would come."""
    if as_json:
        print_json({"removed": list(removed), "added": list(added)})
        return
    for mark, colour, lines in (("-", "red", removed), ("+", "green", added)):
        for line in lines:
            click.secho(f"{mark} {printable(line)}", fg=colour)
    click.echo(f"{len(added):,} to add, {len(removed):,} to remove; nothing was written")


def zone_name(zone: Shape) -> bytes:
    """The name of a zone, canonical."""
    return parse_name_text(zone["name"]).lower()


def _imported(api: Client, zone: Shape, file: str, octets: bytes, *, proxied: bool) -> list[str]:
    """The lines of the records that an import would add."""
    name = zone_name(zone)
    try:
        found = parse_zone_text(decoded(octets, any_octets=True), name, proxies=proxied)
    except NotTextError as error:
        raise FailedError(f"{file}:{error.line}:{error.column}: {error}") from None
    if found.problems:
        raise FailedError(*(f"{file}:{one.line}:{one.column}: {one.message}" for one in found.problems))
    if found.name != name:
        raise FailedError(f"{file} holds the zone {name_text(found.name)}, and this is {zone['name']}")
    there = {_data(record) for record in parse_zone_text(exported(api, zone), name).records}
    new = (record for record in found.records if _data(record) not in there)
    return record_lines(name, new)


def _data(record: Record) -> tuple[bytes, int, bytes]:
    """What makes two records the same (RFC 2181 §5)."""
    return record.owner, record.rtype, canonical_rdata(record.rtype, record.rdata)


def _is_shown(zone_name: bytes, record: Record) -> bool:
    return record.rtype != SOA and not (record.rtype == NS and record.owner == zone_name)


def _line(record: Record) -> str:
    return record_line(replace(record, identity=UNWRITTEN)).replace("\t", " ")


def _record(zone: Shape, shown: Shape) -> Record:
    """The record that the API shows."""
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


def _built(zone: Shape, body: Shape, before: Record | None = None) -> Record:
    """The record that a request would make, as the API would make it; ends the command where it would refuse."""
    try:
        return built_record(body, zone_name(zone), before)
    except RecordBodyError as error:
        raise FailedError(*(fault_line(one.path, one.message, one.code.number) for one in error.faults)) from None


# What is asked, and printed


def _path(zone: Shape) -> str:
    return f"/zones/{zone['id']}/dns_records"


def _said(given: Shape) -> Shape:
    """The fields that were given."""
    return {name: value for name, value in given.items() if value is not None}


def _filter(zone: Shape, rtype: str | None, name: str | None) -> dict[str, str]:
    """The query for records of a type, or at a name; what means nothing is an error, not all records."""
    query = {}
    try:
        if rtype is not None:
            parse_type_text(rtype.upper())
            query["type"] = rtype.upper()
        if name is not None:
            if not name.strip():
                raise ValueError("an empty name; @ is the zone itself")
            query["name"] = name_text(parse_owner(name.strip(), zone_name(zone)))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return query


def _octets(file: str) -> bytes:
    """What is in a file."""
    try:
        return sys.stdin.buffer.read() if file == STANDARD_INPUT else Path(file).read_bytes()
    except OSError as error:
        raise FailedError(f"{file} cannot be read: {error.strerror}") from None


def _row(shown: Shape) -> tuple[str, ...]:
    return (
        shown["id"],
        shown["name"],
        shown["type"],
        "auto" if shown["ttl"] == AUTOMATIC_TTL else str(shown["ttl"]),
        "yes" if shown["proxied"] else "-",
        _content(shown),
        shown["comment"] or "",
    )


def _content(shown: Shape) -> str:
    return f"{shown['priority']} {shown['content']}" if "priority" in shown else str(shown["content"])


def _name(shown: Shape) -> str:
    return printable(f"{shown['id']} ({shown['name']} {shown['type']} {_content(shown)})")


def _print_done(what: str, shown: Shape, *, as_json: bool) -> None:
    if as_json:
        print_json(shown)
    else:
        click.echo(f"{what} {_name(shown)}")
