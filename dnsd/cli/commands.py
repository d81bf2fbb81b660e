"""The `dnsd` command. Exit status: 0 ok, 1 invalid input or a refused change, 2 usage, 3 server not reachable."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import get_completion_class

from dnsd import __version__
from dnsd.app import Loaded, load
from dnsd.cli.observed import observed_by_server
from dnsd.cli.show import print_explanation, print_json, print_status, report, say
from dnsd.compile.explain import explain
from dnsd.errors import InvalidDataError, in_order, printable
from dnsd.model.accounts import AccountFields
from dnsd.model.fields import Fields
from dnsd.model.maps import MapFields
from dnsd.model.public_suffixes import list_date
from dnsd.model.zones import ZoneFields
from dnsd.net.listen import ListenError
from dnsd.net.udp import NoBatchError
from dnsd.process.link import MessageKind, ask
from dnsd.process.privileges import PrivilegeError
from dnsd.process.state_folder import UnsafeFolderError
from dnsd.progress import progress_on
from dnsd.serve.start import serve
from dnsd.serve.supervisor import EX_SOFTWARE
from dnsd.settings.file import state_folder
from dnsd.settings.server import Settings
from dnsd.settings.services import service_problems
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import parse_type_text
from dnsd.wire.reply_text import reply_data

SCHEMAS: dict[str, type[Fields]] = {
    "settings": Settings,
    "account": AccountFields,
    "map": MapFields,
    "zone": ZoneFields,
}

RELOAD_TIMEOUT_S = 600.0  # a million names take a while
STATUS_TIMEOUT_S = 10.0

config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, readable=False),
    default=lambda: Path(os.environ.get("DNSD_CONFIG") or "config/dnsd.yaml"),
    help="Settings file; default: $DNSD_CONFIG, else config/dnsd.yaml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _print_version(context: click.Context, _: click.Parameter, is_given: bool) -> None:
    if is_given:
        click.echo(f"dnsd, version {__version__}\nPublic Suffix List of {list_date()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version, and the date of the Public Suffix List.",
)
@click.pass_context
def main(context: click.Context) -> None:
    """Authoritative DNS server that answers proxied names from address maps."""
    if os.environ.get("NO_COLOR"):
        context.color = False


@main.command("serve")
@config_option
def serve_command(config: Path) -> None:
    """Run the server. SIGHUP reloads its files, SIGTERM stops it.

    Prints one line for each listening address, then `ready` once every worker answers; all other output goes to
    standard error. One process holds the sockets, one reads and watches the files, and `workers` processes answer.
    SIGHUP and SIGUSR1 reload all files, as an edit of a file does. SIGTERM, SIGINT and SIGQUIT stop the server after it
    has answered the queries already received. All other signals are ignored where the system allows it.

    Started as root, the server switches to `user` after binding its ports. It accepts sockets from systemd and notifies
    systemd when it is ready. If the account files are invalid, it serves its last good data, reports the errors, and
    loads the files once they are fixed. The limit on dropped zones and records applies to reloads; at start, exceeding
    it is only a warning. If other users may write to the state folder, the server does not start; the exit status is
    70.
    """
    try:
        sys.exit(serve(config))
    except InvalidDataError as error:
        _fail(error)
    except (ListenError, NoBatchError, PrivilegeError) as error:
        say(str(error))
        sys.exit(1)
    except UnsafeFolderError as error:
        say(str(error))
        sys.exit(EX_SOFTWARE)


@main.command("reload")
@config_option
@click.option("--force", is_flag=True, help="Apply changes that the guard refuses; the brake then begins anew.")
@click.option("--account", metavar="FOLDER", default="", help="With --force: only the changes of this account.")
@json_option
def reload_command(config: Path, *, force: bool, account: str, as_json: bool) -> None:
    """Reload the running server's files. Returns once every worker serves them.

    If a file has an error, its whole account is held at its last good version and all other accounts are updated; every
    problem is printed, and the exit status is 1. With `on_error: refuse`, or with an error in dnsd.yaml, nothing
    changes. A map with a member that does not exist is an error: when you remove a zone, remove its memberships, too.

    A guard refuses a reload if names of several accounts would fall from their maps onto the default pool, or go into
    the open; if more than `reload.max_drop_percent` of all zones or records would go, or of all proxied names would
    change their addresses; or if names of more accounts than `reload.brake` would change their addresses within
    `reload.window`. One account alone is held instead, if most of its names would lose `proxied`, a map would lose all
    its addresses, or its zones or records that would go exceed the percentage; its other addresses are applied. Use
    --force to apply the changes anyway, with --account those of one account.

    With --json, `served` is the revision or null, `held` lists the held accounts, and `refused` is true if nothing
    changed.
    """
    if account and not force:
        raise click.UsageError("--account needs --force")
    result = ask_server(config, MessageKind.RELOAD, {"force": force, "account": account}, RELOAD_TIMEOUT_S)
    if as_json:
        print_json(result)
    else:
        for problem in result["problems"]:
            say(problem["text"])
        if result["refused"]:
            say(f"refused; still serving revision {result['revision']}")
        elif result["late"]:
            say(f"revision {result['revision']} is not yet served by {', '.join(result['late'])}")
        elif result["held"]:
            say(printable(f"revision {result['revision']} is served; held: {', '.join(result['held'])}"))
        else:
            click.echo(f"revision {result['revision']} is served, after {result['seconds']:.2f} s")
    sys.exit(0 if result["ok"] and not result["late"] else 1)


@main.command("status")
@config_option
@json_option
def status_command(config: Path, *, as_json: bool) -> None:
    """Show the running server's state.

    Prints whether the server is ready, and why not; its data and their age; the messages received, answered and
    dropped; and the CPU time and memory of each process. The exit status is 0 whenever the server replies: a watchdog
    should request /healthz and /readyz from the `metrics` address instead.
    """
    status = ask_server(config, MessageKind.STATUS, {}, STATUS_TIMEOUT_S)
    if as_json:
        print_json(status)
    else:
        print_status(status)


@main.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print a completion script for SHELL.

    In bash or zsh: eval "$(dnsd completion bash)". In fish: dnsd completion fish | source.
    """
    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(main, {}, "dnsd", "_DNSD_COMPLETE").source())


