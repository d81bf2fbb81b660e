"""The places of problems in the text of a file."""

from __future__ import annotations

from dataclasses import replace

from dnsd.errors import Place, Problem
from dnsd.formats.yaml_items import ItemLines, ItemPlaces
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.text_file import FileChangedError

UNPLACED = " (the file has changed since; the position is unknown)"


class TextPlaces:
    """A file's text, with the position of each path."""

    def __init__(self, file: SourceFile, items: ItemLines | None = None) -> None:
        """`items` are the places of a zone's records, if each has lines of its own."""
        self._file = file
        self._items = items
        self._places: ItemPlaces | None = None  # None: not found yet
        self._has_changed = False

    def placed(self, problem: Problem) -> Problem:
        """The problem at the position of its path, or of the longest part of it that the text contains."""
        if self._places is None:
            self._places = self._find()
        message = problem.message + UNPLACED if self._has_changed else problem.message
        return replace(problem, message=message, place=Place(self._file.path, *self._places.find(problem.path)))

    def _find(self) -> ItemPlaces:
        # Parse again: problems are rare, and to keep positions would need more memory than all else.
        try:
            if self._file.kind is not FileKind.ZONE_MASTER:
                return ItemPlaces(self._file.text(), self._items)
        except FileChangedError:
            self._has_changed = True
        return ItemPlaces("", None)
