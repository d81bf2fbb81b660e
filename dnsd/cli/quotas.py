"""`dnsd account quotas`: the limits of an account and their use."""

from __future__ import annotations

import click

from dnsd.cli.api_options import with_changing_api
from dnsd.cli.client import ApiObject, Client
from dnsd.cli.commands import main
from dnsd.cli.find import find_account
from dnsd.cli.options import json_option
from dnsd.cli.show import print_json, print_table
from dnsd.model.quotas import Quotas

CLEARED = "default"


@main.group("account")
def account_commands() -> None:
    """Show and set the quotas of accounts."""


def _settings(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, int | None]:
    """`zones=20` or `zones=default`, as the body of a request."""
    found: dict[str, int | None] = {}
    for text in values:
        name, _, value = text.partition("=")
        if name not in Quotas.model_fields:
            names = ", ".join(Quotas.model_fields)
            raise click.BadParameter(f"{name!r} is not a quota; the quotas are {names}", context, option)
        if value != CLEARED and not (value.isascii() and value.isdigit()):
            raise click.BadParameter(f"{text!r}: use {name}=NUMBER, or {name}={CLEARED}", context, option)
        found[name] = None if value == CLEARED else int(value)
    return found


@account_commands.command("quotas")
@click.argument("account")
@click.option(
    "--set",
    "changes",
    metavar="QUOTA=NUMBER",
    multiple=True,
    callback=_settings,
    help="Give the account a limit of its own; QUOTA=default takes it back; repeatable. Requires an operator's token.",
)
@json_option
@with_changing_api
def quotas_command(api: Client, *, account: str, changes: dict[str, int | None], as_json: bool) -> None:
    """Show the quotas of an account (id or name) with their use, after the changes of --set, if any."""
    path = f"/accounts/{find_account(api, account)['id']}/quotas"
    found: ApiObject = api.patch(path, changes) if changes else api.get(path)
    if as_json:
        print_json(found)
        return
    rows = [
        (name, f"{one['used']:,}", f"{one['limit']:,}", "account" if one["is_own"] else "settings")
        for name, one in found.items()
    ]
    print_table(("quota", "used", "limit", "limit from"), rows)
