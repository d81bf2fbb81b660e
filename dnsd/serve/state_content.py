"""What the server keeps in its state folder: the names of its files and folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dnsd.manage.audit import FILE_NAME as AUDIT_LOG
from dnsd.manage.audit import FOLDER as AUDIT_FOLDER
from dnsd.manage.brake_file import FILE_NAME as BRAKE
from dnsd.manage.drain_files import FOLDER as DRAINS
from dnsd.manage.state_names import (
    ACTS,
    FLEET_COPIED,
    FLEET_OP,
    FLEET_SETTINGS,
    HISTORY,
    LOA,
    PENDING,
    REPLICA,
    SESSIONS,
    TOKENS,
    TOKENS_LOCK,
    TRAFFIC,
    VALIDATIONS,
)
from dnsd.process.snapshot_file import FILE_NAME as SNAPSHOT
from dnsd.process.state import LOCK_FILE
from dnsd.store.block_store import FOLDER as BLOCKS
from dnsd.store.first_seen import FILE_NAME as FIRST_SEEN
from dnsd.store.good import FOLDER as GOOD
from dnsd.store.journal import JOURNAL
from dnsd.store.kept_file import with_right_kinds
from dnsd.store.observations import FILE_NAME as OBSERVED

STATE_FOLDERS = (HISTORY, GOOD, BLOCKS, PENDING, LOA, AUDIT_FOLDER, ACTS, DRAINS)
STATE_FILES = (  # glob patterns
    *(
        LOCK_FILE,
        TOKENS,
        TOKENS_LOCK,
        JOURNAL,
        f"{JOURNAL}.*",
        SNAPSHOT,
        SESSIONS,
        FIRST_SEEN,
        OBSERVED,
        BRAKE,
        VALIDATIONS,
    ),
    *(
        f"{TRAFFIC}*",
        f"{AUDIT_LOG}*",
        f"{SNAPSHOT}.*",
        f"{TOKENS}.*",
        f"{BRAKE}.*",
        f"{REPLICA}*",
        f"{FLEET_OP}*",
        f"{FLEET_SETTINGS}*",
        f"{FLEET_COPIED}*",
    ),
)
STATE_NAMES = (*STATE_FILES, *STATE_FOLDERS, f"{GOOD}.new")  # also a folder that is not finished


def sound_state(folder: Path) -> Iterator[str]:
    """Move aside what is of a wrong kind in the state folder, such as a folder in place of a file; yield messages."""
    yield from with_right_kinds(folder, STATE_FILES, STATE_FOLDERS)
    for inner in (AUDIT_FOLDER, DRAINS):
        yield from with_right_kinds(folder / inner, ("*",))
