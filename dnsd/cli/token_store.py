"""The tokens of the server with some settings: in its state folder or, of a control, in its fleet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dnsd.cli.show import say
from dnsd.errors import printable
from dnsd.manage.token_file import TokenFile
from dnsd.manage.token_port import TokenFileError, Tokens
from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import read_settings

if TYPE_CHECKING:
    from dnsd.settings.server import Settings

STATUS_S = 5.0
NO_ANSWER = 3  # exit status


def tokens_of(config: Path, folder: Path) -> Tokens:
    """The tokens of the server whose state folder is `folder`. Raises InvalidDataError and TokenFileError."""
    if read_settings(config).text("role") != "control":
        return TokenFile(folder)
    from dnsd.settings.file import load_settings

    return _tokens_of_fleet(config, folder, load_settings(config).settings)


def _tokens_of_fleet(config: Path, folder: Path, settings: Settings) -> Tokens:
    fleet = settings.fleet
    assert fleet
    try:
        from dnsd.fleet.shared_commands import CommandTokens
    except ModuleNotFoundError as error:
        raise TokenFileError(f"{error}: install dnsd[fleet]") from None
    return CommandTokens(
        fleet.identity_folder(config),
        fleet.servers,
        TokenFile(folder),
        is_served=lambda: _is_served(folder),
        note=lambda text: say(printable(text)),
    )


def _is_served(folder: Path) -> bool:
    """Whether a server runs with this state folder."""
    try:
        ask(folder, MessageKind.STATUS, {}, timeout_s=STATUS_S)
    except OSError:
        return False
    return True
