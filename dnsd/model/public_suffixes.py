"""The Public Suffix List: names below which unrelated people register names, such as `co.uk` and `in-addr.arpa`.

The list is a file of the package `publicsuffixlist`, which is released with each change of the list.
"""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList

from dnsd.wire.names import ROOT, ancestors


def is_public_suffix(name: bytes) -> bool:
    """Whether a canonical name is a public suffix; a top-level domain that is not in the list is one, too."""
    labels = tuple(one[1 : 1 + one[0]] for one in (name, *ancestors(name)) if one != ROOT)
    return public_suffixes().is_public(labels)


@cache
def public_suffixes() -> PublicSuffixList:
    """The list, read from its file at the first call."""
    return PublicSuffixList()
