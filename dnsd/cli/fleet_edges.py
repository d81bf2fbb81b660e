"""`dnsd fleet status`, `drain`, `undrain` and `set`: the edges of a fleet, over the API of a control."""

from __future__ import annotations

import sys

import click

from dnsd.cli.api_options import with_api, with_changing_api
from dnsd.cli.client import ApiObject, Client, in_path
from dnsd.cli.fleet import fleet_commands
from dnsd.cli.options import json_option
from dnsd.cli.show import print_json, print_table, say
from dnsd.errors import printable

PATH = "/fleet/edges"
COLUMNS = ("edge", "state", "label", "version", "ring", "lag s", "seq", "zones", "answers/s", "held", "seen s ago")
WORDS = 4  # of the columns
COLOURS = {"ok": "green", "problems": "yellow", "lagging": "red", "silent": "red", "drained": "blue"}

edge_argument = click.argument("name", metavar="NAME")


@fleet_commands.command("status")
@json_option
@with_api
def status_command(api: Client, *, as_json: bool) -> None:
    """List the edges with their states.

    An edge is `silent` after 5 s without news, `drained` by its operator, `lagging` if it has not served for 2 s what
    the control has, has `problems`, or is `ok`. In a pipe, prints the columns separated by tabs, without a heading.
    Requires an operator's token.
    """
    edges = api.all(PATH)
    if as_json:
        print_json(edges)
        return
    rows = [_row(one) for one in edges]
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(map(printable, row)))
        return
    if not rows:
        say("the fleet has no edges yet")
        return
    print_table(COLUMNS, rows, words=WORDS)
    for one in edges:
        for problem in one["problems"]:
            click.secho(printable(f"  {one['name']}: {problem}"), fg=COLOURS.get(one["state"]))


@fleet_commands.command("drain")
@edge_argument
@json_option
@with_changing_api
def drain_command(api: Client, *, name: str, as_json: bool) -> None:
    """Drain the edge NAME: it answers on, but /readyz is 503.

    Load balancers and routers that ask for /readyz then send their queries to other edges. Changes are not waited for
    there. Requires an operator's token.
    """
    _change(api, name, {"drained": True}, as_json=as_json)


@fleet_commands.command("undrain")
@edge_argument
@json_option
@with_changing_api
def undrain_command(api: Client, *, name: str, as_json: bool) -> None:
    """End the drain of the edge NAME. Requires an operator's token."""
    _change(api, name, {"drained": False}, as_json=as_json)


@fleet_commands.command("set")
@edge_argument
@click.option("--ring", type=click.IntRange(0, 9), help="The ring of rollouts; changes reach ring 0 first.")
@click.option("--label", metavar="TEXT", help="The place of the edge, in at most 64 characters.")
@json_option
@with_changing_api
def set_command(api: Client, *, name: str, ring: int | None, label: str | None, as_json: bool) -> None:
    """Set the ring or the label of the edge NAME. Requires an operator's token."""
    if ring is None and label is None:
        raise click.UsageError("give --ring or --label")
    given = {"ring": ring, "label": label}
    _change(api, name, {key: value for key, value in given.items() if value is not None}, as_json=as_json)


def _change(api: Client, name: str, body: ApiObject, *, as_json: bool) -> None:
    edge: ApiObject = api.patch(f"{PATH}/{in_path(name)}", body)
    if as_json:
        print_json(edge)
    else:
        drained = ", drained" if edge["drained"] else ""
        label = f", {edge['label']}" if edge["label"] else ""
        click.echo(printable(f"{edge['name']}: ring {edge['ring']}{label}{drained}"))


def _row(edge: ApiObject) -> tuple[str, ...]:
    silence_s = edge["silence_s"]
    return (
        edge["name"],
        edge["state"],
        edge["label"],
        edge["version"] or "-",
        str(edge["ring"]),
        f"{edge['lag_s']:.1f}",
        str(edge["seq"]),
        str(edge["zones"]),
        f"{edge['answers_per_s']:.1f}",
        str(edge["held_total"]),
        "-" if silence_s is None else f"{silence_s:.1f}",
    )
