"""A change by `dnsd map`: planned with --dry-run, kept for later with --at, otherwise made at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

import click

from dnsd.cli.api_options import with_changing_api
from dnsd.cli.client import ApiObject, Client, account_option
from dnsd.cli.find import FoundMap, find_map, maps_path
from dnsd.cli.map_show import print_done, print_plan
from dnsd.cli.options import json_option
from dnsd.cli.pending_show import print_scheduled
from dnsd.manage.pending import FIELD, parse_deploy_at
from dnsd.manage.refusal import RefusedError
from dnsd.model.times import time_text


def _read_time(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """The time of --at, checked before anything is sent."""
    try:
        return None if value is None else parse_deploy_at(value)
    except RefusedError as error:
        raise click.BadParameter(str(error), context, option) from None


dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show which answers would change, and how; write nothing."
)
at_option = click.option(
    "--at", metavar="TIME", callback=_read_time, help="Make the change at TIME, such as 2026-12-01T03:00:00+01:00."
)
map_argument = click.argument("map", metavar="MAP")


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """The options of a change: only show its plan, make it later, and print JSON."""

    dry_run: bool
    at: datetime | None
    as_json: bool

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the API's changing routes."""
        return {FIELD: time_text(self.at)} if self.at else {}

    def print_done(self, what: str, result: ApiObject) -> None:
        """Print the result of a change: the map, or the pending change."""
        if self.at:
            print_scheduled([result], as_json=self.as_json)
        else:
            print_done(what, result, as_json=self.as_json)


def change_options(command: Callable[..., None]) -> Callable[..., None]:
    """Connect to the API, and add the options of every change."""

    @wraps(command)
    def run(api: Client, *, dry_run: bool, at: datetime | None, as_json: bool, **given: Any) -> None:
        if dry_run and at:
            raise click.UsageError("--dry-run shows the change as of now: use it without --at")
        command(api, options=ChangeOptions(dry_run, at, as_json), **given)

    return dry_run_option(at_option(json_option(with_changing_api(run))))


def on_map(command: Callable[..., None]) -> Callable[..., None]:
    """Find the map for a command that changes it, and add the options of all such commands."""

    @wraps(command)
    def run(api: Client, *, options: ChangeOptions, map: str, account: str | None, **given: Any) -> None:
        command(api, find_map(api, map, account), options, **given)

    return map_argument(account_option(change_options(run)))


def edit(api: Client, found: FoundMap, options: ChangeOptions, body: ApiObject, done: str) -> None:
    """Change fields of a map, or show the plan."""
    if options.dry_run:
        plan(api, found, options, body)
    else:
        options.print_done(done, api.patch(found.path, body, **options.query))


def plan(api: Client, found: FoundMap, options: ChangeOptions, body: ApiObject) -> None:
    """Show the effect of a change of a map; `body` has the changed fields."""
    shown = api.post(f"{maps_path(found.account_id)}/plan", {"id": found.shape["id"], **body})
    print_plan(shown, found.descriptions, as_json=options.as_json)
