"""The command line: the only part that prints to a terminal."""

from dnsd.cli import map_drains, map_parts, map_pending  # noqa: F401, commands of `dnsd map`
from dnsd.cli.brake import brake_commands
from dnsd.cli.commands import main
from dnsd.cli.maps import map_commands
from dnsd.cli.quotas import account_commands
from dnsd.cli.tokens import token_commands
from dnsd.cli.zones import zone_commands

for group in (account_commands, brake_commands, map_commands, token_commands, zone_commands):
    main.add_command(group)

__all__ = ["main"]
