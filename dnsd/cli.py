"""The `dnsd` command. Exit status: 0 ok, 1 invalid input, 2 usage."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import click
import dns.message
import dns.rcode

from dnsd import __version__
from dnsd.app import Loaded, load
from dnsd.engine.explain import Explanation, NameExplained, explain
from dnsd.errors import InvalidDataError, Problem, path_text
from dnsd.model.accounts import AccountFields
from dnsd.model.fields import Fields
from dnsd.model.maps import MapFields
from dnsd.model.zones import ZoneFields
from dnsd.net.listen import ListenError
from dnsd.serve import report, say, serve
from dnsd.settings import Settings
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import parse_type_text

SCHEMAS: dict[str, type[Fields]] = {
    "settings": Settings,
    "account": AccountFields,
    "map": MapFields,
    "zone": ZoneFields,
}

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, readable=False),
    default=lambda: Path(os.environ.get("DNSD_CONFIG") or "config/dnsd.yaml"),
    help="The settings file; by default $DNSD_CONFIG, else config/dnsd.yaml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dnsd")
@click.pass_context
def main(context: click.Context) -> None:
    """Authoritative DNS server that answers proxied names from address maps."""
    if os.environ.get("NO_COLOR"):
        context.color = False


@main.command("serve")
@config_option
def serve_command(config: Path) -> None:
    """Run the server. SIGHUP reloads, SIGTERM ends it."""
    try:
        serve(config)
    except InvalidDataError as error:
        _fail(error)
    except ListenError as error:
        say(str(error))
        sys.exit(1)


@main.command("check")
@config_option
@json_option
def check_command(config: Path, *, as_json: bool) -> None:
    """Load everything as `serve` would, and print every problem."""
    try:
        loaded = load(config)
        problems = loaded.warnings
    except InvalidDataError as error:
        loaded, problems = None, error.problems
    if as_json:
        _print_json({"ok": loaded is not None, "problems": [_problem_data(problem) for problem in problems]})
    else:
        report(problems)
    if loaded is None:
        errors = sum(not problem.warning for problem in problems)
        say(f"{errors} error{'' if errors == 1 else 's'}: nothing of this would be served")
        sys.exit(1)
    if not as_json:
        click.echo(f"ok: {loaded.summary()}")


@main.command("explain")
@click.argument("name")
@click.argument("type", default="A")
@config_option
@json_option
def explain_command(name: str, type: str, config: Path, *, as_json: bool) -> None:
    """Show the answer to NAME and TYPE (default A), and why it is that one."""
    try:
        qname, qtype = parse_name_text(name), parse_type_text(type.upper())
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    loaded = _load(config)
    found = explain(loaded.snapshot, loaded.dataset, qname, qtype, loaded.settings.missing_family)
    if as_json:
        _print_json({**_reply_data(found.reply), "names": [asdict(step) for step in found.names]})
    else:
        _print_explanation(found)


@main.command("schema")
@click.argument("kind", type=click.Choice(list(SCHEMAS)), required=False)
def schema_command(kind: str | None) -> None:
    """Print a JSON Schema for editors: of one KIND of file, or of all."""
    dialect = "https://json-schema.org/draft/2020-12/schema"
    if kind:
        _print_json({"$schema": dialect, **SCHEMAS[kind].model_json_schema()})
        return
    kinds: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for name, model in SCHEMAS.items():
        schema = model.model_json_schema()
        definitions |= schema.pop("$defs", {})
        kinds[name] = schema
    choices = [{"$ref": f"#/$defs/{name}"} for name in kinds]
    _print_json({"$schema": dialect, "anyOf": choices, "$defs": {**definitions, **kinds}})


def _load(config: Path) -> Loaded:
    try:
        return load(config)
    except InvalidDataError as error:
        _fail(error)


def _fail(error: InvalidDataError) -> NoReturn:
    report(error.problems)
    sys.exit(1)


def _print_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _problem_data(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return {
        "file": place.file if place else problem.source,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "path": path_text(problem.path),
        "message": problem.message,
        "severity": "warning" if problem.warning else "error",
    }


def _reply_data(reply: bytes) -> dict[str, Any]:
    message = dns.message.from_wire(reply)
    sections = {"answer": message.answer, "authority": message.authority, "additional": message.additional}
    lines = {name: "\n".join(map(str, rrsets)).splitlines() for name, rrsets in sections.items()}
    return {"rcode": dns.rcode.to_text(message.rcode()), **lines}


def _print_explanation(found: Explanation) -> None:
    data = _reply_data(found.reply)
    click.echo(f"{click.style(data['rcode'], bold=True)}")
    for section in ("answer", "authority", "additional"):
        for line in data[section]:
            click.echo(f"  {line}" if section == "answer" else f"  {line}  ; {section}")
    for step in found.names:
        click.echo()
        _print_step(step)


def _print_step(step: NameExplained) -> None:
    click.secho(step.name, bold=True)
    rows = [("zone", step.zone or "none of those served"), ("account", step.account), ("node", step.node)]
    for label, value in (*rows, ("served", step.served)):
        if value:
            click.echo(f"  {label:8} {value}")
    width = max((len(verdict.map) for verdict in step.maps), default=0)
    for number, verdict in enumerate(step.maps):
        mark = click.style("taken      ", fg="green") if verdict.taken else "passed over"
        label = "maps" if number == 0 else ""
        click.echo(f"  {label:8} {mark}  {verdict.map:{width}}  {verdict.step:9}  {verdict.why}")