@main.command("check")
@config_option
@json_option
def check_command(config: Path, *, as_json: bool) -> None:
    """Check all files and print every problem.

    Loads the files as `serve` would. A problem is one line: `file:line:column: path: message`. Warnings alone do not
    fail the check. Maps that answer with withdrawn addresses get a warning, also for routes observed by a server with
    this configuration. A certificate gets a warning in its last 14 days, and an error if clients would refuse it or the
    server cannot use it.
    """
    try:
        with progress_on(sys.stderr) as progress:
            loaded = load(config, progress=progress, observed=observed_by_server(config))
        of_services = map(loaded.locate, service_problems(loaded.settings, config, datetime.now(UTC)))
        problems = in_order((*loaded.warnings, *of_services))
    except InvalidDataError as error:
        loaded, problems = None, error.problems
    errors = sum(not problem.warning for problem in problems)
    if as_json:
        print_json({"ok": not errors, "problems": [problem.data() for problem in problems]})
    else:
        report(problems)
    if errors:
        what = "the files" if loaded is None else "the HTTP services"
        say(f"{errors} error{'' if errors == 1 else 's'}: {what} cannot be served")
        sys.exit(1)
    assert loaded is not None
    if not as_json:
        click.echo(f"ok: {loaded.summary()}")


@main.command("explain")
@click.argument("name")
@click.argument("type", default="A")
@config_option
@json_option
def explain_command(name: str, type: str, config: Path, *, as_json: bool) -> None:
    """Explain the answer to NAME and TYPE (default A).

    Reads the files as `serve` would. Prints the answer, the zone, how the name was matched, whether it is proxied, and
    each address map considered, with the reason why it was used or skipped.
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


@main.command("schema")
@click.argument("kind", type=click.Choice(list(SCHEMAS)), required=False)
def schema_command(kind: str | None) -> None:
    """Print a JSON Schema for editors.

    Without a KIND of file, the schema covers all kinds.
    """
    dialect = "https://json-schema.org/draft/2020-12/schema"
    if kind:
        print_json({"$schema": dialect, **SCHEMAS[kind].model_json_schema()})
        return
    kinds: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for name, model in SCHEMAS.items():
        schema = model.model_json_schema()
        definitions |= schema.pop("$defs", {})
        kinds[name] = schema
    choices = [{"$ref": f"#/$defs/{name}"} for name in kinds]
    print_json({"$schema": dialect, "anyOf": choices, "$defs": {**definitions, **kinds}})


def ask_server(config: Path, kind: MessageKind, payload: dict[str, Any], timeout_s: float) -> Any:
    """The running server's reply; exits if no server can be reached."""
    try:
        folder = state_folder(config)
    except InvalidDataError as error:
        _fail(error)
    try:
        return ask(folder, kind, payload, timeout_s=timeout_s)
    except OSError as error:
        say(f"no server can be reached in {folder}: {error.strerror or error}; is it running with this configuration?")
        sys.exit(3)


def _load(config: Path) -> Loaded:
    try:
        with progress_on(sys.stderr) as progress:
            return load(config, progress=progress, observed=observed_by_server(config))
    except InvalidDataError as error:
        _fail(error)


def _fail(error: InvalidDataError) -> NoReturn:
    report(error.problems)
    sys.exit(1)
