"""`dnsd brake`: each author's accounts within the window, the files that wait, and the release of the limit."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from dnsd.cli.client import ApiObject, Client
from dnsd.cli.commands import json_option
from dnsd.cli.connection import with_api
from dnsd.cli.show import print_json, print_table, say
from dnsd.errors import printable
from dnsd.manage.brake import time_left
from dnsd.manage.brake_state import MAX_RELEASE_S
from dnsd.model.times import parse_duration, parse_time

PATH = "/dnsd/brake"
MOVES = ("readdressed", "pooled", "opened", "gone")


@click.group("brake")
def brake_commands() -> None:
    """Show and lift the brake: the limit on accounts that one author may move.

    Authors are the files together, and each token with the tokens and sessions made from it. If an author would have
    changed the addresses of names of more accounts than `reload.brake` within `reload.window`, its next change is
    refused; what went before stays. The token of --token-file or $DNSD_API_TOKEN must be an operator's.
    """


def _seconds(context: click.Context, option: click.Parameter, value: str) -> int:
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None
    if seconds > MAX_RELEASE_S:
        raise click.BadParameter(f"the limit is {MAX_RELEASE_S // 3600}h", context, option)
    return seconds


@brake_commands.command("status")
@json_option
@with_api
def status_command(api: Client, *, as_json: bool) -> None:
    """Show each author's accounts and the limit, and the names that refused files would move."""
    state = api.get(PATH)
    if as_json:
        print_json(state)
    else:
        _print_state(state)


@brake_commands.command("release")
@click.argument("author", metavar="[TOKEN|files]", default="")
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    default="1h",
    callback=_seconds,
    help="Time, such as 90s, 10m or 1h; default: 1h.",
)
@json_option
@with_api
def release_command(api: Client, *, author: str, seconds: int, as_json: bool) -> None:
    """Lift the limit for one author, or for all, for a time; then a new window begins.

    TOKEN is a token's id or name. Files that were refused stay so until `dnsd reload`.
    """
    state = api.post(f"{PATH}/release", {"author": author, "seconds": seconds})
    if as_json:
        print_json(state)
    else:
        _print_state(state)


def _print_state(state: ApiObject) -> None:
    if state["limit"] is None:
        say("the brake is off (reload.brake)")
    else:
        window = time_left(state["window_s"])
        say(f"limit: {state['limit']:,} of {state['accounts']:,} accounts within {window}")
    if state["authors"]:
        limit = "-" if state["limit"] is None else f"{state['limit']:,}"
        rows = [
            (
                one["id"],
                one["name"],
                f"{one['accounts']:,}",
                limit,
                _left(one["window_ends_at"]),
                _left(one["released_until"]),
            )
            for one in state["authors"]
        ]
        print_table(("id", "author", "accounts", "limit", "window ends in", "released for"), rows, words=2)
    else:
        say("no author has changed any account's addresses within the window")
    for reason in state["reasons"]:
        say(printable(reason))
    if state["waiting"]:
        columns = ("waiting", "other addresses", "onto the pool", "into the open", "no longer answered")
        waiting: list[tuple[str, ...]] = [
            (one["account"], *(f"{one[kind]:,}" for kind in MOVES)) for one in state["waiting"]
        ]
        print_table(columns, waiting)


def _left(time: str | None) -> str:
    return time_left((parse_time(time) - datetime.now(UTC)).total_seconds()) if time else "-"
