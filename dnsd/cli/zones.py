"""`dnsd zone`: zones over the running server's API."""

from __future__ import annotations

import sys
from functools import partial

import click

from dnsd.cli.api_options import with_api, with_changing_api
from dnsd.cli.client import ApiObject, ApiRefusedError, Client, FailedError, account_option, in_path, new_account_option
from dnsd.cli.commands import main
from dnsd.cli.difference import exported, print_difference, record_lines, zone_name
from dnsd.cli.find import find_account, find_accounts, find_zone, find_zone_path
from dnsd.cli.into_open import confirmed, yes_option
from dnsd.cli.options import json_option
from dnsd.cli.records import RECORD_COMMANDS, dry_run_option, zone_argument
from dnsd.cli.show import labelled, print_json, print_rows, print_table, say
from dnsd.cli.versions import print_version, print_versions
from dnsd.errors import printable
from dnsd.formats.zone_text import parse_zone_text
from dnsd.model.zones import Zone
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.objects import PLACEHOLDER_NAMESERVERS, read_zone
from dnsd.store.text_file import content_of


@main.group("zone")
def zone_commands() -> None:
    """Manage zones and records over the server's API.

    ZONE is a zone's name or id. When a command returns, DNS already answers with the change.

    The server is given by --url, else by the settings file (-c). The token comes from --token-file or $DNSD_API_TOKEN.
    Without either, and with write access to the server's state folder, the command creates a token and revokes it when
    it ends.
    """


for record_command in RECORD_COMMANDS:
    zone_commands.add_command(record_command)


@zone_commands.command("list")
@account_option
@json_option
@with_api
def list_command(api: Client, *, account: str | None, as_json: bool) -> None:
    """List all zones."""
    query = {} if account is None else {"account.id": find_accounts(api, account)[0]["id"]}
    zones = api.all("/zones", **query)
    if as_json:
        print_json(zones)
    elif zones:
        columns = ("name", "id", "account", "status", "")
        rows = [
            (one["name"], one["id"], one["account"]["name"], one["status"], ", ".join(_notes(one))) for one in zones
        ]
        print_table(columns, rows, words=len(columns))
    else:
        say("there are no zones")


@zone_commands.command("show")
@zone_argument
@json_option
@with_api
def show_command(api: Client, *, zone: str, as_json: bool) -> None:
    """Show a zone and its settings.

    With --json, `ipv6` and `dns_settings` are added to the API's zone object.
    """
    found = find_zone(api, zone)
    path = f"/zones/{found['id']}"
    ipv6, dns_settings = _settings(api, f"{path}/settings/ipv6"), _settings(api, f"{path}/dns_settings")
    if as_json:
        print_json({**found, "ipv6": ipv6, "dns_settings": dns_settings})
        return
    click.secho(printable(found["name"]), bold=True)
    print_rows(
        [
            ("id", found["id"]),
            ("account", f"{found['account']['name']} ({found['account']['id']})"),
            ("status", ", ".join((found["status"], *_notes(found)))),
            *labelled("name servers", found["name_servers"]),
            ("ipv6", ipv6["value"] if ipv6 else ""),
            ("flatten all CNAMEs", _on_or_off(dns_settings, "flatten_all_cnames")),
            ("modified", found["modified_on"]),
        ]
    )


@zone_commands.command("create")
@click.argument("name")
@new_account_option
@json_option
@with_changing_api
def create_command(api: Client, *, name: str, account: str | None, as_json: bool) -> None:
    """Create a zone and print its id.

    The zone is active at once. Unless the token is an operator's, the zone is not verified: CNAMEs and DNAMEs of other
    accounts are not followed into it until `dnsd zone verify`. If another account's zone has the name, or one above it,
    the zone is pending until then: DNS does not answer from it.
    """
    body = {"name": name, "account": {"id": find_account(api, account)["id"]}}
    _print_done("created", api.post("/zones", body), as_json=as_json)


@zone_commands.command("pause")
@zone_argument
@yes_option
@json_option
@with_changing_api
def pause_command(api: Client, *, zone: str, yes: bool, as_json: bool) -> None:
    """Pause a zone: stop proxying its records.

    Proxied records are answered as stored, which reveals the addresses of origins; on a terminal, asks before.
    """
    path = f"/zones/{find_zone(api, zone)['id']}"
    shape = confirmed(partial(api.patch, path, {"paused": True}), yes=yes)
    _print_done("paused", shape, as_json=as_json)


@zone_commands.command("resume")
@zone_argument
@json_option
@with_changing_api
def resume_command(api: Client, *, zone: str, as_json: bool) -> None:
    """Resume a paused zone.

    Proxied records are answered with edge addresses again.
    """
    shape = api.patch(f"/zones/{find_zone(api, zone)['id']}", {"paused": False})
    _print_done("resumed", shape, as_json=as_json)


