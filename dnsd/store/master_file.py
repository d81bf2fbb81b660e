"""Read a master file, but for the blocks that it had before."""

from __future__ import annotations

from collections.abc import Callable

from dnsd.formats.zone_blocks import BlockText, ReadBefore
from dnsd.formats.zone_text import ZoneText, parse_zone_text
from dnsd.store.directory import SourceFile


def read_master_file(
    file: SourceFile, name: bytes, before: ReadBefore | None, progress: Callable[[int], None] | None = None
) -> ZoneText:
    """Read a zone's master file; `name` is the zone's unless the text has an SOA. Raises FileChangedError."""
    blocks, whole = file.content.blocks, file.content.text
    if whole is not None and len(blocks) == 1:  # as in most zones
        text = BlockText(blocks, lambda start, stop: (whole, 1))
    else:
        text = BlockText(blocks, file.block_reader(by_status=True).text_of)
    return parse_zone_text(text, name, progress=progress, before=before)
