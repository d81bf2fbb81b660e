"""The compiled parts, and whether each was compiled from the sources next to it.

setup.py compiles the digest of its sources into each part. After an update of the code without compiling, as by
`git pull` in an installation with `pip install -e`, a part of older sources remains: it may miss functions that the new
code calls, or read octets of an older form. Such a part counts as missing: the portable form is used, and `dnsd serve`
and `dnsd check` say so. Where no sources are installed, parts and code were installed together.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from os.path import normpath
from pathlib import Path

PACKAGE = Path(__file__).parent
REMEDY = "compile them with `make serve` or `pip install -e .`"
INCLUDED = re.compile(rb'^#include "([^"]+)"', re.MULTILINE)


def require(part: str) -> None:
    """Raise ImportError if a part, such as `dnsd.net._batch`, was compiled from other sources."""
    if is_stale(part):
        raise ImportError(f"{part} was compiled from other sources", name=part)


@cache
def is_stale(part: str) -> bool:
    """Whether a part is installed, but was compiled from other sources. It is read, not imported."""
    source = (PACKAGE.parent / part.replace(".", "/")).with_suffix(".c")
    spec = find_spec(part)
    if spec is None or spec.origin is None or not source.is_file():
        return False
    return sources_digest(source).encode() not in Path(spec.origin).read_bytes()


def stale_parts() -> Iterator[str]:
    """A warning that names all parts compiled from other sources, if there are any."""
    parts = [".".join(one.relative_to(PACKAGE.parent).with_suffix("").parts) for one in PACKAGE.glob("*/_*.c")]
    stale = sorted(part for part in parts if is_stale(part))
    if stale:
        yield (
            f"compiled parts of another version are not used: {', '.join(stale)}. Their portable forms are slower: "
            f"{REMEDY}, and restart the server"
        )


def sources_digest(source: Path) -> str:
    """The digest of a C file and of all files of this project that it includes."""
    digest = hashlib.blake2b(digest_size=16)
    found = [source]
    for path in found:  # grows
        text = path.read_bytes()
        digest.update(b"%d %b" % (len(text), text))
        for name in INCLUDED.findall(text):
            included = Path(normpath(path.parent / name.decode()))
            if included not in found:
                found.append(included)
    return digest.hexdigest()