@zone_commands.command("verify")
@zone_argument
@json_option
@with_changing_api
def verify_command(api: Client, *, zone: str, as_json: bool) -> None:
    """Mark a zone as verified.

    Confirms that the zone belongs to its account: CNAMEs and DNAMEs of other accounts are followed into it, and DNS
    answers from it instead of from unverified zones of other accounts with its name. If such a zone is verified, use
    `dnsd zone unverify` on it first. Requires an operator's token.
    """
    shape = api.patch(f"/zones/{find_zone(api, zone)['id']}", {"verified": True})
    _print_done("verified", shape, as_json=as_json)


@zone_commands.command("unverify")
@zone_argument
@json_option
@with_changing_api
def unverify_command(api: Client, *, zone: str, as_json: bool) -> None:
    """Mark a zone as not verified.

    It still answers its own names, unless another account's zone has the name, or one above it. Requires an operator's
    token.
    """
    shape = api.patch(f"/zones/{find_zone(api, zone)['id']}", {"verified": False})
    _print_done("unverified", shape, as_json=as_json)


@zone_commands.command("delete")
@zone_argument
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@with_changing_api
def delete_command(api: Client, *, zone: str, yes: bool, as_json: bool) -> None:
    """Delete a zone with all its records.

    Also removes the zone from the members of address maps. On a terminal, asks for the zone's name as confirmation;
    elsewhere, --yes is required. `dnsd zone restore` brings the zone back by its name or id, without the memberships.
    """
    found = find_zone(api, zone)
    if not yes:
        _ask_for_name(found)
    result = api.delete(f"/zones/{found['id']}")
    if as_json:
        print_json(result)
    else:
        click.echo(f"deleted {_name(found)}")


@zone_commands.command("history")
@zone_argument
@click.argument("version", required=False)
@account_option
@json_option
@with_api
def history_command(api: Client, *, zone: str, version: str | None, account: str | None, as_json: bool) -> None:
    """List a zone's versions, or show one VERSION.

    Lists the versions newest first, or prints the zone's file as it was in VERSION. ZONE may be a deleted zone.
    """
    path = find_zone_path(api, zone, account)
    if version:
        print_version(api, path, version, as_json=as_json)
    else:
        print_versions(api, path, as_json=as_json)


@zone_commands.command("restore")
@zone_argument
@click.argument("version")
@account_option
@dry_run_option
@yes_option
@json_option
@with_changing_api
def restore_command(
    api: Client, *, zone: str, version: str, account: str | None, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Restore a zone to a VERSION from its history.

    A deleted ZONE is created again. --dry-run compares only the records, not the zone's settings. On a terminal, asks
    before the addresses of an origin become public.
    """
    path = find_zone_path(api, zone, account)
    version_path = f"{path}/history/{in_path(version)}"
    if not dry_run:
        restored = confirmed(partial(api.post, f"{version_path}/restore"), yes=yes)
        _print_done("restored", restored, as_json=as_json)
        return
    current = find_zone(api, zone) if path.startswith("/zones/") else None
    wanted = _read_version(api.get(version_path)["text"], current["name"] if current else zone)
    new = record_lines(wanted.name, wanted.records)
    old = _current_lines(api, current) if current else []
    removed, added = set(old).difference(new), set(new).difference(old)
    print_difference(
        [line for line in old if line in removed], [line for line in new if line in added], as_json=as_json
    )


def _current_lines(api: Client, zone: ApiObject) -> list[str]:
    name = zone_name(zone)
    return record_lines(name, parse_zone_text(exported(api, zone), name).records)


def _read_version(text: str, name: str) -> Zone:
    """The zone in the text of a version. The API does not give its format, so YAML and master file are both tried."""
    problems: list[str] = []
    for kind in (FileKind.ZONE_YAML, FileKind.ZONE_MASTER):
        read = read_zone(SourceFile(name, kind, "the version", content_of(text)), "", PLACEHOLDER_NAMESERVERS)
        errors = [str(problem) for problem in read.problems if not problem.warning]
        if read.zone and not errors:
            return read.zone
        problems = problems or errors
    raise FailedError(*problems)


def _ask_for_name(zone: ApiObject) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("no terminal to ask for confirmation: use --yes")
    typed = click.prompt(f"This deletes all records of {printable(zone['name'])}. Type the zone's name", err=True)
    if typed.strip().rstrip(".").lower() != zone["name"]:
        raise FailedError("the name does not match; nothing was deleted")


def _notes(zone: ApiObject) -> list[str]:
    """Remarks on a zone in addition to its status."""
    return [*(["paused"] if zone["paused"] else []), *([] if zone["verified"] else ["not verified"])]


def _settings(api: Client, path: str) -> ApiObject | None:
    """Settings of a zone; None if the token may not see them."""
    try:
        return dict(api.get(path))
    except ApiRefusedError:
        return None


def _on_or_off(settings: ApiObject | None, key: str) -> str:
    return "" if settings is None else "on" if settings[key] else "off"


def _name(shape: ApiObject) -> str:
    return printable(f"{shape['id']} ({shape['name']})")


def _print_done(what: str, shape: ApiObject, *, as_json: bool) -> None:
    if as_json:
        print_json(shape)
    else:
        click.echo(f"{what} {_name(shape)}")
