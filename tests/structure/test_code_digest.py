"""The digest that a start compares is that of all code that reads and packs zones."""

from __future__ import annotations

from pathlib import Path

from dnsd.control.code_digest import PARTS
from tests.structure.test_layers import PACKAGE, imports, part_of

ROOTS = ("compile/build.py", "store/load.py", "store/packed_zone.py")


def needed(module: Path, found: set[Path]) -> None:
    """Add a module, and all that it imports of this package."""
    if module in found or not module.is_file():
        return
    found.add(module)
    for name in imports(module):
        if name.startswith("dnsd."):
            needed(PACKAGE / f"{name.removeprefix('dnsd.').replace('.', '/')}.py", found)


def test_digest_is_that_of_all_code_that_reads_and_packs() -> None:
    found: set[Path] = set()
    for root in ROOTS:
        needed(PACKAGE / root, found)
    assert len(found) > 50
    parts = {part_of(module) if module.parent != PACKAGE else "" for module in found}
    assert parts == set(PARTS)
