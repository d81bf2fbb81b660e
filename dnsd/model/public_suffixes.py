"""The Public Suffix List: names below which unrelated people register names, such as `co.uk` and `in-addr.arpa`.

The list is a file of the package `publicsuffixlist`, which is released with each change of the list.
"""

from __future__ import annotations

import re
from functools import cache

from publicsuffixlist import PSLFILE, PublicSuffixList

from dnsd.wire.names import ROOT, ancestors

HEAD = 4_096  # octets of the list's file that contain its date
DATE = re.compile(rb"^// VERSION: (\d{4}-\d\d-\d\d)", re.MULTILINE)


def is_public_suffix(name: bytes) -> bool:
    """Whether a canonical name is a public suffix; a top-level domain that is not in the list is one, too."""
    labels = tuple(one[1 : 1 + one[0]] for one in (name, *ancestors(name)) if one != ROOT)
    return public_suffixes().is_public(labels)


def list_date() -> str:
    """The date of the list, such as 2026-10-22; empty if its file does not say."""
    with open(PSLFILE, "rb") as file:
        found = DATE.search(file.read(HEAD))
    return found[1].decode() if found else ""


@cache
def public_suffixes() -> PublicSuffixList:
    """The list, read from its file at the first call."""
    return PublicSuffixList()
