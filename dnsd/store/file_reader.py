"""Read the text of one object's file to data and fields, with each problem at its place."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from dnsd.errors import Path as ObjectPath
from dnsd.errors import Place, Problem
from dnsd.formats.yaml_items import ItemLines
from dnsd.formats.yaml_problems import YamlError
from dnsd.formats.yaml_text import Data, parse_yaml
from dnsd.model.fields import F, Fields, validate
from dnsd.store.control_characters import ESCAPE, control_problems
from dnsd.store.directory import SourceFile
from dnsd.store.text_file import FileChangedError
from dnsd.store.text_places import TextPlaces

CHANGED = "the file changed while it was being read"


class FileReader:
    """A file, and the problems found in it so far."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.problems: list[Problem] = [file.problem] if file.problem else []
        self.items: ItemLines | None = None  # the records of a zone, if each has lines of its own, which begin alike

    def data(self) -> dict[str, Data] | None:
        """The file's keys and values; None, and a problem, if the file does not hold any."""
        if self.file.problem:
            return None
        try:
            text = self.file.text()
            data = parse_yaml(text)
        except FileChangedError:
            self.add_at(1, 1, CHANGED)
            return None
        except YamlError as error:
            for line, column, message in error.problems:
                self.add_at(line, column, message)
            return None
        if not isinstance(data, dict):
            self.add_all(validate(Fields, data, self.file.key)[1])
            return None
        if ESCAPE in text:  # YAML itself allows control characters only escaped
            self.add_all(control_problems(self.file.key, data))
        return data

    def fields(self, model: type[F], data: Data, path: ObjectPath = ()) -> F | None:
        """The validated object at `path`; None, and problems, if it is wrong."""
        fields, found = validate(model, data, self.file.key, path)
        self.add_all(found)
        return fields

    def add(self, path: ObjectPath, message: str, *, warning: bool = False) -> None:
        """Add a problem at a path."""
        self.add_all([Problem(self.file.key, path, message, warning=warning)])

    def add_at(self, line: int, column: int, message: str, *, warning: bool = False) -> None:
        """Add a problem at a position, from 1."""
        place = Place(self.file.path, line, column)
        self.problems.append(Problem(self.file.key, (), message, warning=warning, place=place))

    def add_all(self, problems: Iterable[Problem]) -> None:
        """Add problems given by path, each at its position."""
        self.problems += [self._places.placed(problem) for problem in problems]

    @cached_property
    def _places(self) -> TextPlaces:
        """The positions in the text; first asked for once it is known whether there are items."""
        return TextPlaces(self.file, self.items)
