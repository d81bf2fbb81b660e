"""The running server, asked over its local socket."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dnsd.cli.show import fail, say
from dnsd.errors import InvalidDataError
from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder

RELOAD_TIMEOUT_S = 600.0  # a million names take a while
STATUS_TIMEOUT_S = 10.0


def ask_server(config: Path, kind: MessageKind, payload: dict[str, Any], timeout_s: float) -> Any:
    """The running server's reply; exits if no server can be reached."""
    try:
        folder = state_folder(config)
    except InvalidDataError as error:
        fail(error)
    try:
        return ask(folder, kind, payload, timeout_s=timeout_s)
    except OSError as error:
        say(f"no server can be reached in {folder}: {error.strerror or error}; is it running with this configuration?")
        sys.exit(3)
