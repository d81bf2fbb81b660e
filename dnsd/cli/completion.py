"""`dnsd completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from dnsd.cli.commands import main


@main.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print a completion script for SHELL.

    In bash or zsh: eval "$(dnsd completion bash)". In fish: dnsd completion fish | source.
    """
    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(main, {}, "dnsd", "_DNSD_COMPLETE").source())
