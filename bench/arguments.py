"""Arguments of the benchmarks' commands."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable


def several(known: Iterable[str]) -> Callable[[str], list[str]]:
    """A parser of names with commas in between; each must be known."""

    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [one for one in chosen if one not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {unknown[0]!r} is not one of {', '.join(known)}")
        return chosen

    return names
