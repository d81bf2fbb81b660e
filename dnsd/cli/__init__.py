"""The command line: the one part that prints for people."""

from dnsd.cli.commands import main
from dnsd.cli.tokens import token_commands

main.add_command(token_commands)

__all__ = ["main"]
