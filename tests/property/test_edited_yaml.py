"""Written and edited YAML has the given data when read back; comments stay.

Documents have the form of our files, and edits keep a part of them.
"""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsd.formats.yaml_edit import edited_yaml, written_yaml
from dnsd.formats.yaml_problems import YamlError
from dnsd.formats.yaml_style import PlainData, as_read, emitted_texts, flow_texts
from dnsd.formats.yaml_text import parse_yaml
from tests.limits import examples
from tests.unit.formats.test_yaml_edit import library

__all__ = ["library"]  # a fixture for every test

TEXTS = st.sampled_from(
    ["a", "www", "no", "~", "2001:db8::1", "192.0.2.1", "*", "a: b", "a #b", "", " ", '"', "ü", "\n"]
)
SCALAR = st.one_of(TEXTS, st.integers(-1, 9), st.booleans(), st.text(max_size=5))
WORDS = st.text("ab1YyNnOo.eE+-:/ _@%#\"'\\,*!&=~<>?|", max_size=6)
KEYS = st.one_of(st.sampled_from(["name", "type", "a", "b", "no", "*"]), st.text(min_size=1, max_size=3))
FLAT = st.dictionaries(KEYS, SCALAR, max_size=4)
NESTED = st.dictionaries(KEYS, st.one_of(SCALAR, st.lists(SCALAR, max_size=3), FLAT), max_size=4)
VALUES = st.one_of(SCALAR, st.lists(SCALAR, max_size=5), st.lists(NESTED, max_size=5), NESTED)
DOCUMENTS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=5)


@st.composite
def edits(draw: st.DrawFn, data: PlainData) -> PlainData:
    """The data with a few changes."""
    match draw(st.integers(0, 4)), data:
        case 0, _:
            return draw(VALUES)
        case _, dict():
            kept = {key: draw(edits(value)) for key, value in data.items() if draw(st.integers(0, 4))}
            return kept | (draw(NESTED) if draw(st.booleans()) else {})
        case _, list():
            kept = [draw(edits(item)) if draw(st.booleans()) else item for item in data if draw(st.integers(0, 3))]
            at = draw(st.integers(0, len(kept)))
            added = draw(st.lists(NESTED if any(isinstance(item, dict) for item in data) else SCALAR, max_size=2))
            return draw(st.permutations(kept)) if not draw(st.integers(0, 5)) else kept[:at] + added + kept[at:]
    return data


@st.composite
def texts(draw: st.DrawFn, data: PlainData) -> str:
    """The data, in blocks or in brackets, with comments on and between the lines."""
    lines = ["# head"]

    def comment(indent: str) -> None:
        lines.extend(f"{indent}# {len(lines)} - a: 'b" for _ in range(draw(st.sampled_from([0, 0, 1, 2]))))
        lines.extend("" for _ in range(draw(st.sampled_from([0, 0, 0, 1]))))

    def flow(value: PlainData) -> str:
        return written_yaml([value])[2:-1]

    def put(head: str, value: PlainData, indent: str) -> None:
        end = draw(st.sampled_from(["", "", "  # end: x"]))
        is_block = isinstance(value, dict | list) and value and draw(st.integers(0, 3))
        if not is_block:
            lines.append(f"{head} {flow(value)}{end}")
            return
        lines.append(head + end)
        below = indent + draw(st.sampled_from(["  ", " "]))
        block(value, indent if isinstance(value, list) and head.endswith(":") and draw(st.booleans()) else below)

    def block(value: PlainData, indent: str) -> None:
        entries = [(flow(key) + ":", item) for key, item in value.items()] if isinstance(value, dict) else None
        for head, item in entries if entries is not None else [("-", item) for item in value]:
            comment(indent)
            if head == "-" and isinstance(item, dict) and item and draw(st.booleans()):
                compact(item, indent)
            else:
                put(indent + head, item, indent)

    def compact(item: dict[str, PlainData], indent: str) -> None:
        first, *others = item.items()
        lines.append(f"{indent}- {flow(first[0])}: {flow(first[1])}")
        block(dict(others), indent + "  ")

    block(data, "")
    comment("")
    ends = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    return ends.join(lines) + draw(st.sampled_from([ends, ends, ""]))


@st.composite
def cases(draw: st.DrawFn) -> tuple[PlainData, str, PlainData]:
    data = draw(DOCUMENTS)
    wanted = draw(edits(data))
    return data, draw(texts(data)), wanted if isinstance(wanted, dict) else {"a": wanted}


def comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("#")]


@settings(max_examples=examples(150, 500))
@given(cases())
def test_edited_text_has_the_data_and_keeps_all_comments(case: tuple[PlainData, str, PlainData]) -> None:
    data, text, wanted = case
    assert as_read(parse_yaml(text)) == as_read(data)
    edited = edited_yaml(text, wanted)
    assert as_read(parse_yaml(edited)) == as_read(wanted)
    assert comments(edited) == comments(text)  # at least one, so the text was not written anew
    assert ("\r\n" in edited) >= ("\r\n" in text and "\n" in edited)
    assert edited_yaml(edited, wanted) == edited


@settings(max_examples=examples(150, 500))
@given(VALUES)
def test_written_text_has_the_data(data: PlainData) -> None:
    assert parse_yaml(written_yaml({"a": data})) == as_read({"a": data})
    assert parse_yaml(written_yaml(data)) == as_read(data)


@settings(max_examples=examples(300, 10_000))
@given(st.dictionaries(KEYS, st.one_of(SCALAR, WORDS, FLAT), max_size=4))
@example(
    {"a": "...", "b": "---", "c": "1e5", "d": '"a\\\\b"', "e": '"it\'s" "x"', "f": "x" * 300 + " y", "k" * 101: "x"}
)
def test_usual_mappings_are_written_as_the_emitter_does(data: dict[str, PlainData]) -> None:
    values = [as_read(data), as_read([data])]
    assert flow_texts(values) == emitted_texts(values)


LINES = [
    *("a: 1", "b: {c: d}", "- x", "- y: z", "  p: q", "  - r", "[1, 2]", "k: [x, ~]", "# c", "", "'q'", "&x a", "*x"),
    *("b: *x", "s: &x {m: n}", "t: {<<: *x}", "---", "...", "!!str null", "? a", ": b", "{", "}", "k: |", "-", "k: &x"),
    *("[", "]", "a, # c", "b,", "a: [b,", "  c: 'x", "  # y'", "a: >+", "- - a", "-   b: 1", "? - a", "<<: {p: q}"),
]


@settings(max_examples=examples(300, 1000))
@given(st.lists(st.sampled_from(LINES), max_size=8).map("\n".join), VALUES)
def test_any_text_can_be_edited(text: str, data: PlainData) -> None:
    try:
        parse_yaml(text)
    except YamlError as error:
        if "empty" not in str(error):
            return
    for wanted in (data, {"a": data}):
        assert as_read(parse_yaml(edited_yaml(text, wanted))) == as_read(wanted)
