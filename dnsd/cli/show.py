"""The output of commands: tables and coloured text on a terminal, plain text in a pipe, or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from dnsd.errors import InvalidDataError, Problem, printable


def say(text: str) -> None:
    """Print a line for the operator on stderr; a closed stderr is ignored."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def report(problems: Iterable[Problem]) -> None:
    """Print each problem on a line of stderr."""
    for problem in problems:
        say(problem.line())


def fail(error: InvalidDataError) -> NoReturn:
    """Print the problems and exit."""
    report(error.problems)
    sys.exit(1)


def print_json(data: Any) -> None:
    """Print data as JSON."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> None:
    """Print a table: the first `words` columns aligned left, the others, which are numbers, aligned right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    for number, row in enumerate((columns, *rows)):
        sides = [str.ljust] * words + [str.rjust] * (len(columns) - words)
        cells = [side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)]
        click.secho("  " + "  ".join(cells).rstrip(), bold=number == 0)


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print labels with their values; a row with an empty value is left out."""
    width = max((len(label) for label, _ in rows), default=0)
    for label, value in rows:
        if value:
            click.echo(f"  {label:{width}}  {printable(value)}")


def labelled(label: str, values: Sequence[str]) -> list[tuple[str, str]]:
    """Rows for the values of one label; only the first row shows the label."""
    return [("" if number else label, value) for number, value in enumerate(values)]
