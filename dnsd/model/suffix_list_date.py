"""The date of the Public Suffix List (`model/public_suffixes.py`)."""

from __future__ import annotations

import re

from publicsuffixlist import PSLFILE

HEAD = 4_096  # octets of the list's file that contain its date
DATE = re.compile(rb"^// VERSION: (\d{4}-\d\d-\d\d)", re.MULTILINE)


def list_date() -> str:
    """The date of the list, such as 2026-10-22; empty if its file does not say."""
    with open(PSLFILE, "rb") as file:
        found = DATE.search(file.read(HEAD))
    return found[1].decode() if found else ""
