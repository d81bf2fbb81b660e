"""`dnsd check`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from dnsd.app import Loaded, load
from dnsd.cli.commands import main
from dnsd.cli.fleet_settings import settings_of_fleet, source_of_node
from dnsd.cli.observed import observed_by_server
from dnsd.cli.options import config_option, json_option
from dnsd.cli.show import print_json, report, say
from dnsd.compiled import stale_parts
from dnsd.errors import InvalidDataError, in_order
from dnsd.progress import progress_on
from dnsd.settings.file import SettingsFile
from dnsd.settings.services import service_problems

OF_FLEET = "the settings; the accounts are those of the fleet: `dnsd fleet export` writes them"


@main.command("check")
@config_option
@json_option
def check_command(config: Path, *, as_json: bool) -> None:
    """Check all files and print every problem.

    Loads the files as `serve` would. Of a control or an edge, which has the files of a fleet, checks the settings
    alone, unless $DNSD_DATA names a folder. A problem is one line: `file:line:column: path: message`. Warnings alone
    do not fail the check. Maps that answer with withdrawn addresses get a warning, also for routes observed by a
    server with this configuration. A certificate gets a warning in its last 14 days, and an error if clients would
    refuse it or the server cannot use it.
    """
    for warning in stale_parts():
        say(f"warning: {warning}")
    loaded: Loaded | SettingsFile | None = None
    try:
        loaded = settings_of_fleet(config) or _loaded(config)
        of_services = map(loaded.locate, service_problems(loaded.settings, config, datetime.now(UTC)))
        problems = in_order((*loaded.warnings, *of_services))
    except InvalidDataError as error:
        problems = error.problems
    errors = sum(not problem.warning for problem in problems)
    if as_json:
        print_json({"ok": not errors, "problems": [problem.data() for problem in problems]})
    else:
        report(problems)
    if errors:
        what = "the files" if loaded is None else "the HTTP services"
        say(f"{errors} error{'' if errors == 1 else 's'}: {what} cannot be served")
        sys.exit(1)
    if not as_json:
        click.echo(f"ok: {loaded.summary() if isinstance(loaded, Loaded) else OF_FLEET}")


def _loaded(config: Path) -> Loaded:
    """All files as `serve` would load them. Raises InvalidDataError."""
    with progress_on(sys.stderr) as progress:
        source, observed = source_of_node(config), observed_by_server(config)
        return load(config, source=source, progress=progress, observed=observed)
