"""Writing the files of a change: all of them or none, and on the disk before anybody is told.

What is new is written beside its place, under a name that readers of the folder pass over, and is renamed into it; what
was there stays beside it until all is done. So a change that fails is undone. Where it takes several steps, a journal
lists them first: who finds one undoes what a process that was killed had begun. The change is made once that is gone.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from dnsd.formats.odd_octets import octets_of

JOURNAL = "journal"  # its name, in the state folder

Stamp = tuple[int, ...]  # what the status of a file or folder says of which one it is


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a file is to say from now on; `modified` is its time, in seconds since 1970."""

    path: str
    text: str | None  # None: the file, or the folder with all that is in it, is to go
    modified: int
    model: str | None = None  # a file whose owner and mode a new one is to have


@dataclass(frozen=True, slots=True)
class _Step:
    """What stands at a path after one renaming, and what did before."""

    path: str
    new: str | None  # beside it, a file or a folder; None: nothing is to stand there
    old: str | None  # beside it; None: nothing stood there
    stamp: Stamp = ()  # of the new, once it is there


def write_files(changes: Sequence[FileChange], journal: Path, verify: Callable[[], None] = lambda: None) -> None:
    """Make all changes, or none. Raises OSError; and what `verify` raises, which is asked when all else is done."""
    undo_unfinished(journal)
    steps, texts = _planned(changes)
    try:
        for beside in _besides(steps):
            _discard(beside)  # what a process that was killed has left
        for file, change in texts.items():
            _write_text(file, change)
        for step in steps:
            if step.new and step.old:
                _keep(step.path, step.old)
        steps = [replace(step, stamp=_stamp(step.new)) for step in steps]
        _sync([*texts, *_folders(steps, texts)])
        if len(steps) > 1:
            _write(str(journal), json.dumps([astuple(step) for step in steps]).encode(), mode=0o600)
            _sync([str(journal), str(journal.parent)])
        verify()
        for step in steps:
            _take(step)
        _sync({os.path.dirname(step.path) for step in steps})
        if len(steps) > 1:
            _remove(journal)
    except BaseException:
        with suppress(OSError):
            _undo(steps, journal)
        raise
    for step in steps:
        _discard(step.old)


def undo_unfinished(journal: Path) -> bool:
    """Undo what a process that was killed had begun; whether there was anything. Raises OSError."""
    try:
        said = json.loads(journal.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        said = []  # it was not written to its end, so nothing had been done
    _undo([_Step(path, new, old, tuple(stamp)) for path, new, old, stamp in said], journal)
    return bool(said)


def _planned(changes: Iterable[FileChange]) -> tuple[list[_Step], dict[str, FileChange]]:
    """The steps that make the changes; and where each text is written before."""
    steps: dict[str, _Step] = {}
    texts: dict[str, FileChange] = {}
    for change in changes:
        if change.text is None:
            steps[change.path] = _Step(change.path, None, _beside(change.path, "old"))
            continue
        path = os.path.realpath(change.path)  # a link stays one
        if _is_read_only(path):
            raise OSError(errno.EACCES, "it is read-only", change.path)
        place = path  # what is renamed: of folders that are not there yet, the topmost one
        while not os.path.isdir(os.path.dirname(place)):
            place = os.path.dirname(place)
        new = _beside(place, "new")
        steps[place] = _Step(place, new, _beside(place, "old") if os.path.exists(place) else None)
        file = new + path.removeprefix(place)
        if file in texts:
            raise FileExistsError(errno.EEXIST, f"the same file as {texts[file].path}, by a link", change.path)
        texts[file] = change
    return list(steps.values()), texts


def _is_read_only(path: str) -> bool:
    """Whether nobody is to write a file, which its folder would allow all the same."""
    try:
        return not os.stat(path).st_mode & 0o222
    except FileNotFoundError:
        return False


def _beside(path: str, ending: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{ending}")


def is_beside(name: str) -> bool:
    """Whether a file's name is one under which something waits, or is kept, while others are written."""
    return name.startswith(".") and name.endswith((".new", ".old"))


def _besides(steps: Iterable[_Step]) -> list[str]:
    return [beside for step in steps for beside in (step.new, step.old) if beside]


def _folders(steps: Iterable[_Step], texts: Iterable[str]) -> set[str]:
    """The folders that names are written into before the steps are taken."""
    found = {os.path.dirname(beside) for beside in _besides(steps)}
    for file in texts:
        while (folder := os.path.dirname(file)) not in found:
            found.add(folder)
            file = folder
    return found


def _write_text(file: str, change: FileChange) -> None:
    """Write a text where it waits; owner and mode are those of the file that it replaces, or of the model."""
    assert change.text is not None
    model = next((path for path in (change.path, change.model) if path and os.path.exists(path)), None)
    try:
        os.makedirs(os.path.dirname(file), exist_ok=True)
        _write(file, octets_of(change.text), mode=0o600 if model else 0o666)
        if model:
            _make_alike(file, model)
        os.utime(file, (change.modified, change.modified))
    except OSError as error:
        raise OSError(error.errno, error.strerror, change.path) from None


def _write(file: str, octets: bytes, *, mode: int) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as out:
        out.write(octets)


def _make_alike(file: str, model: str) -> None:
    """Give a file the owner, group, mode and attributes of another one, as far as we may."""
    status = os.stat(model)
    for owner in (status.st_uid, -1):
        with suppress(OSError):
            os.chown(file, owner, status.st_gid)
            break
    shutil.copystat(model, file)


def _keep(path: str, old: str) -> None:
    """Have what stands at a path under another name, too."""
    try:
        os.link(path, old)
    except OSError:  # the file system knows no links, or the file is somebody else's
        _write(old, Path(path).read_bytes(), mode=0o600)
        _make_alike(old, path)
        _sync([old])


def _take(step: _Step) -> None:
    if step.new:
        os.replace(step.new, step.path)
    elif step.old:
        os.rename(step.path, step.old)


def _undo(steps: Iterable[_Step], journal: Path) -> None:
    """Put back what was there before the steps, whichever of them were taken; what others have put there stays."""
    steps = list(steps)
    for step in steps:
        if step.new is None and step.old:
            if os.path.lexists(step.old) and not os.path.lexists(step.path):
                os.rename(step.old, step.path)
        elif step.new and step.stamp and step.stamp == _stamp(step.path):
            if step.old:
                os.replace(step.old, step.path)
            else:
                os.rename(step.path, step.new)
    for beside in _besides(steps):
        _discard(beside)
    _sync({os.path.dirname(step.path) for step in steps})
    _remove(journal)


def _stamp(path: str | None) -> Stamp:
    try:
        status = os.lstat(path or "")
    except FileNotFoundError:
        return ()
    return (status.st_size, status.st_mtime_ns)  # inodes are not the same for ever everywhere


def _discard(path: str | None) -> None:
    """Remove what no reader looks at; it does no harm where it stays."""
    with suppress(OSError):
        if path and os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        elif path:
            os.unlink(path)


def _remove(journal: Path) -> None:
    with suppress(FileNotFoundError):
        journal.unlink()
        _sync([str(journal.parent)])


def _sync(paths: Iterable[str]) -> None:
    """Have files, and the names in folders, on the disk."""
    for path in paths:
        fd = os.open(path or ".", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:  # some file systems cannot do this with a folder
                raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(fd)
