"""Soak steps: their sizes (DNSD_SOAK=long for minutes), and the line of figures printed by each.

`pytest tests/soak -p no:xdist --figures docs/reliability.md` also writes the figures into that file's table; rows of
steps that did not run stay unchanged.
"""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

import pytest

from tests.limits import IS_LONG

T = TypeVar("T")

BEGIN, END = "<!-- figures -->", "<!-- /figures -->"
HEAD = ["| id | step | figures | date | ok |", "|---|---|---|---|---|"]
PROPERTY = "figures"

Row = tuple[str, str, str, str, str]  # id, step, figures, date, ok
ROWS = pytest.StashKey[dict[tuple[str, str], Row]]()


class Scale(Protocol):
    """`scale(short, long)`: the size of a step in `make test`, and in `make soak`."""

    def __call__(self, short: T, long: T) -> T: ...


@pytest.fixture(scope="session")
def scale() -> Scale:
    def choose(short: T, long: T) -> T:
        return long if IS_LONG else short

    return choose


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Report measurements, before they are asserted: `figures("F1", "malformed packets", packets=200_000)`."""

    def note(promise: str, step: str, **values: object) -> None:
        request.node.user_properties.append((PROPERTY, [promise, step, as_text(values)]))

    return note


def as_text(values: dict[str, object]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in values.items())


def number(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--figures", metavar="FILE", help="write the figures of soak steps into this Markdown file's table"
    )


class Reports:
    """Prints and collects the figures from the tests' reports, also from xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = [value for name, value in report.user_properties if name == PROPERTY]
        if report.when == "call" or report.failed:
            for promise, step, text in cast(list[list[str]], found):
                self.note((promise, step, text, datetime.date.today().isoformat(), "yes" if report.passed else "no"))

    def note(self, row: Row) -> None:
        promise, step, text, _, ok = row
        self.config.stash[ROWS][promise, step] = row
        terminal = self.config.get_terminal_writer()
        terminal.line()
        terminal.line(f"{promise} {step}: {text}{'' if ok == 'yes' else ' - NOT MET'}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    register(session.config)


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    register(config)  # this conftest may be loaded only at collection


def register(config: pytest.Config) -> None:
    has_terminal = config.pluginmanager.has_plugin("terminalreporter") and not hasattr(config, "workerinput")
    if has_terminal and not config.pluginmanager.has_plugin("soak-figures"):
        config.stash[ROWS] = {}
        config.pluginmanager.register(Reports(config), "soak-figures")


def pytest_sessionfinish(session: pytest.Session) -> None:
    file, rows = session.config.getoption("figures", None), session.config.stash.get(ROWS, {})
    if file and rows:
        write_table(pathlib.Path(file), rows)


def write_table(file: pathlib.Path, rows: dict[tuple[str, str], Row]) -> None:
    """Write the rows into the file's table, replacing earlier ones of the same steps."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    if BEGIN not in text:
        text += f"\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN, 1)
    table, after = rest.split(END, 1)
    merged = {(row[0], row[1]): row for row in map(parse_row, table.splitlines()) if row} | rows
    lines = [f"| {' | '.join(row)} |" for row in sorted(merged.values(), key=in_order)]
    file.write_text("\n".join([before + BEGIN, *HEAD, *lines, END + after]), encoding="utf-8")


def parse_row(line: str) -> Row | None:
    """The cells of a table row; None for the head and for other lines."""
    cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
    if line in HEAD or len(cells) != 5:
        return None
    promise, step, text, date, ok = cells
    return promise, step, text, date, ok


def in_order(row: Row) -> tuple[str, int, str]:
    digits = "".join(one for one in row[0].partition("-")[0] if one.isdigit())
    return row[0][:1], int(digits or 0), row[1]
