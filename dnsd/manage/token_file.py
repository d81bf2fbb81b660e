"""The file of tokens: in the state folder, with only the hashes of the secrets.

The server and the command line share it: writers take turns, and readers notice a change at once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dnsd.errors import shown
from dnsd.manage.state_names import TOKENS, TOKENS_LOCK
from dnsd.manage.token_format import FORMAT, KeptToken, check_tokens, parse_tokens, token_entry_data
from dnsd.manage.token_port import TokenContent, TokenEdit, TokenFileError, Tokens
from dnsd.store.kept_file import DamagedFileError, read_kept, read_octets
from dnsd.whole_file import hand_over, make_folder, replacing

MAX_SIZE = 64 * 1024 * 1024  # octets of the file


class TokenFile(Tokens):
    """The tokens in a state folder. A change creates the folder if needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / TOKENS
        self._version = (0, 0, 0)  # of the file that was read: time of the last change in ns, octets, inode
        self._content = TokenContent()

    def keep(self, entries: Iterable[KeptToken]) -> None:
        """Have exactly these tokens, without evidence: they were changed elsewhere."""
        with self._writing():
            self._write(entries)

    def without_damage(self) -> str | None:
        """At a start, move a damaged file aside; return the problem, None if the file is sound or missing.

        While the server runs, a damaged file stays, as somebody may be at work on it.
        """
        try:
            with self._writing():
                read_kept(self._file, check_tokens, most=MAX_SIZE)
        except DamagedFileError as error:
            return f"{error}; nobody has access: restore it from a backup, or create new tokens with `dnsd token`"
        except (FileNotFoundError, TokenFileError):
            pass
        return None

    def content(self) -> TokenContent:
        """The content of the file, read again if it has changed; without a file there are no tokens."""
        try:
            if _version(os.stat(self._file)) != self._version:
                version = _version(os.stat(self._file))  # before the reading: a change meanwhile is read next time
                content = TokenContent.of(parse_tokens(read_octets(self._file, MAX_SIZE)))
                self._content, self._version = content, version
        except FileNotFoundError:
            self._content, self._version = TokenContent(), (0, 0, 0)
        except OSError as error:
            raise TokenFileError(f"{shown(self._file)} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            message = "restore it from a backup, or remove it and create new tokens with `dnsd token`"
            raise TokenFileError(f"{shown(self._file)} is corrupt: {message}") from None
        return self._content

    def _change(self, edit: TokenEdit) -> None:
        """Make a change, while other writers wait."""
        with self._writing():
            content = self.content()
            self._write(edit(content), before=content.entries.values())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Exclude other writers, also in other processes."""
        try:
            make_folder(self._folder)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self._folder / TOKENS_LOCK, flags, 0o600), "rb+", buffering=0) as lock:
                _hand_over(lock.fileno(), self._folder)
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise TokenFileError(f"{shown(self._file)} cannot be written: {error.strerror}") from None

    def _write(self, entries: Iterable[KeptToken], *, before: Iterable[KeptToken] | None = None) -> None:
        """Replace the file atomically. Its modification time always increases, even if the clock is set back.

        Raises ValueError if the file would be too large to be read.
        """
        entries = [*entries]
        data = {"format": FORMAT, "tokens": [token_entry_data(entry) for entry in entries]}
        octets = json.dumps(data, indent=1).encode() + b"\n"
        if len(octets) > MAX_SIZE:  # nobody could read it
            raise ValueError(f"the file of tokens would have more than {MAX_SIZE:,} octets, the limit: revoke some")
        if before is not None:
            self._attest(before, entries)
        with replacing(self._file) as out:  # a new file: root must not write to, or give away, a file of the owner's
            out.write(octets)
            out.flush()
            _hand_over(out.fileno(), self._folder)
            modified_ns = max(os.fstat(out.fileno()).st_mtime_ns, self._version[0] + 1)
            os.utime(out.fileno(), ns=(modified_ns, modified_ns))


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino


def _hand_over(fd: int, folder: Path) -> None:
    """Give an open file that root made, no other at its path, to the folder's owner, who must be able to read it."""
    owner = os.stat(folder)
    if os.geteuid() == 0 and owner.st_uid != 0:
        hand_over(fd, owner.st_uid, owner.st_gid)
