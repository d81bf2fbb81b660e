"""Problems of a YAML text: their places, and PyYAML's messages as advice for the common slips."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import yaml

from dnsd.errors import DnsdError

MAX_DEPTH = 32  # our deepest file needs 5
TOO_DEEP = f"nested too deeply: the limit is {MAX_DEPTH} levels"

# Phrases in PyYAML's messages about the most common slips, and better advice for each.
SLIPS = (
    ("exceeded maximum nesting depth", TOO_DEEP),  # newer releases of libyaml detect it while reading ahead
    (
        "mapping values are not allowed",
        "unexpected colon: a value that contains a colon and a space needs quotes,"
        " and all keys of a mapping begin in the same column",
    ),
    ("<document start>", "this is indented less than the text above and belongs to nothing: check the indentation"),
    ("sequence entries are not allowed", "a list cannot begin here: put its first item on a line of its own"),
)


class YamlProblem(NamedTuple):
    """A problem at a line and column of a text, both from 1."""

    line: int
    column: int
    message: str


class YamlError(DnsdError):
    """The text is not one YAML document of the accepted form; `problems` lists the reasons in the text's order."""

    def __init__(self, problems: Iterable[YamlProblem]) -> None:
        self.problems = sorted(problems, key=lambda problem: (problem.line, problem.column))
        super().__init__("\n".join(f"{line}:{column}: {message}" for line, column, message in self.problems))


def syntax_problem(error: yaml.MarkedYAMLError, text: str) -> YamlProblem:
    """PyYAML's problem and context as one sentence, or better advice for a common slip."""
    problem, context, begin = error.problem or "this is not YAML", error.context or "", error.context_mark
    mark = error.problem_mark or begin
    if begin is not None and (context.endswith(("an alias", "an anchor")) or "unexpected end of stream" in problem):
        mark = begin
    if mark is None:
        return YamlProblem(1, 1, problem)
    at, char = (mark.line + 1, mark.column + 1), text[mark.index : mark.index + 1]
    if char == "\t":
        return YamlProblem(*at, "a tab is not allowed here: indent with spaces")
    if "unexpected end of stream" in problem:
        return YamlProblem(*at, "this quote is never closed")
    if char and (mark is begin or "cannot start any token" in problem or text.startswith("::", mark.index)):
        return YamlProblem(*at, f"a value that begins with {char} needs quotes")
    for phrase, advice in SLIPS:
        if phrase in problem:
            return YamlProblem(*at, advice)
    if context:
        problem += f", {context}"
    if context and begin is not None and begin.line + 1 != at[0]:
        problem += f" that begins in line {begin.line + 1}"
    return YamlProblem(*at, problem)
