"""Commands of `dnsd fleet` on a control's machine, and what they find in the fleet."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner, Result

from dnsd.cli.commands import main
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.root import RootFolder
from dnsd.fleet.shared_object import change_shared
from tests.fleet.edges import urls_of
from tests.fleet.servers import control_folder


def fleet(config: Path, *words: str, text: str | None = None) -> Result:
    """The outcome of a command, which gets a text on its standard input."""
    return CliRunner().invoke(main, ["fleet", *words, "-c", str(config)], input=text)


def put_shared(root: RootFolder, subject: str, change: Callable[[bytes | None], bytes]) -> None:
    """Give a shared object another value, as a later version may."""

    async def put(node: FleetNode) -> None:
        await change_shared(node, subject, lambda now: change(now.value), "test")

    as_control(control_folder(root), urls_of(root), put)


def texts_of(root: RootFolder) -> dict[str, str]:
    """The texts of a fleet's small files, by key; of unusable ones, the reason."""

    async def fetched(node: FleetNode) -> dict[str, str]:
        async with fetched_state(node) as state:
            return {
                file.key: file.problem.message if file.problem else file.content.text or ""
                for file in state.files.files
            }

    return as_control(control_folder(root), urls_of(root), fetched)


def values_of(root: RootFolder) -> dict[str, bytes]:
    """The values of all objects, by subject, without the heads."""

    async def fetched(node: FleetNode) -> dict[str, bytes]:
        async with fetched_state(node) as state:
            with closing(state.reader.state()) as whole:
                found = whole.objects("dnsd.s.")
                return {kept.subject: kept.value for kept in found if not kept.subject.startswith("dnsd.s.h")}

    return as_control(control_folder(root), urls_of(root), fetched)
