"""The versions of an object, for `dnsd map history` and `dnsd zone history`."""

from __future__ import annotations

import click

from dnsd.cli.client import Client, in_path
from dnsd.cli.show import print_json, print_table, say


def print_versions(api: Client, path: str, *, as_json: bool) -> None:
    """Print all versions of the object at a path, newest first."""
    versions = api.get(f"{path}/history")
    if as_json:
        print_json(versions)
    elif versions:
        columns = ("version", "at", "action", "token", "")
        rows = [
            (one["version"], one["at"], one["action"], one["token"] or "-", "current" if one["current"] else "")
            for one in versions
        ]
        print_table(columns, rows, words=len(columns))
    else:
        say("no versions: nothing has been changed over the API yet")


def print_version(api: Client, path: str, version: str, *, as_json: bool) -> None:
    """Print the file of one version."""
    found = api.get(f"{path}/history/{in_path(version)}")
    if as_json:
        print_json(found)
    else:
        click.echo(found["text"], nl=not found["text"].endswith("\n"))
