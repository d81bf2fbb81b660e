"""Every regular expression of the package takes time in proportion to the size of any input.

The test finds the patterns itself: compiled ones in every module, and literals in calls. Each gets
inputs made of its own letters, through the methods that the package calls.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from heapq import nlargest
from itertools import takewhile
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import pytest

import dnsd
from tests.limits import IS_LONG

ROOT = Path(dnsd.__file__).parent
LEAST_S = 0.001 if IS_LONG else 0.0003  # shorter times are not compared
TIMES, MOST = 10, 15  # factor of the input's size, and limit of the time's factor
LARGEST = 400_000  # characters; a pattern that takes less than LEAST_S for so many is fast enough
TRIALS = 5
STEPS = (1.1, 1.2, 1.3, 1.4, 1.5, 2, 3, TIMES)
SCREEN, MOST_OF_SCREEN = 3, 3.3  # for a first look: t + 0.06 t² grows 3.3-fold at 3 times the size, 15-fold at 10
SMALL, MOST_STEP = 1_000, 8  # characters; sizes beyond it grow by larger factors, up to this
WORST = 2  # inputs of each pattern with the largest growth, always tried with TIMES the size
PER_REPEAT = 2
MAX_INPUTS = 24
PARTS = 8  # tests among which the patterns are divided: they are not known before a test runs, as finding them is slow
SCANS = {"search", "finditer", "findall", "sub", "subn", "split"}
METHODS = {"match", "fullmatch", *SCANS}


class Found(NamedTuple):
    """A regular expression, and the methods called on it."""

    where: str
    pattern: re.Pattern[Any]
    methods: frozenset[str]


class Written(NamedTuple):
    """A call that compiles or uses a regular expression."""

    where: str
    text: str | bytes | None  # None: built at run time
    method: str
    is_compiled: bool  # by re.compile


@cache
def sources() -> list[tuple[str, ast.Module]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        found.append((name, ast.parse(path.read_text("utf-8"))))
    return found


def compiled_in(value: Any, where: str) -> Iterator[tuple[str, re.Pattern[Any]]]:
    """The patterns in a module's values, including collections and classes."""
    if isinstance(value, re.Pattern):
        yield where, value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from compiled_in(one, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple | set | frozenset):
        for index, one in enumerate(value):
            yield from compiled_in(one, f"{where}[{index}]")
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            yield from compiled_in(getattr(value, one.name), f"{where}.{one.name}")
    elif isinstance(value, type) and value.__module__.startswith("dnsd"):
        for key, one in vars(value).items():
            if isinstance(one, re.Pattern):
                yield f"{where}.{key}", one


@cache
def nodes() -> list[tuple[str, list[ast.AST]]]:
    """All nodes of each module's source."""
    return [(module, [*ast.walk(tree)]) for module, tree in sources()]


@cache
def compiled() -> dict[str, re.Pattern[Any]]:
    """Each compiled pattern by the name of its constant."""
    found: dict[str, re.Pattern[Any]] = {}
    for info in pkgutil.walk_packages(dnsd.__path__, "dnsd."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            for where, pattern in compiled_in(value, f"{info.name}.{name}"):
                if pattern not in found.values():
                    found[where] = pattern
    return found


@cache
def written() -> list[Written]:
    """Each call of `re`, and each `pattern=` of a field, in the sources."""
    found = []
    for module, all_of_it in nodes():
        for node in all_of_it:
            if isinstance(node, ast.Call):
                found += _calls(module, node)
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "pattern" and _text(value) is not None:
                        found.append(Written(f"{module}:{value.lineno}", _text(value), "search", False))
    return found


def _calls(module: str, node: ast.Call) -> Iterator[Written]:
    where = f"{module}:{node.lineno}"
    function = node.func
    is_of_re = isinstance(function, ast.Attribute) and ast.unparse(function.value) == "re"
    if is_of_re and isinstance(function, ast.Attribute) and function.attr in METHODS | {"compile"}:
        yield Written(where, _text(node.args[0]), function.attr, function.attr == "compile")
    for keyword in node.keywords:
        if keyword.arg in ("pattern", "regex"):
            yield Written(where, _text(keyword.value), "search", False)


def _text(node: ast.expr) -> str | bytes | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) else None


