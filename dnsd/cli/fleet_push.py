"""`dnsd fleet push`: the changes of a folder, such as a git checkout, sent to a fleet."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsd.cli.fleet import fleet_commands
from dnsd.cli.fleet_files import as_control_of, settings_of
from dnsd.cli.options import config_option
from dnsd.errors import printable

if TYPE_CHECKING:
    from dnsd.fleet.node import FleetNode
    from dnsd.fleet.push_files import PushDone


@fleet_commands.command("push")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@config_option
@click.option("--prune", is_flag=True, help="Remove what was removed in FOLDER.")
@click.option("--force", is_flag=True, help="Take FOLDER's side in conflicts, and pass guard and brake.")
@click.option("--plan", "is_plan", is_flag=True, help="Only print what would be done.")
def push_command(folder: Path, config: Path, *, prune: bool, force: bool, is_plan: bool) -> None:
    """Send what has changed in FOLDER, a folder of accounts such as a git checkout.

    Takes nothing back: what others have changed in the fleet since FOLDER was exported or pushed stays, and a file that
    both have changed is a conflict, which refuses the push. The file `.dnsd-revision` in FOLDER says what the fleet had
    then; commit it with the others after each push. Judged as `dnsd fleet import` is. Exit status 3: no server answers.
    """

    def work(node: FleetNode, servers: int) -> Coroutine[Any, Any, PushDone]:
        from dnsd.fleet.push_files import PushOptions, push_files

        return push_files(node, config, folder, PushOptions(prune=prune, is_forced=force, is_plan=is_plan))

    steps, new = as_control_of(settings_of(config), config, work)
    if is_plan:
        _print_keys("write", steps.written)
        _print_keys("remove", steps.removed)
    _print_keys("changed by others, and left alone", steps.of_others)
    _print_keys("not in the folder, and left without --prune", steps.staying)
    done = f"{new:,} new, {len(steps.written) - new:,} changed, {len(steps.removed):,} removed"
    click.echo(f"plan: {done}" if is_plan else done)


def _print_keys(what: str, keys: Iterable[str]) -> None:
    for key in keys:
        click.echo(f"{what}: {printable(key)}")
