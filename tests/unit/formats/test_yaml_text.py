"""YAML text to plain data: accepted and refused texts, places of problems, and no harm from hostile text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.formats import yaml_text
from dnsd.formats.yaml_problems import MAX_DEPTH, YamlError
from dnsd.formats.yaml_text import MAX_PROBLEMS, Data, Mark, parse_yaml
from tests.limits import HANG_S

ROOT = Path(__file__).parents[3]
LOADERS = [yaml.CSafeLoader, yaml.SafeLoader]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "LOADER", request.param)


READ: list[tuple[str, str, Data]] = [
    ("no is text", "ipv6: no", {"ipv6": "no"}),
    ("a base-60 number is text", "a: 22:22", {"a": "22:22"}),
    ("an octal number is text", "a: 0123", {"a": "0123"}),
    ("a float is text", "a: 12e4", {"a": "12e4"}),
    ("a date is text", "a: 2026-01-01", {"a": "2026-01-01"}),
    ("an IPv6 address is text", "ips: [2001:db8::1, 203.0.113.1]", {"ips": ["2001:db8::1", "203.0.113.1"]}),
    ("an IPv6 address in a block list", "- ::1\n- fe80::1", ["::1", "fe80::1"]),
    ("a key may look like a number", "1: a\n0x10: b", {"1": "a", "0x10": "b"}),
    ("plain nulls", "[~, null, Null, NULL, '', \"null\"]", [None, None, None, None, "", "null"]),
    ("a missing value is null", "a:\nb: {c: , d}", {"a": None, "b": {"c": None, "d": None}}),
    ("!!str makes text of null", "a: !!str null\nb: !!str", {"a": "null", "b": ""}),
    ("nULL is text", "nULL", "nULL"),
    ("a document may be null", "null", None),
    ("a document may be a scalar", "just text", "just text"),
    ("one explicit document", "%YAML 1.1\n--- # c\na: 1\n...\n# end\n", {"a": "1"}),
    ("quotes and escapes", r'''a: "x\ty\"\u00e9"''' + "\nb: 'it''s'", {"a": 'x\ty"é', "b": "it's"}),
    ("block scalars", "a: |\n  x\n  y\nb: >-\n  p\n  q\n", {"a": "x\ny\n", "b": "p q"}),
    ("a byte order mark", "\ufeffa: 1", {"a": "1"}),
    ("Windows line ends", "a: 1\r\nb:\r\n- 2\r\n", {"a": "1", "b": ["2"]}),
    ("characters beyond the BMP", "a: 😀", {"a": "😀"}),
    ("a single pair in a list", "[a: 1]", [{"a": "1"}]),
    ("an alias", "a: &x [1, {b: 2}]\nc: *x", {"a": ["1", {"b": "2"}], "c": ["1", {"b": "2"}]}),
    ("an alias of null and of text", "a: &x\nb: &y z\nc: [*x, *y]", {"a": None, "b": "z", "c": [None, "z"]}),
    ("an alias as a key", "a: &x k\n*x : 1", {"a": "k", "k": "1"}),
    ("an anchor may be set again", "a: &x 1\nb: *x\nc: &x 2\nd: *x", {"a": "1", "b": "1", "c": "2", "d": "2"}),
    ("a merge: own keys win", "[&x {p: 1, q: 2}, {q: 3, <<: *x}]", [{"p": "1", "q": "2"}, {"p": "1", "q": "3"}]),
    ("merges: the first wins", "[&x {p: 1}, &y {p: 2, q: 2}, {<<: [*x, *y]}]",
        [{"p": "1"}, {"p": "2", "q": "2"}, {"p": "1", "q": "2"}]),
    ("a merge of a merge", "[&x {p: 1}, &y {<<: *x, q: 2}, {<<: *y}]",
        [{"p": "1"}, {"p": "1", "q": "2"}, {"p": "1", "q": "2"}]),
    ("a merge of a mapping in place", "<<: {p: 1}\nq: 2", {"p": "1", "q": "2"}),
    ("a quoted << is a key", "'<<': 1", {"<<": "1"}),
    ("nesting", "[" * 5 + "]" * 5, [[[[[]]]]]),
]  # fmt: skip


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_text_is_read_as_written(text: str, expected: Data) -> None:
    assert parse_yaml(text) == expected


@pytest.mark.usefixtures("loader")
def test_nesting_up_to_the_limit_is_read() -> None:
    value = parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    for _ in range(MAX_DEPTH - 1):
        assert isinstance(value, list)
        value = value[0]
    assert value == []


REFUSED: list[tuple[str, str, list[tuple[int, int, str]]]] = [
    # Syntax. Column 0: not compared, as the two loaders point at different characters.
    ("a tab as indentation", "a:\n\t- b", [(2, 1, "a tab is not allowed here: indent with spaces")]),
    ("an unquoted @", "- {name: @, type: A}", [(1, 10, "a value that begins with @ needs quotes")]),
    ("an unquoted wildcard", "name: *.shop", [(1, 7, "a value that begins with * needs quotes")]),
    ("an unquoted *", "- {name: *}", [(1, 10, "a value that begins with * needs quotes")]),
    ("an unquoted &", "name: & b", [(1, 7, "a value that begins with & needs quotes")]),
    ("an unquoted %", "a: %x", [(1, 4, "a value that begins with % needs quotes")]),
    ("an unquoted ::1 in brackets", "a: [::1]", [(1, 5, "a value that begins with : needs quotes")]),
    ("a colon and a space in a value", "a: b: c", [(1, 5, "a value that contains a colon and a space needs quotes")]),
    ("a mapping's key too far right", "a: 1\n  b: 2", [(2, 4, "all keys of a mapping begin in the same column")]),
    ("a mapping's key too far left", "  a: 1\n b: 2", [(2, 2, "check the indentation")]),
    ("a list on the key's line", "a: - b", [(1, 4, "a list cannot begin here")]),
    ("an open bracket", "a: [1, 2\nb: 3", [(2, 2, "while parsing a flow sequence that begins in line 1")]),
    ("an open brace", "a: {b: 2\n", [(2, 1, "while parsing a flow mapping that begins in line 1")]),
    ("an open quote", "a: 1\nb: 'x\n\n", [(2, 4, "this quote is never closed")]),
    ("an unknown escape", r'a: "\q"', [(1, 0, "unknown escape")]),
    ("an escaped surrogate", r'a: "\ud800"', [(1, 0, "escape")]),
    ("an escape beyond Unicode", r'a: "\UFFFFFFFF"', [(1, 0, "")]),
    # Characters
    ("NUL", "a: b\n c\0d", [(2, 3, "the character U+0000 is not allowed")]),
    ("a control character", "a: \x1b[31m", [(1, 4, "the character U+001B is not allowed")]),
    ("a lone surrogate", "a:\r\n b: \udc80", [(2, 5, "the character U+DC80 is not allowed")]),
    ("a byte order mark inside", "a: 1\r\ufeffb: 2", [(2, 1, "the character U+FEFF is not allowed")]),
    # Documents
    ("no text", "", [(1, 1, "the file is empty")]),
    ("comments only", "# a: 1\n\n", [(1, 1, "the file is empty")]),
    ("a document without content", "---\n...\n", [(1, 1, "the file is empty")]),
    ("two documents", "a: 1\n---\nb: 2\n", [(2, 1, "a second document begins here")]),
    ("two documents, the first empty", "---\n---\nb: 2\n", [(2, 1, "a second document begins here")]),
    # Keys
    ("a duplicate key", "a: 1\nb: 2\na: 3", [(3, 1, "duplicate key 'a': first in line 1")]),
    ("keys with the same text", "1: a\n'1': b", [(2, 1, "duplicate key '1': first in line 1")]),
    ("every duplicate key", "a: {b: 1, b: 2}\na: 3\na: 4", [(1, 11, "'b'"), (2, 1, "'a'"), (3, 1, "line 1")]),
    ("a second merge key", "[&x {a: 1}, {<<: *x, <<: *x}]", [(1, 22, "duplicate key '<<'")]),
    ("a null key", "null: 1", [(1, 1, "the key before \":\" is missing")]),
    ("no key", "?\n: 1\n", [(1, 0, "the key before \":\" is missing")]),
    ("a list as a key, and more", "? [a, a]\n: x\nb: 1\nb: 2", [(1, 3, "a key must be text"), (4, 1, "duplicate")]),
    ("a template's placeholder", "a: {{ ip }}", [(1, 5, "a key must be text")]),
    ("a mapping's alias as a key", "a: &x {}\n*x : 1", [(2, 1, "a key must be text")]),
    # Tags
    ("a tag", "a: !!int 3", [(1, 4, "the tag 'tag:yaml.org,2002:int' is not supported; use !!str")]),
    ("a tag of Python", "!!python/object:os.system {}", [(1, 1, "python/object:os.system' is not supported")]),
    ("tags on keys, lists and text", "!a k: !b [!c x]", [(1, 1, "'!a'"), (1, 7, "'!b'"), (1, 11, "'!c'")]),
    ("a tag directive", "# c\n%TAG ! x\n--- a", [(2, 1, "%TAG is not supported")]),
    # Aliases
    ("an undefined alias", "a: *b\nc: *d", [(1, 4, "*b has no &b before it"), (2, 4, 'needs quotes: "*d"')]),
    ("an undefined alias as a key", "*b : 1\na: 2\na: 3", [(1, 1, "*b has no &b"), (3, 1, "duplicate")]),
    ("an undefined alias merged", "<<: *b\na: 2", [(1, 5, "*b has no &b")]),
    ("a list in itself", "a: &x [*x]", [(1, 8, "it would contain itself")]),
    ("a mapping in itself", "&x {a: {<<: *x}}", [(1, 13, "it would contain itself")]),
    ("a merge of text", "<<: b\na: 1", [(1, 5, "<< needs an alias of a mapping")]),
    ("a merge of a list of text", "<<: [{a: 1}, b]", [(1, 5, "<< needs an alias of a mapping")]),
    # Limits
    ("33 levels", "[" * 33 + "]" * 33, [(1, 33, "nested too deeply: the limit is 32 levels")]),
    ("33 levels of keys", "\n".join(" " * i + "a:" for i in range(34)), [(33, 33, "nested too deeply")]),
    ("an alias bomb", "- &a [" + "x," * 1000 + "]\n- [" + "*a, " * 100 + "]", [(2, 0, "aliases repeat too much")]),
    ("an alias bomb of text", "- &a " + "x" * 10_000_000 + "\n- [*a, *a]", [(2, 0, "aliases repeat too much")]),
    # Problems before a syntax error are reported too.
    ("all problems at once", "a: 1\na: 2\n b: 3\n", [(2, 1, "duplicate"), (3, 3, "unexpected colon")]),
]  # fmt: skip


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_wrong_text_is_refused_with_its_place(text: str, expected: list[tuple[int, int, str]]) -> None:
    with pytest.raises(YamlError) as caught:
        parse_yaml(text)
    problems = caught.value.problems
    assert len(problems) == len(expected)
    for found, (line, column, fragment) in zip(problems, expected, strict=True):
        assert (found.line, column and found.column) == (line, column)
        assert fragment in found.message
        assert "\n" not in found.message


def test_error_text_has_a_line_for_each_problem() -> None:
    with pytest.raises(YamlError) as caught:
        parse_yaml("a: 1\na: 2\na: 3")
    assert str(caught.value).splitlines() == [
        "2:1: duplicate key 'a': first in line 1",
        "3:1: duplicate key 'a': first in line 1",
    ]


def test_reading_stops_after_many_problems() -> None:
    with pytest.raises(YamlError) as caught:
        parse_yaml("a: 1\n" * 10_000)
    assert len(caught.value.problems) == MAX_PROBLEMS + 1
    assert caught.value.problems[-1].message == "too many problems (100): the rest of the file was not checked"


PLACES: list[tuple[str, str, dict[tuple[str | int, ...], Mark]]] = [
    ("an entry is at its key", "a: 1\nbc:   2", {(): (1, 1), ("a",): (1, 1), ("bc",): (2, 1)}),
    ("an item is at its beginning", "# c\n- x\n-   y", {(): (2, 1), (0,): (2, 3), (1,): (3, 5)}),
    ("deep paths", "r:\n  - {n: w, t: A}\n", {
        (): (1, 1), ("r",): (1, 1), ("r", 0): (2, 5), ("r", 0, "n"): (2, 6), ("r", 0, "t"): (2, 12)}),
    ("characters count, not bytes", "é: 1\n😀😀: [a, b]", {
        (): (1, 1), ("é",): (1, 1), ("😀😀",): (2, 1), ("😀😀", 0): (2, 6), ("😀😀", 1): (2, 9)}),
    ("an alias has the place of its use, its content that of its text", "a: &x [y]\nb: *x", {
        (): (1, 1), ("a",): (1, 1), ("a", 0): (1, 8), ("b",): (2, 1), ("b", 0): (1, 8)}),
    ("merged entries have the places of their text", "a: &x {y: [1], z: 0}\nb:\n  <<: *x\n  z: 2", {
        (): (1, 1), ("a",): (1, 1), ("a", "y"): (1, 8), ("a", "y", 0): (1, 12), ("a", "z"): (1, 16),
        ("b",): (2, 1), ("b", "y"): (1, 8), ("b", "y", 0): (1, 12), ("b", "z"): (4, 3)}),
    ("a scalar document", "\n\n  x", {(): (3, 3)}),
    ("after a byte order mark", "\ufeffa: 1", {(): (1, 1), ("a",): (1, 1)}),
]  # fmt: skip


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES])
def test_places(text: str, expected: dict[tuple[str | int, ...], Mark]) -> None:
    places: dict[tuple[str | int, ...], Mark] = {}
    assert parse_yaml(text, places=places) == parse_yaml(text)
    assert places == expected


def lines() -> Iterator[str]:
    yield from (
        "a: 1",
        "a: 2",
        "b: {c: d}",
        "- x",
        "- y: z",
        "  p: q",
        "  - r",
        "[1, 2]",
        "k: [x, ~]",
        "# c",
        "",
        "'q'",
        '"e"',
    )
    yield from (
        "&x a",
        "*x",
        "b: *x",
        "s: &x {m: n}",
        "t: {<<: *x}",
        "---",
        "...",
        "!!str null",
        "? a",
        ": b",
        "{",
        "}",
        "k: |",
        "@",
    )


@settings(max_examples=300)
@given(st.lists(st.sampled_from(list(lines())), max_size=8).map("\n".join))
def test_both_loaders_agree(text: str) -> None:
    results: list[Data | str] = []
    for one in LOADERS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(yaml_text, "LOADER", one)
            try:
                results.append(parse_yaml(text))
            except YamlError as error:
                results.append(f"{len(error.problems)} problems")
    assert results[0] == results[1]


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab:- \n\t[]{},&*!|>'\"#%@?~\\\0\ufeff\x85é😀"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    places: dict[tuple[str | int, ...], Mark] = {}
    try:
        parse_yaml(text, places=places)
    except YamlError as error:
        refused = error.problems
    else:
        refused = []
    assert bool(refused) != (() in places)
    assert all(problem.line >= 1 and problem.column >= 1 and problem.message for problem in refused)


# Expressions, as the texts are too large for a command line.
HOSTILE = [  # an expression for a text of a size, the size, and the message
    ("brackets", "'[' * size", 200_000, "nested too deeply"),
    ("braces", "'{' * size", 200_000, "a key must be text"),
    ("flow mappings", "'{a: ' * size", 100_000, "nested too deeply"),
    ("block mappings", "'\\n'.join(' ' * i + 'a:' for i in range(int(size ** 0.5)))", 25_000_000, "nested too deeply"),
    ("block lists in a line", "'- ' * size", 100_000, "nested too deeply"),
    ("complex keys in a line", "'? ' * size", 100_000, "a key must be text"),
    ("a billion laughs",
        "'- &a0 x\\n' + ''.join(f'- &a{i} [' + f'*a{i-1}, ' * 9 + ']\\n' for i in range(1, size))", 60, "alias"),
    ("quadratic aliases", "'a: &a [' + 'x, ' * size + ']\\nb: [' + '*a, ' * size + ']'", 10_000, "aliases repeat"),
    ("a long plain scalar", "'a: ' + 'x' * size", 10_000_000, "read"),
    ("a long quoted scalar", "'a: \"' + 'x' * size + '\"'", 10_000_000, "read"),
    ("a million duplicate keys", "'a: 1\\n' * size", 1_000_000, "duplicate key"),
    ("tag directives", "''.join(f'%TAG !a{i}! x\\n' for i in range(size)) + '--- a'", 100_000, "%TAG is not supported"),
    ("many anchors", "'[' + ''.join(f'&a{i} x, ' for i in range(size)) + ']'", 100_000, "read"),
    ("a long anchor", "'- &' + 'a' * size + ' x'", 1_000_000, "read"),
    ("blank lines", "'\\n' * size", 10_000_000, "the file is empty"),
    ("NUL at the end", "'#' * size + '\\0'", 10_000_000, "U+0000"),
]  # fmt: skip
PROBE = """
from dnsd.formats.yaml_text import parse_yaml
from dnsd.formats.yaml_problems import YamlError
from tests.limits import growth
said = ""
def work_of(size):
    text = {text}
    def read():
        global said
        try:
            parse_yaml(text)
            said = "read"
        except YamlError as error:
            said = error.problems[0].message
    return read
print(growth(work_of, {size} // 4, {size}, enough=8))
print(said)
"""


@pytest.mark.parametrize(("text", "size", "outcome"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_hostile_text_costs_in_proportion_and_ends_nothing(text: str, size: int, outcome: str) -> None:
    """In a separate process, as a crash would end it."""
    probe = subprocess.run(
        [sys.executable, "-c", PROBE.replace("{text}", text).replace("{size}", str(size))],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=2 * HANG_S,
        check=False,
    )
    assert probe.returncode == 0, probe.stderr[-500:]
    times, said = probe.stdout.splitlines()
    assert outcome in said
    assert float(times) <= 8  # 16, if it grew with the square
