"""`dnsd brake`: each author's accounts within the window, the files that wait, and the release of the limit."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from dnsd.cli.api_options import api_options
from dnsd.cli.client import ApiObject, FailedError
from dnsd.cli.commands import main
from dnsd.cli.connection import connected, exit_on_failure, is_api_meant
from dnsd.cli.local import STATUS_TIMEOUT_S, ask_server
from dnsd.cli.options import json_option
from dnsd.cli.show import print_json, print_table, say
from dnsd.errors import printable
from dnsd.manage.brake import time_left
from dnsd.manage.brake_state import MAX_RELEASE_S
from dnsd.model.times import parse_duration, parse_time
from dnsd.process.link import MessageKind

PATH = "/dnsd/brake"
MOVES = ("readdressed", "pooled", "opened", "gone")


@main.group("brake")
def brake_commands() -> None:
    """Show and lift the brake: the limit on accounts that one author may move.

    Authors are the files together, and each token with the tokens and sessions made from it. If an author would have
    changed the addresses of names of more accounts than `reload.brake` within `reload.window`, its next change is
    refused; what went before stays.

    Run by root or the server's user on the server's host, the command needs neither a token nor the API. With --url,
    --token-file or $DNSD_API_TOKEN, it uses the API; the token must be an operator's.
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
@api_options
def status_command(*, as_json: bool, **server: Any) -> None:
    """Show each author's accounts and the limit, and the names that refused files would move."""
    _show(_asked({}, **server), as_json=as_json)


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
@api_options
def release_command(*, author: str, seconds: int, as_json: bool, **server: Any) -> None:
    """Lift the limit for one author, or for all, for a time; then a new window begins.

    TOKEN is a token's id or name. Files that were refused stay so until `dnsd reload`.
    """
    _show(_asked({"author": author, "seconds": seconds}, **server), as_json=as_json)


def _asked(release: ApiObject, *, config: Path, url: str | None, token_file: Path | None, ca: Path | None) -> ApiObject:
    """The state of the brake, after a `release` if one is given."""
    with exit_on_failure():
        if is_api_meant(url, token_file):
            with connected(config, url, token_file, ca) as api:
                found: ApiObject = api.post(f"{PATH}/release", release) if release else api.get(PATH)
        else:
            found = ask_server(config, MessageKind.BRAKE, release, STATUS_TIMEOUT_S)
            if error := found.get("error"):
                raise FailedError(error)
        return found


def _show(state: ApiObject, *, as_json: bool) -> None:
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
