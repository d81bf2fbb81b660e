"""Letters of agency (LOA): PDF documents of accounts, in the state folder. All functions block."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from dnsd.manage.refusal import Reason, refused
from dnsd.manage.state_names import LOA
from dnsd.model.times import parse_time, time_text
from dnsd.store.kept_file import DamagedFileError, read_kept
from dnsd.whole_file import make_folder, replacing

MAX_SIZE = 1024 * 1024  # octets of a document
MAX_DOCUMENTS = 10  # of an account
MAX_NAME = 200  # characters of a file name
PDF_START = b"%PDF-"
KEPT_FOR = timedelta(days=30)  # after the account's files are gone
GONE = ".gone"  # the ending of a file: its time is when the account was first missing
ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class LoaDocument:
    """An uploaded document without its content."""

    id: str
    filename: str
    size_bytes: int
    created: datetime


class LoaDocuments:
    """The documents in a state folder; only one process writes them."""

    def __init__(self, state: Path, report: Callable[[str], object] = str) -> None:
        """`report` is called with the problem of each damaged document."""
        self._folder = state / LOA
        self._report = report
        self._adding = threading.Lock()  # from the count to the new files

    def of_account(self, account_id: str) -> list[LoaDocument]:
        """The documents of an account, oldest first; damaged ones are left out. Raises OSError."""
        folder = self._folder / account_id
        if not folder.is_dir():
            return []
        found = (self._described(folder, name.removesuffix(".json")) for name in os.listdir(folder))
        return sorted(filter(None, found), key=lambda one: (one.created, one.id))

    def add(
        self, account_id: str, filename: str, octets: bytes, now: datetime, document_id: str | None = None
    ) -> LoaDocument:
        """Keep a document, with a new id if none is given. Raises RefusedError if it may not be kept, and OSError."""
        if len(octets) > MAX_SIZE:
            raise refused(Reason.TOO_LARGE, f"{len(octets):,} octets; the limit is {MAX_SIZE:,}", "loa_document")
        if not octets.startswith(PDF_START):
            raise refused(Reason.INVALID, "the document is not a PDF file", "loa_document")
        made = LoaDocument(document_id or new_id(), _shown_name(filename), len(octets), now)
        described = {"filename": made.filename, "size_bytes": made.size_bytes, "created": time_text(now)}
        folder = self._folder / account_id
        make_folder(folder)
        with self._adding:
            if sum(name.endswith(".json") for name in os.listdir(folder)) >= MAX_DOCUMENTS:
                raise refused(Reason.FORBIDDEN, f"the account has {MAX_DOCUMENTS} LOA documents, the limit: delete one")
            with replacing(folder / f"{made.id}.pdf") as out:
                out.write(octets)
            with replacing(folder / f"{made.id}.json") as out:
                out.write(json.dumps(described).encode())
        return made

    def content(self, account_id: str, document_id: str) -> tuple[LoaDocument, bytes]:
        """A document with its content. Raises RefusedError without it, and OSError."""
        found = self.find(account_id, document_id)
        try:
            return found, (self._folder / account_id / f"{found.id}.pdf").read_bytes()
        except FileNotFoundError:
            raise no_document() from None

    def find(self, account_id: str, document_id: str) -> LoaDocument:
        """A document. Raises RefusedError if the account has no such document."""
        found = self._described(self._folder / account_id, document_id) if ID.fullmatch(document_id) else None
        if found is None:
            raise no_document()
        return found

    def remove(self, account_id: str, document_id: str) -> None:
        """Delete a document. Raises RefusedError without it, and OSError."""
        found = self.find(account_id, document_id)
        for ending in ("json", "pdf"):
            with suppress(FileNotFoundError):
                (self._folder / account_id / f"{found.id}.{ending}").unlink()

    def remove_all(self, account_id: str) -> None:
        """Delete all documents of an account. Raises OSError."""
        with self._adding, suppress(FileNotFoundError):
            shutil.rmtree(self._folder / account_id)

    def sweep(self, accounts: Container[str], now: datetime) -> None:
        """Delete the documents of accounts that have been missing from `accounts` for KEPT_FOR. Raises OSError.

        An account whose files are removed may come back with them; a file next to its folder has the time until then.
        """
        if not self._folder.is_dir():
            return
        for name in os.listdir(self._folder):
            account_id = name.removesuffix(GONE)
            gone = self._folder / f"{account_id}{GONE}"
            if account_id in accounts or not (self._folder / account_id).is_dir():
                gone.unlink(missing_ok=True)
            elif not gone.exists():
                gone.touch(mode=0o600)
                os.utime(gone, (now.timestamp(), now.timestamp()))
            elif datetime.fromtimestamp(gone.stat().st_mtime, UTC) + KEPT_FOR <= now:
                self.remove_all(account_id)
                gone.unlink()

    def _described(self, folder: Path, document_id: str) -> LoaDocument | None:
        try:
            return read_kept(folder / f"{document_id}.json", partial(_parsed, document_id), most=MAX_SIZE)
        except DamagedFileError as error:
            self._report(f"{error}; its document is not listed any more")
        except OSError:
            pass
        return None


def _parsed(document_id: str, octets: bytes) -> LoaDocument:
    """The description of a document. Raises ValueError, TypeError, KeyError … for any deviation from the format."""
    data = json.loads(octets)
    size = int(data["size_bytes"])
    if not isinstance(data["filename"], str) or not 0 <= size <= MAX_SIZE:
        raise ValueError
    return LoaDocument(document_id, _shown_name(data["filename"]), size, parse_time(data["created"]))


def new_id() -> str:
    """The id of a new document."""
    return secrets.token_hex(16)


def file_of(account_id: str, document_id: str) -> str:
    """The path of a document's description in the state folder."""
    return f"{LOA}/{account_id}/{document_id}.json"


def no_document() -> Exception:
    """The error for a document that does not exist, or belongs to another account."""
    return refused(Reason.NOT_FOUND, "not_found: there is no LOA document with this id in the account")


def _shown_name(filename: str) -> str:
    """A file name without its folders and without characters that do not belong in a header."""
    name = re.split(r"[/\\]", filename)[-1]
    return "".join(c for c in name if c.isprintable() and c != '"')[:MAX_NAME] or "loa.pdf"
