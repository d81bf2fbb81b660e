"""The record commands of `dnsd zone`: single records, and a whole zone as a master file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from dnsd.cli.api_options import with_api, with_changing_api
from dnsd.cli.client import ApiObject, Client, FailedError
from dnsd.cli.difference import (
    exported,
    imported_lines,
    line_of,
    print_difference,
    record_of_body,
    records_path,
    shown_record,
    zone_name,
)
from dnsd.cli.find import find_record, find_zone
from dnsd.cli.into_open import confirmed, yes_option
from dnsd.cli.options import json_option
from dnsd.cli.show import print_json, print_table, say
from dnsd.errors import printable
from dnsd.model.records import (
    AUTOMATIC_TTL,
    parse_owner,
)
from dnsd.wire.names import name_text
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
    records = api.all(records_path(found), **_filter(found, rtype, name))
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
@with_changing_api
def add_record_command(api: Client, *, zone: str, dry_run: bool, yes: bool, as_json: bool, **given: Any) -> None:
    """Add a record to a zone and print its id.

    NAME is relative to the zone, @ for the apex, or fully qualified. CONTENT is written as in a master file. Put `--`
    before arguments that begin with a dash.
    """
    found = find_zone(api, zone)
    body = _present(given)
    if dry_run:
        print_difference([], [line_of(record_of_body(found, body))], as_json=as_json)
    else:
        _print_done("created", confirmed(partial(api.post, records_path(found), body), yes=yes), as_json=as_json)


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
@with_changing_api
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
        before = shown_record(found, shown)
        after = record_of_body(found, body, before)
        changed = before != after
        print_difference([line_of(before)] * changed, [line_of(after)] * changed, as_json=as_json)
    else:
        edited = confirmed(partial(api.patch, f"{records_path(found)}/{shown['id']}", body), yes=yes)
        _print_done("edited", edited, as_json=as_json)


@click.command("delete-record")
@zone_argument
@click.argument("records", metavar="ID...", nargs=-1, required=True)
@dry_run_option
@yes_option
@json_option
@with_changing_api
def delete_record_command(
    api: Client, *, zone: str, records: Sequence[str], dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Delete records.

    ID is a record's id, or the first digits of it (at least four). On an error, no record is deleted.
    """
    found = find_zone(api, zone)
    shown = {one["id"]: one for one in (find_record(api, found, record) for record in records)}
    if dry_run:
        print_difference([line_of(shown_record(found, one)) for one in shown.values()], [], as_json=as_json)
        return
    body = {"deletes": [{"id": one} for one in shown]}
    result = confirmed(partial(api.post, f"{records_path(found)}/batch", body), yes=yes)
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
@with_changing_api
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
        print_difference([], imported_lines(api, found, file, octets, proxied=proxied), as_json=as_json)
        return
    parts = {"file": (None, octets), "proxied": (None, str(proxied).lower().encode())}

    def send(**query: str) -> ApiObject:
        return api.send("POST", f"{records_path(found)}/import", files=parts, params=query)

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
@click.option(
    "--answered",
    is_flag=True,
    help="As DNS answers it now, in canonical order: addresses of maps in place of origins, flattened CNAMEs resolved.",
)
@with_api
def export_command(api: Client, *, zone: str, file: str, answered: bool) -> None:
    """Write a zone as a master file.

    FILE is a path, or - for standard output, the default.
    """
    text = exported(api, find_zone(api, zone), answered=answered)
    if file == STANDARD_INPUT:
        if sys.stdout.isatty():  # a terminal would obey control characters in comments
            text = "".join(f"{printable(line.expandtabs())}\n" for line in text.split("\n")[:-1])
        click.echo(text, nl=False, color=True)  # else it leaves out what looks like a colour
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


# Requests and output


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
