"""The command line: the only part that prints to a terminal."""

from dnsd.cli.commands import main

__all__ = ["main"]