@cache
def imported() -> dict[str, dict[str, str]]:
    """By module: the names that it imports from the package, and the module of each."""
    return {
        module: {
            alias.asname or alias.name: node.module
            for node in all_of_it
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        for module, all_of_it in nodes()
    }


def home(module: str, name: str) -> str:
    """The module that defines a name; two modules may define the same name."""
    while source := imported().get(module, {}).get(name):
        module = source
    return module


@cache
def uses() -> dict[tuple[str, str], set[str]]:
    """By module and name of a constant, the methods called on it; attributes have no module."""
    found: dict[tuple[str, str], set[str]] = {}
    for module, all_of_it in nodes():
        for node in all_of_it:
            if isinstance(node, ast.Attribute) and node.attr in METHODS:
                owner = node.value
                while isinstance(owner, ast.Subscript):
                    owner = owner.value
                if isinstance(owner, ast.Name):
                    which = home(module, owner.id), owner.id
                else:
                    which = "", getattr(owner, "attr", "")
                found.setdefault(which, set()).add(node.attr)
    return found


def methods_of(where: str) -> frozenset[str]:
    """The methods called on a constant; all methods if no call is found."""
    path = re.split(r"[.\[]", where)
    place = next((place for place, part in enumerate(path) if part.isupper()), len(path))
    module = ".".join(path[:place])
    known = [uses().get((home(module, part), part), set()) | uses().get(("", part), set()) for part in path[place:]]
    return frozenset(set().union(*known) or METHODS)


@cache
def patterns() -> list[Found]:
    found = [Found(where, pattern, methods_of(where)) for where, pattern in compiled().items()]
    for one in written():
        if not one.is_compiled and one.text is not None:
            found.append(Found(one.where, re.compile(one.text), frozenset({one.method})))
    return found


def test_each_pattern_is_covered() -> None:
    """No pattern is built in a call, and the test finds every compiled pattern."""
    texts = {found.pattern.pattern for found in patterns()}
    assert [one.where for one in written() if one.text is None and not one.is_compiled] == []
    assert [one.where for one in written() if one.text is not None and one.text not in texts] == []
    assert list(hidden()) == []
    assert len(patterns()) > 40


def hidden() -> Iterator[str]:
    """The places that compile a pattern without assigning it to a constant of the module."""
    for module, tree in sources():
        constants = {one for statement in tree.body if _is_constant(statement) for one in ast.walk(statement)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile" and node not in constants:
                yield f"{module}:{node.lineno}"


def _is_constant(statement: ast.stmt) -> bool:
    """Whether the statement is `NAME = …`: a pattern, or a collection that `compiled_in` searches."""
    return isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(
        statement.value, ast.Call | ast.Dict | ast.Tuple | ast.List
    )


# Inputs


def letters(node: Any) -> Iterator[str]:
    """Some characters of each class, and each literal, of a parsed pattern."""
    for op, value in node:
        if op in (codes.LITERAL, codes.NOT_LITERAL):
            yield chr(value) if op is codes.LITERAL else "~"
        elif op is codes.ANY:
            yield "x"
        elif op is codes.IN:
            yield from members(value)[:PER_REPEAT]
        else:
            for part in parts(op, value):
                yield from letters(part)


def parts(op: Any, value: Any) -> Iterable[Any]:
    """The patterns inside an operation."""
    if op in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [value[2]]
    if op is codes.SUBPATTERN:
        return [value[3]]
    if op is codes.BRANCH:
        return [*value[1]]
    if op in (codes.ASSERT, codes.ASSERT_NOT):
        return [value[1]]
    if op is codes.ATOMIC_GROUP:
        return [value]
    return []


def members(value: Any) -> list[str]:
    """Characters of a class: the first of each range, each literal, and one of each category."""
    shown = {codes.CATEGORY_DIGIT: "0", codes.CATEGORY_SPACE: " ", codes.CATEGORY_WORD: "a"}
    negated = value[0][0] is codes.NEGATE
    found = []
    for op, what in value:
        if op is codes.LITERAL:
            found.append(chr(what))
        elif op is codes.RANGE:
            found.append(chr(what[0]))
        elif op is codes.CATEGORY:
            found.append(shown.get(what, "~"))
    return [next(one for one in "x0 ~\x7f\t" if one not in found)] if negated else found


def example(node: Any, *, repeats: int) -> str:
    """A text that matches, or nearly; repeatable parts are repeated so many times."""
    text = ""
    for op, value in node:
        if op in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            low, high, inner = value
            text += example(inner, repeats=1) * max(low, min(repeats, int(high)))
        elif op is codes.BRANCH:
            text += example(value[1][0], repeats=repeats)
        elif op is codes.ASSERT and value[0] == 1:
            text += example(value[1], repeats=repeats)
        elif op is codes.SUBPATTERN or op is codes.ATOMIC_GROUP:
            text += "".join(example(part, repeats=repeats) for part in parts(op, value))
        else:
            text += next(letters([(op, value)]), "")
    return text


def inputs(pattern: re.Pattern[Any]) -> dict[str, Callable[[int], str]]:
    """Makers of texts by size: runs of letters and of near matches, alone and with characters that never match."""
    text = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    tree = parser.parse(text, pattern.flags & ~re.UNICODE)
    alone = list(dict.fromkeys([" ", "\t", "\n", *letters(tree)]))
    once, twice = example(tree, repeats=1), example(tree, repeats=2)
    almost = [whole[:end] for whole in (once, twice) for end in range(2, min(len(whole), 12) + 1)]
    pairs = [first + second for first, second in zip(alone, alone[1:] + alone[:1], strict=True)]
    units = list(dict.fromkeys([*alone, once, twice, *almost, *pairs]))
    units = [unit for unit in units if unit][:MAX_INPUTS]
    texts = {f"{unit!r} over and over": repeated("", unit, "\x00") for unit in units}
    texts |= {f"{once!r}, then {unit!r}": repeated(once, unit, "\x00") for unit in alone}
    return texts | {f"{once[:-1]!r}, then {unit!r}": repeated(once[:-1], unit, "") for unit in alone}


def repeated(before: str, unit: str, after: str) -> Callable[[int], str]:
    """A maker of texts by size: one unit repeated, between a prefix and a suffix."""
    return lambda size: before + unit * (size // len(unit) + 1) + after


def run(found: Found, text: str) -> float:
    """CPU seconds of this thread for a text, through all methods used with the pattern."""
    subject: Any = text.encode("latin-1", "replace") if isinstance(found.pattern.pattern, bytes) else text
    start = time.thread_time()
    for method in found.methods - SCANS:
        getattr(found.pattern, method)(subject)
    if found.methods & (SCANS - {"finditer"}):
        deque(found.pattern.finditer(subject), maxlen=0)
    elif "finditer" in found.methods:  # callers stop at the first gap
        deque(takewhile(lambda match: match[0], found.pattern.finditer(subject)), maxlen=0)
    return time.thread_time() - start


def size_to_compare(found: Found, text_of: Callable[[int], str]) -> int | None:
    """The size of text that takes LEAST_S; None if the largest takes less."""
    size = 16
    while (spent := run(found, text_of(size))) < LEAST_S:
        if size >= LARGEST:
            return None
        # Small steps reveal exponential backtracking early.
        likely = int(size * LEAST_S / max(spent, LEAST_S / MOST_STEP)) if size > SMALL else 0
        size = min(max(size + size // 8, likely), LARGEST)
    return size


def growth(found: Found, text_of: Callable[[int], str]) -> float:
    """The time's factor for SCREEN times the size that takes LEAST_S; 0 if no size takes that long."""
    size = size_to_compare(found, text_of)
    if size is None:
        return 0
    few = max(run(found, text_of(size)), LEAST_S)
    for share in takewhile(lambda share: share < 2, STEPS):
        if run(found, text_of(int(share * size))) > MOST * few:  # exponential backtracking
            return MOST
    return run(found, text_of(SCREEN * size)) / few


def is_linear(found: Found, text_of: Callable[[int], str]) -> bool:
    size = size_to_compare(found, text_of)
    if size is None:
        return True
    few = text_of(size)
    for share in STEPS:  # in steps, as exponential backtracking would never return
        many = text_of(int(share * size))
        # In pairs, as the machine's speed drifts.
        if all(run(found, many) > MOST * max(run(found, few), LEAST_S) for _ in range(TRIALS)):
            return False
    return True


def not_linear(found: Found) -> Iterator[str]:
    """The inputs for which a pattern is not linear.

    An input that grows no faster than t + 0.06 t² passes a cheaper look at SCREEN times the size. All others are
    tried with TIMES the size, and so are the worst of each pattern in any case.
    """
    texts = inputs(found.pattern)
    grown = []
    for name, text_of in texts.items():
        times = growth(found, text_of)
        if times <= MOST_OF_SCREEN:
            grown.append((times, name))
        elif not is_linear(found, text_of):
            yield name
    yield from (name for _, name in nlargest(WORST, grown) if not is_linear(found, texts[name]))


@pytest.mark.parametrize("part", range(PARTS))
def test_ten_times_the_input_costs_at_most_fifteen_times_as_much(part: int) -> None:
    found = {one.where: [*not_linear(one)] for one in patterns()[part::PARTS]}
    assert {where: texts for where, texts in found.items() if texts} == {}


def test_methods_are_found_in_all_modules_that_import_a_pattern() -> None:
    for module in ("zone_edit", "zone_entries"):
        assert methods_of(f"dnsd.formats.{module}.BLANK") == {"match", "fullmatch"}


@pytest.mark.parametrize("text", [r"\s*\bcf_tags=(\S+)", r"(?:a+)+b", r"a*a*b", r"(?:x|x)*y", r"[ \t]*#"])
def test_nonlinear_pattern_is_detected(text: str) -> None:
    found = Found("here", re.compile(text), frozenset({"search"}))
    assert next(not_linear(found), None)
