"""`dnsd explain`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from dnsd.app import Loaded, load
from dnsd.cli.commands import main
from dnsd.cli.fleet_settings import settings_of_fleet, source_of_node
from dnsd.cli.observed import observed_by_server
from dnsd.cli.options import config_option, json_option
from dnsd.cli.show import fail, print_json, say
from dnsd.compile.explain import Explanation, NameExplained, explain
from dnsd.errors import InvalidDataError
from dnsd.progress import progress_on
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import parse_type_text
from dnsd.wire.reply_text import reply_data


@main.command("explain")
@click.argument("name")
@click.argument("type", default="A")
@config_option
@json_option
def explain_command(name: str, type: str, config: Path, *, as_json: bool) -> None:
    """Explain the answer to NAME and TYPE (default A).

    Reads the files as `serve` would. Prints the answer, the zone, how the name was matched, the neighbours of a name
    that does not exist, whether it is proxied, and each address map considered, with the reason why it was used or
    skipped.
    """
    try:
        qname, qtype = parse_name_text(name), parse_type_text(type.upper())
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    loaded = _load(config)
    found = explain(loaded.snapshot, loaded.dataset, qname, qtype, loaded.settings.missing_family)
    if as_json:
        print_json({**reply_data(found.reply), "names": [asdict(step) for step in found.names]})
    else:
        print_explanation(found)


def _load(config: Path) -> Loaded:
    if settings_of_fleet(config):
        say("the accounts are those of a fleet: write them with `dnsd fleet export FOLDER`, and set DNSD_DATA=FOLDER")
        sys.exit(1)
    try:
        with progress_on(sys.stderr) as progress:
            source, observed = source_of_node(config), observed_by_server(config)
            return load(config, source=source, progress=progress, observed=observed)
    except InvalidDataError as error:
        fail(error)


def print_explanation(found: Explanation) -> None:
    """Print an answer, and the steps to it."""
    data = reply_data(found.reply)
    click.echo(f"{click.style(data['rcode'], bold=True)}")
    for section in ("answer", "authority", "additional"):
        for line in data[section]:
            click.echo(f"  {line}" if section == "answer" else f"  {line}  ; {section}")
    for step in found.names:
        click.echo()
        _print_step(step)


def _print_step(step: NameExplained) -> None:
    click.secho(step.name, bold=True)
    rows = [("zone", step.zone or "not served here"), ("account", step.account), ("node", step.node)]
    for label, value in (*rows, ("between", step.between), ("served", step.served)):
        if value:
            click.echo(f"  {label:8} {value}")
    width = max((len(verdict.map) for verdict in step.maps), default=0)
    for number, verdict in enumerate(step.maps):
        mark = click.style("used   ", fg="green") if verdict.taken else "skipped"
        label = "maps" if number == 0 else ""
        click.echo(f"  {label:8} {mark}  {verdict.map:{width}}  {verdict.step:9}  {verdict.why}")
