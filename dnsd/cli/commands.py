"""The `dnsd` command. Exit status: 0 ok, 1 invalid input or a refused change, 2 usage, 3 server not reachable."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable

import click

from dnsd import __version__
from dnsd.process.garbage import garbage_paused

# name -> the modules with the command, which add it to `main`. They are imported once it is named, as most are slow.
MODULES = {
    "account": ("quotas",),
    "brake": ("brake",),
    "check": ("check",),
    "completion": ("completion",),
    "explain": ("explain",),
    "fleet": ("fleet", "fleet_files", "fleet_shared", "fleet_push", "fleet_joining", "fleet_edges"),
    "map": ("maps", "map_parts", "map_pending", "map_drains"),
    "reload": ("reload",),
    "schema": ("schema",),
    "serve": ("serve",),
    "status": ("status",),
    "token": ("tokens",),
    "zone": ("zones",),
}


class Commands(click.Group):
    """The commands of MODULES; the list of all, for `--help` and completion, imports them all."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with this name."""
        modules = [f"dnsd.cli.{module}" for module in MODULES.get(cmd_name, ())]
        if not sys.modules.keys() >= {*modules}:
            _import(modules)
        return super().get_command(ctx, cmd_name)


def _import(modules: Iterable[str]) -> None:
    """Import modules, which stay: to look for garbage among them takes a sixth of the time."""
    with garbage_paused(freeze=True):
        for module in modules:
            importlib.import_module(module)


def _print_version(context: click.Context, _: click.Parameter, is_given: bool) -> None:
    if is_given:
        from dnsd.model.suffix_list_date import list_date

        click.echo(f"dnsd, version {__version__}\nPublic Suffix List of {list_date()}")
        context.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
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
