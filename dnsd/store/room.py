"""The sizes of zones' files, and the memory that zones need, estimated before any of them is parsed.

Zones for which the memory would not suffice are refused, the largest first, so that one account's zone takes no room
from those of others. Zones that were served before are loaded in any case, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from dnsd.errors import BrokenRule, Place, Problem
from dnsd.store.directory import SourceFile
from dnsd.store.text_file import LARGER_LIMIT, MAX_FILE_SIZE, MIB, Content, over_limit

# Octets of memory for each octet of text: what the process that reads it needs at its peak (16 measured with short
# lines, 9 with YAML; 17 estimated without a compiler), and what a worker, which maps the same file, keeps of its own.
TO_READ = 24
IN_WORKER = 2
ALWAYS = 8 * 1024**2  # octets for which a load always has room, so that small edits stay possible
AS_BEFORE = "loaded anyway, as it was served before"
MORE = "raise the limit, or add memory"


@dataclass(frozen=True, slots=True)
class Room:
    """The memory for zones, and the largest file."""

    limit: int  # octets, of all processes
    left: Callable[[], int]  # the octets that no process holds now
    workers: int
    file: int = MAX_FILE_SIZE  # octets of one

    def needed(self, octets: int) -> int:
        """The octets of memory for a text."""
        return octets * (TO_READ + IN_WORKER * self.workers)


UNBOUNDED = Room(2**63, lambda: 2**63, 0)


def too_large(
    files: Collection[SourceFile], room: Room, served_texts: Callable[[], Collection[Content]]
) -> Mapping[SourceFile, Problem]:
    """The zones' files for which the memory does not suffice: an error each, or a warning if it was served before."""
    sizes = [file.content.size for file in files]
    total = room.needed(sum(sizes))
    left = _left(room, total)
    if total <= left and max(sizes, default=0) <= room.file:
        return {}
    needed = {file: room.needed(size) for file, size in zip(files, sizes, strict=True)}
    over = {file for file in files if file.content.size > room.file}
    found = {}
    texts = served_texts()
    served = {file: file.content in texts for file in files}
    for file in sorted(files, key=lambda file: (not served[file], needed[file], file.key)):
        if file in over:
            found[file] = _over(file, room, is_warning=served[file])
        elif needed[file] > left:
            found[file] = _problem(file, room, left, is_warning=served[file])
        if served[file] or file not in found:
            left -= needed[file]
    return found


def over_file_limit(file: SourceFile, room: Room, served_texts: Callable[[], Collection[Content]]) -> Problem | None:
    """The problem if a zone's file is larger than the setting allows: a warning if it was served before."""
    return _over(file, room, is_warning=file.content in served_texts()) if file.content.size > room.file else None


def shortage(size: int, room: Room) -> str:
    """The reason why a text of so many octets cannot be read; empty if the memory suffices."""
    needed = room.needed(size)
    left = _left(room, needed)
    return _shortage(size, room, left, MORE) if needed > left else ""


def _left(room: Room, needed: int) -> int:
    """The memory that is left; looked up if it may be too little."""
    return max(ALWAYS, room.left()) if needed > ALWAYS else ALWAYS


def _shortage(size: int, room: Room, left: int, end: str) -> str:
    need = f"{size:,} octets of text need about {room.needed(size) // MIB:,} MiB of memory"
    limit = f"of `limits.memory_mib` ({room.limit // MIB:,} MiB), {max(0, left) // MIB:,} MiB are left"
    return f"{need}; {limit}: {end}"


def _problem(file: SourceFile, room: Room, left: int, *, is_warning: bool) -> Problem:
    message = _shortage(file.content.size, room, left, AS_BEFORE if is_warning else MORE)
    place = Place(file.path, 1, 1)
    return Problem(file.key, (), message, warning=is_warning, rule=BrokenRule.MEMORY, place=place)


def _over(file: SourceFile, room: Room, *, is_warning: bool) -> Problem:
    message = over_limit(file.content.size, room.file, AS_BEFORE if is_warning else LARGER_LIMIT)
    return Problem(file.key, (), message, warning=is_warning, place=Place(file.path, 1, 1))
