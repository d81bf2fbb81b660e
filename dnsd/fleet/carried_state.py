"""The state of a server alone that a fleet's controls share, on its way into a fleet and out of it.

Tokens, sessions and pending changes.

Both ways, it is files of a state folder, as a server alone writes them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dnsd.errors import DnsdError, shown
from dnsd.fleet.node import FleetNode
from dnsd.fleet.shared_commands import fetched_shared
from dnsd.manage.pending import PendingChange
from dnsd.manage.pending_files import MAX_SIZE as MAX_CHANGE
from dnsd.manage.pending_files import PendingFiles, parse_change
from dnsd.manage.session_file import MAX_SIZE, SessionFile, parse_sessions
from dnsd.manage.session_port import BegunSession
from dnsd.manage.state_names import PENDING, SESSIONS
from dnsd.manage.token_file import TokenFile
from dnsd.manage.token_format import KeptToken
from dnsd.manage.token_port import TokenContent
from dnsd.process.tasks import in_thread
from dnsd.store.kept_file import read_octets
from dnsd.whole_file import sync


class NotCarriedError(DnsdError):
    """State that cannot be read or written; the message says why."""


class CarriedState(NamedTuple):
    """Tokens in order of creation, with the hashes of secrets; sessions by such hashes; pending changes by id."""

    tokens: Sequence[KeptToken]
    sessions: Mapping[str, BegunSession]
    pending: Mapping[str, PendingChange]


def read_state(folder: Path) -> CarriedState:
    """What a state folder has. Blocks. Raises NotCarriedError, and TokenFileError for a damaged file of tokens."""
    if not folder.is_dir():
        raise NotCarriedError(f"there is no state folder {shown(folder)}")
    try:
        sessions = parse_sessions(read_octets(folder / SESSIONS, MAX_SIZE))  # and leave the file where it is
    except FileNotFoundError:
        sessions = {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NotCarriedError(f"{shown(folder / SESSIONS)} is corrupt: remove it, and users sign in again") from None
    return CarriedState([*TokenFile(folder).content().entries.values()], sessions, dict(_pending(folder / PENDING)))


async def import_state(node: FleetNode, state: CarriedState) -> None:
    """Have a fleet's controls share exactly this. Raises as `fetched_shared`, and OSError.

    What was made in the fleet since an earlier import goes.
    """

    def edit(content: TokenContent) -> Sequence[KeptToken]:
        return state.tokens

    async with fetched_shared(node) as shared:
        await shared.tokens.change(edit, is_begun=True)
        there = shared.sessions.begun()
        for digest in there.keys() - state.sessions.keys():
            await shared.sessions.end(digest)
        for digest, session in state.sessions.items():
            if digest not in there:
                await shared.sessions.begin(digest, session)
        changes = shared.pending.all()
        for change_id in changes.keys() - state.pending.keys():
            await shared.pending.remove(change_id)
        for change_id, change in state.pending.items():
            known = changes.get(change_id)
            before = known.change if known else None
            if before != change:
                await shared.pending.put(change, before)


async def export_state(node: FleetNode, folder: Path) -> CarriedState:
    """Write what a fleet's controls share into a new folder, which is its owner's alone and appears once it is whole.

    Raises NotCarriedError if there is one, and as `fetched_shared`, and OSError.
    """
    async with fetched_shared(node) as shared:
        await shared.tokens.settle()
        pending = {key: one.change for key, one in shared.pending.all().items()}
        state = CarriedState([*shared.tokens.content().entries.values()], shared.sessions.begun(), pending)
    await in_thread(partial(_write, state, folder))
    return state


def check_new(folder: Path) -> None:
    """Raise NotCarriedError unless a folder can be made."""
    if os.path.lexists(folder):
        raise NotCarriedError(f"{shown(folder)} exists, and nothing was written: choose a new name")


def _write(state: CarriedState, folder: Path) -> None:
    check_new(folder)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))  # for its owner alone
    try:
        TokenFile(new).keep(state.tokens)
        SessionFile(new).keep(state.sessions)
        for change in state.pending.values():
            PendingFiles(new).write(change)
        os.rename(new, folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync(folder.parent)


def _pending(folder: Path) -> Iterator[tuple[str, PendingChange]]:
    """The pending changes in a folder. Raises NotCarriedError for a damaged file, and OSError."""
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            yield path.stem, parse_change(json.loads(read_octets(path, MAX_CHANGE)), path.stem)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise NotCarriedError(f"{shown(path)} is corrupt: remove it, and schedule the change again") from None
