"""The command line: the one part that prints for people."""

from dnsd.cli.commands import main

__all__ = ["main"]
