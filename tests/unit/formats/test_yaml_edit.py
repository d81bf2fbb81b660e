"""Written YAML and edited texts: the result, the kept parts, and the same data when read back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import yaml

from dnsd.formats import yaml_nodes, yaml_style, yaml_text
from dnsd.formats.yaml_edit import edited_yaml, written_yaml
from dnsd.formats.yaml_problems import MAX_DEPTH, YamlError
from dnsd.formats.yaml_style import PlainData, as_read
from dnsd.formats.yaml_text import parse_yaml
from tests.limits import growth

A = {"name": "a", "type": "A", "content": "192.0.2.1"}
B = {"name": "b", "type": "A", "content": "192.0.2.2", "ttl": 60}
C = {"name": "c", "type": "TXT", "content": "x"}


@pytest.fixture(params=["libyaml", "python"], autouse=True, scope="module")
def library(request: pytest.FixtureRequest) -> object:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "python":
            for module in (yaml_text, yaml_nodes):
                patch.setattr(module, "LOADER", yaml.SafeLoader)
            patch.setattr(yaml_style, "DUMPER", yaml.SafeDumper)
        yield request.param


WRITTEN: list[tuple[str, PlainData, str]] = [
    ("a zone", {"name": "example.com", "paused": False, "settings": {"ipv6": True}, "soa": {}, "records": [
        {"name": "www", "type": "A", "content": "192.0.2.1", "proxied": True},
        {"name": "@", "type": "MX", "content": "mail.example.com", "priority": 10, "settings": {"x": [1]}}]}, """\
name: example.com
paused: false
settings: {ipv6: true}
soa: {}
records:
  - {name: www, type: A, content: 192.0.2.1, proxied: true}
  - {name: "@", type: MX, content: mail.example.com, priority: 10, settings: {x: [1]}}
"""),
    ("a map", {"ips": ["203.0.113.10", "2001:db8:100::10"], "memberships": [], "default_sni": None}, """\
ips: [203.0.113.10, "2001:db8:100::10"]
memberships: []
"""),
    ("a list of 100 columns", {"ips": ["x" * 28] * 3 + ["x" * 3]},
        f"ips: [{', '.join(['x' * 28] * 3)}, xxx]\n"),
    ("a list of 101 columns", {"ips": ["x" * 28] * 3 + ["x" * 4]},
        "ips:\n" + f"  - {'x' * 28}\n" * 3 + "  - xxxx\n"),
    ("a long mapping stays on its line", {"s": {"a": "x" * 200}}, f"s: {{a: {'x' * 200}}}\n"),
    ("nulls", {"a": None, "b": {"c": None, "d": 1}, "e": [None]}, "b: {d: 1}\ne: [null]\n"),
    ("nothing", {}, "{}\n"),
    ("only null keys", {"a": None}, "{}\n"),
    ("a list", [A, "x", ["z"]], "- {name: a, type: A, content: 192.0.2.1}\n- x\n- [z]\n"),
    ("an empty list", [], "[]\n"),
    ("text", "x", "x\n"),
    ("a number", 1, "1\n"),
    ("null", None, "null\n"),
    ("a key that needs quotes", {"no": 1, "a: b": {"*": 2}, "<<": 3}, '"no": 1\n"a: b": {"*": 2}\n"<<": 3\n'),
    ("a long key", {"k" * 2000: [1]}, "{? " + "k" * 2000 + " : [1]}\n"),
    ("the same object twice", {"a": A, "b": A},
        "a: {name: a, type: A, content: 192.0.2.1}\nb: {name: a, type: A, content: 192.0.2.1}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in WRITTEN], ids=[case[0] for case in WRITTEN])
def test_data_is_written_in_the_style_of_files(data: PlainData, expected: str) -> None:
    assert written_yaml(data) == expected
    assert parse_yaml(expected) == as_read(data)


SCALARS: list[tuple[PlainData, str]] = [
    *((text, text) for text in ["example.com", "192.0.2.1", "_dmarc", ".", "x-1", "mx -all", "5 587 mail.example.com"]),
    *((text, text) for text in ['0 issue "ca.example.net"', "203.0.113.0/24", "dns@example.com", "V", "a~b", "it's"]),
    *((text, f'"{text}"') for text in ["", "no", "Off", "true", "null", "~", "y", "N", "=", "<<", "@", "*", "*.dev"]),
    *((text, f'"{text}"') for text in ["1", "0123", "0o17", "0x1F", "1e3", "12E-4", "1.5", ".5", "1_000", "-1", "+1"]),
    *((text, f'"{text}"') for text in ["22:22", "2026-03-01", "2026-03-01T08:00:00Z", ".inf", "08", "4" * 32, "-"]),
    *((text, f'"{text}"') for text in ["2001:db8::1", "::1", "a: b", "a #b", " a", "a ", "a, b", "[a", "{a", "a]"]),
    *((text, f'"{text}"') for text in ["&a", "!a", "%a", "|", ">", "- a", "? a", "'a", "`a", "münchen", "a:", "--- a"]),
    ('"quoted"', "'\"quoted\"'"),
    ('a: "b"', "'a: \"b\"'"),
    ("a\nb", r'"a\nb"'),
    ('a\n"b', r'"a\n\"b"'),
    ("a\tb", r'"a\tb"'),
    ("a\\b", r'"a\\b"'),
    ("\0\x7f\x85\u2028\ufeff", r'"\0\x7F\N\L\uFEFF"'),
    (True, "true"),
    (300, "300"),
    (-1, "-1"),
    (0.5, "0.5"),
]


@pytest.mark.parametrize(("value", "expected"), SCALARS, ids=lambda value: repr(value)[:20])
def test_ambiguous_scalars_are_quoted(value: PlainData, expected: str) -> None:
    assert written_yaml({"a": value}) == f"a: {expected}\n"
    assert written_yaml({"a": [{"b": value}]}) == f"a:\n  - {{b: {expected}}}\n"
    assert yaml.safe_load(f"a: {expected}") == {"a": value}


@pytest.mark.parametrize("change", [written_yaml, lambda data: edited_yaml("a: 1", data)], ids=["written", "edited"])
def test_unreadable_data_is_refused(change: Callable[[PlainData], str]) -> None:
    data: PlainData = "x"
    for _ in range(MAX_DEPTH):
        data = [data]
    assert parse_yaml(change(data)) == data
    with pytest.raises(ValueError, match="nested too deeply"):
        change([data])


def test_lone_surrogate_is_refused(library: str) -> None:
    if library == "libyaml":
        with pytest.raises(ValueError, match="surrogates"):
            written_yaml({"a": "\ud800"})


HEAD = "# The shop.\n\ndescription: Shop   # as people see it\nenabled:   true\n"
ZONE = """\
# head
records:
  # first
  - {name: a, type: A, content: 192.0.2.1}     # one

  # second
  - {name: b, type: A, content: 192.0.2.2, ttl: 60}   # two
  # third
  - {name: c, type: TXT, content: 'x'}
# tail
"""
BLOCKS = """\
records:
- name: a   # one
  type: A
  content: 192.0.2.1
# between
- name: b
  type: A
  content: 192.0.2.2
  ttl: 60
"""
PARTS = """\
ips: [
  192.0.2.1,  # one
  # own
  192.0.2.2   # two
]
"""

EDITED: list[tuple[str, str, PlainData, str]] = [
    # Nothing to do
    ("a text with the data already", "a:  'true' # c\nb: {c: ~}\nd: 0x1\n", {"a": True, "b": {}, "d": "0x1"},
        "a:  'true' # c\nb: {c: ~}\nd: 0x1\n"),
    ("numbers are their text", "a: 300\nb: [1, 1.5]", {"a": 300, "b": [1, 1.5]}, "a: 300\nb: [1, 1.5]"),
    ("a key of None is left out", "a: ~\nb: 1\n", {"b": 1, "c": None}, "a: ~\nb: 1\n"),
    # Values
    ("a value", HEAD, {"description": "Shop", "enabled": False}, HEAD.replace("true", "false")),
    ("a value that needs quotes", HEAD, {"description": "no", "enabled": True}, HEAD.replace("Shop ", '"no" ')),
    ("quotes removed", "a: 'x'\n", {"a": "z"}, "a: z\n"),
    ("a missing value", "a:\nb:  # c\n", {"a": 1, "b": 2}, "a: 1\nb: 2  # c\n"),
    ("a null", "a: ~  # c\n", {"a": 1}, "a: 1  # c\n"),
    ("a value on the next line", "a:\n  # c\n  x\nb: 1\n", {"a": "z", "b": 1}, "a:\n  # c\n  z\nb: 1\n"),
    ("text of several lines", "a: x\n  y\n\n  z  # c\nb: 1\n", {"a": "z", "b": 1}, "a: z  # c\nb: 1\n"),
    ("quoted text of several lines", "a: 'x\n\n  # y'\nb: 1\n", {"a": "z", "b": 1}, "a: z\nb: 1\n"),
    ("a block scalar", "a: |\n  x\n  # no comment\n\n# c\nb: 1\n", {"a": "z", "b": 1}, "a: z\n\n# c\nb: 1\n"),
    ("next to a block scalar", "a: |\n  # x\nb: 1\n", {"a": "# x\n", "b": 2}, "a: |\n  # x\nb: 2\n"),
    ("a list instead of a mapping", "a:  # c\n  x: 1\n  # own\n  y: 2  # d\nb: 1\n", {"a": [1, 2], "b": 1},
        "a: [1, 2]  # c\n  # own\nb: 1\n"),
    ("items instead of a mapping", "a:  # c\n  x: 1\nb: 1\n", {"a": [A], "b": 1},
        "a:  # c\n  - {name: a, type: A, content: 192.0.2.1}\nb: 1\n"),
    ("a mapping instead of a list", "a:\n- x\n# own\n- y\n", {"a": {"b": 1}}, "a: {b: 1}\n# own\n"),
    ("a mapping instead of text", "a: x  # c\n", {"a": {"b": [1]}}, "a: {b: [1]}  # c\n"),
    ("a list in brackets over lines", "a: [x,\n  # own\n  y]  # c\nb: 1\n", {"a": "z", "b": 1},
        "a: z\n  # own\n      # c\nb: 1\n"),
    # Keys
    ("the first key removed", "# h\na: 1  # x\n# own\nb: 2\n", {"b": 2}, "# h\n# own\nb: 2\n"),
    ("the first key of the first line removed", "a: 1\nb: 2\n", {"b": 2}, "b: 2\n"),
    ("a key in the middle removed", "a: 1\n# own\nb: 2  # x\nc: 3\n", {"a": 1, "c": 3}, "a: 1\n# own\nc: 3\n"),
    ("the last key removed", "a: 1\n\nb: 2\n# tail\n", {"a": 1}, "a: 1\n\n# tail\n"),
    ("the last key of a file without a last break removed", "a: 1\nb: 2", {"a": 1}, "a: 1"),
    ("a key with all below it removed", "a: 1\nb:  # x\n  # own\n  c:\n    - d\n\n    # deep\n    - e\nf: 2\n",
        {"a": 1, "f": 2}, "a: 1\n  # own\n    # deep\nf: 2\n"),
    ("all keys removed", "# h\na: 1  # x\n# own\nb: 2  # y\n# tail\n", {}, "# h\n{}\n# own\n# tail\n"),
    ("all keys change", "# h\na: 1\n# own\nb: 2\n", {"c": 1, "d": 2}, "# h\nc: 1\nd: 2\n# own\n"),
    ("a new key", HEAD + "# tail\n", {"description": "Shop", "enabled": True, "ips": ["::1"], "n": None},
        HEAD + 'ips: ["::1"]\n# tail\n'),
    ("a new key, and the last one removed", "a: 1\n# own\nb: 2  # x\n", {"a": 1, "c": 3}, "a: 1\nc: 3\n# own\n"),
    ("a new list of mappings", "a: 1", {"a": 1, "records": [A, C]},
        "a: 1\nrecords:\n  - {name: a, type: A, content: 192.0.2.1}\n  - {name: c, type: TXT, content: x}"),
    ("keys in another order", "a: 1\nb: 2\n", {"b": 2, "a": 3}, "a: 3\nb: 2\n"),
    ("keys into an empty mapping", "# h\n{}  # c\n", {"a": 1, "b": 2}, "# h\na: 1\nb: 2  # c\n"),
    # Nested mappings
    ("a flow mapping's value", "s: {a: 1, b: x}  # c\n", {"s": {"a": 2, "b": "x"}}, "s: {a: 2, b: x}  # c\n"),
    ("a flow mapping's new key", "s: {a: 1 }  # c\n", {"s": {"a": 1, "b": "::1"}}, 's: {a: 1, b: "::1" }  # c\n'),
    ("a flow mapping's first key removed", "s: {a: 1,  b: 2}\n", {"s": {"b": 2}}, "s: {b: 2}\n"),
    ("a flow mapping's middle key removed", "s: {a: 1, b: 2, c: 3}\n", {"s": {"a": 1, "c": 3}}, "s: {a: 1, c: 3}\n"),
    ("a flow mapping's last keys removed", "s: {a: 1, b: 2, c: 3,}\n", {"s": {"a": 1}}, "s: {a: 1,}\n"),
    ("a flow mapping's keys are replaced", "s: {a: 1, b: 2}\n", {"s": {"a": 1, "c": 3}}, "s: {a: 1, c: 3}\n"),
    ("a flow mapping is emptied", "s: {a: 1, b: 2}  # c\n", {"s": {}}, "s: {}  # c\n"),
    ("an empty flow mapping gets keys", "s: {}  # c\n", {"s": {"a": 1}}, "s: {a: 1}  # c\n"),
    ("a flow mapping's missing value", "s: {'a':, b: 1}\n", {"s": {"a": 2, "b": 1}}, "s: {'a': 2, b: 1}\n"),
    ("a block mapping's value", "s:\n   a: 1  # c\n   b: 2\n", {"s": {"a": 3, "b": 2}},
        "s:\n   a: 3  # c\n   b: 2\n"),
    ("a block mapping's new key", "s:\n   a: 1  # c\n\nb: 2\n", {"s": {"a": 1, "c": {"d": 1}}, "b": 2},
        "s:\n   a: 1  # c\n   c: {d: 1}\n\nb: 2\n"),
    ("a block mapping's key removed", "s:\n  a: 1\n  b: 2\n", {"s": {"a": 1}}, "s:\n  a: 1\n"),
    ("a block mapping is emptied", "s:  # c\n  # own\n  a: 1\n  # two\n  b: 2\nt: 1\n", {"s": {}, "t": 1},
        "s: {}  # c\n  # own\n  # two\nt: 1\n"),
    ("a new key at the end of two mappings", "s:\n  a: 1\n", {"s": {"a": 1, "b": 2}, "t": 3},
        "s:\n  a: 1\n  b: 2\nt: 3\n"),
    # Lists of scalars
    ("an address added", "ips: [192.0.2.1]  # c\n", {"ips": ["192.0.2.1", "::1"]}, 'ips: [192.0.2.1, "::1"]  # c\n'),
    ("an address added first", "ips: [ b ]\n", {"ips": ["a", "b"]}, "ips: [ a, b ]\n"),
    ("the first address removed", "ips: [a, b, c]\n", {"ips": ["b", "c"]}, "ips: [b, c]\n"),
    ("an address in the middle removed", "ips: [a,b, c]\n", {"ips": ["a", "c"]}, "ips: [a, c]\n"),
    ("the last address removed", "ips: [a, b, 'c' ]\n", {"ips": ["a", "b"]}, "ips: [a, b ]\n"),
    ("a changed address", "ips: ['a', b, \"c\"]\n", {"ips": ["a", "x", "c"]}, "ips: ['a', x, \"c\"]\n"),
    ("the last address of all removed", "ips: [a]  # c\n", {"ips": []}, "ips: []  # c\n"),
    ("addresses added", "ips: []  # c\n", {"ips": ["a", "b"]}, "ips: [a, b]  # c\n"),
    ("addresses added and removed", "ips: [a, b, c, d]\n", {"ips": ["x", "b", "d", "z"]}, "ips: [x, b, d, z]\n"),
    ("addresses in another order", "ips: ['a', 'b', 'c']\n", {"ips": ["c", "a", "b"]}, "ips: [c, 'a', 'b']\n"),
    ("a block list", "ips:\n- a  # one\n# own\n- b  # two\n- c\n", {"ips": ["a", "x", "c", "d"]},
        "ips:\n- a  # one\n# own\n- x  # two\n- c\n- d\n"),
    ("a block list gets longer at the front", "ips:\n  # h\n  - b\n", {"ips": ["a", "b"]},
        "ips:\n  # h\n  - a\n  - b\n"),
    ("a block list is emptied", "ips:  # c\n  - a\n  # own\n  - b  # d\nx: 1\n", {"ips": [], "x": 1},
        "ips: []  # c\n  # own\nx: 1\n"),
    ("a block list's missing item", "- a\n-\n- ~\n", ["a", "b", "c"], "- a\n- b\n- c\n"),
    ("a list in brackets over lines gets shorter", PARTS, {"ips": ["192.0.2.1"]},
        "ips: [\n  192.0.2.1,  # one\n  # own\n]\n"),
    ("a list in brackets over lines loses its first", PARTS, {"ips": ["192.0.2.2"]},
        "ips: [\n  # own\n  192.0.2.2   # two\n]\n"),
    ("a list in brackets over lines gets longer", PARTS, {"ips": ["::1", "192.0.2.1", "192.0.2.2", "::2"]},
        'ips: [\n  "::1",\n  192.0.2.1,  # one\n  # own\n  192.0.2.2,   # two\n  "::2",\n]\n'),
    # Lists of mappings
    ("a record's value", ZONE, {"records": [A, B | {"ttl": 300}, C]}, ZONE.replace("ttl: 60", "ttl: 300")),
    ("a record's key added and one removed", ZONE, {"records": [A | {"proxied": True}, A | {"name": "b"}, C]},
        ZONE.replace("192.0.2.1}", "192.0.2.1, proxied: true}").replace("192.0.2.2, ttl: 60", "192.0.2.1")),
    ("a record added", ZONE, {"records": [A, B, C, {"name": "@", "proxied": True}]},
        ZONE.replace("'x'}\n", "'x'}\n  - {name: \"@\", proxied: true}\n")),
    ("a record added in the middle", ZONE, {"records": [A, {"name": "x"}, B, C]},
        ZONE.replace("# one\n", "# one\n  - {name: x}\n")),
    ("a record added first", ZONE, {"records": [{"name": "x"}, A, B, C]},
        ZONE.replace("# first\n", "# first\n  - {name: x}\n")),
    ("the first record removed", ZONE, {"records": [B, C]},
        ZONE.replace("  - {name: a, type: A, content: 192.0.2.1}     # one\n", "")),
    ("a record in the middle removed", ZONE, {"records": [A, C]},
        ZONE.replace("  - {name: b, type: A, content: 192.0.2.2, ttl: 60}   # two\n", "")),
    ("last record removed", ZONE, {"records": [A, B]}, ZONE.replace("  - {name: c, type: TXT, content: 'x'}\n", "")),
    ("all but a record removed", ZONE, {"records": [C]},
        "# head\nrecords:\n  # first\n  # second\n  # third\n  - {name: c, type: TXT, content: 'x'}\n# tail\n"),
    ("all records removed", ZONE, {"records": []},
        "# head\nrecords: []\n  # first\n  # second\n  # third\n# tail\n"),
    ("records removed", ZONE, {"x": 1, "records": None}, "# head\nx: 1\n  # first\n  # second\n  # third\n# tail\n"),
    ("records added to []", "a: 1\nm: []  # c\nb: 2\n", {"a": 1, "m": [{"k": "x"}, {"k": "z"}], "b": 2},
        "a: 1\nm:  # c\n  - {k: x}\n  - {k: z}\nb: 2\n"),
    ("records added without a value before", "m:  # c\nb: 2", {"m": [{"k": "x"}], "b": 2},
        "m:  # c\n  - {k: x}\nb: 2"),
    ("records added in place of null", "m: null", {"m": [{"k": "x"}]}, "m:\n  - {k: x}"),
    ("a record in blocks changes", BLOCKS, {"records": [A | {"ttl": 1}, B | {"type": "AAAA"}]},
        BLOCKS.replace("192.0.2.1\n", "192.0.2.1\n  ttl: 1\n").replace("b\n  type: A", "b\n  type: AAAA")),
    ("a record in blocks added", BLOCKS, {"records": [A, B, C | {"s": {"x": 1}}]},
        BLOCKS + "- name: c\n  type: TXT\n  content: x\n  s: {x: 1}\n"),
    ("a record in blocks added first", BLOCKS, {"records": [C, A, B]},
        BLOCKS.replace("records:\n", "records:\n- name: c\n  type: TXT\n  content: x\n")),
    ("record in blocks removed", BLOCKS, {"records": [B]}, "records:\n# between\n" + BLOCKS.partition("between\n")[2]),
    ("a record in blocks loses its first key", "- a: 1  # x\n  b: 2\n- c: 1\n  # own\n  d: 2\n", [{"b": 2}, {"d": 2}],
        "- b: 2\n-\n  # own\n  d: 2\n"),
    ("a record in blocks becomes text", "- a: 1  # x\n  # own\n  b: 2\n- c\n", ["x", "c"],
        "- x\n  # own\n- c\n"),
    ("a record in blocks is emptied", "- a: 1\n  b: 2\n- c\n", [{}, "c"], "- {}\n- c\n"),
    ("lists in lists", "- - a  # x\n  - b\n-\n  - c\n", [["b", "d"], ["c", {"e": 1}]],
        "- - b\n  - d\n-\n  - c\n  - {e: 1}\n"),
    ("lists in lists get longer at the front", "- - a\n", [["x", "a"]], "- - x\n  - a\n"),
    ("a list in brackets of mappings", "m: [{a: 1}, {a: 2}]\n", {"m": [{"a": 1}, {"a": 3, "b": [1]}, {"a": 4}]},
        "m: [{a: 1}, {a: 3, b: [1]}, {a: 4}]\n"),
    ("JSON", '{"a": 1, "b": ["x", "y"]}', {"a": 2, "b": ["y", "z"], "c": 3}, '{"a": 2, "b": ["y", z], c: 3}'),
    ("JSON over lines", '{\n  "a": 1,\n  "b": [\n    "x"\n  ]\n}\n', {"a": 2, "b": ["x", "z"], "c": 3},
        '{\n  "a": 2,\n  "b": [\n    "x",\n    z,\n  ],\n  c: 3,\n}\n'),
    # Files
    ("an empty file", "", {"a": 1}, "a: 1\n"),
    ("comments only", "# h\n\n# c", {"a": 1}, "# h\n\n# c\na: 1\n"),
    ("a marker only", "# h\n---\n", {"a": 1}, "# h\n---\na: 1\n"),
    ("Windows line ends, comments only", "# h\r\n", {"a": [A]},
        "# h\r\na:\r\n  - {name: a, type: A, content: 192.0.2.1}\r\n"),
    ("Windows line ends", "a: 1\r\n# own\r\nb: 2 # x\r\nc:\r\n- d\r\n", {"a": 2, "c": ["d", {"e": 1}], "f": 1},
        "a: 2\r\n# own\r\nc:\r\n- d\r\n- {e: 1}\r\nf: 1\r\n"),
    ("a byte order mark", "\ufeffa: 1\n# c\n", {"b": 2}, "\ufeffb: 2\n# c\n"),
    ("markers", "%YAML 1.1\n# h\n--- # c\na: 1\nb: 2\n...\n# tail\n", {"a": 1, "c": 3},
        "%YAML 1.1\n# h\n--- # c\na: 1\nc: 3\n...\n# tail\n"),
    ("characters of several octets", "é: 😀 # ü\nb: [ü, 😀]\n", {"é": "x", "b": ["ü", "z"]},
        "é: x # ü\nb: [ü, z]\n"),
    ("a document that is text", "# h\nx # c\n", "z", "# h\nz # c\n"),
    ("a document that is null", "# h\nnull # c\n", {"a": 1}, "# h\na: 1 # c\n"),
    # Anchors
    ("next to an anchor", "a: &x {b: 1}\nc: *x # c\nd: 1\n", {"a": {"b": 1}, "c": {"b": 1}, "d": 2},
        "a: &x {b: 1}\nc: *x # c\nd: 2\n"),
    ("instead of an alias", "a: &x {b: 1}\nc: *x # c\n", {"a": {"b": 1}, "c": {"b": 2}},
        "a: &x {b: 1}\nc: {b: 2} # c\n"),
    ("in a merged mapping", "a: &x {p: 1, q: 2} # c\nb:\n  <<: *x\n  r: 3\n", {
        "a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3, "r": 4}},
        "a: &x {p: 1, q: 2} # c\nb:\n  <<: *x\n  r: 4\n  q: 3\n"),
    ("below an anchor", "a: &x\n  # own\n  - b\n  - c\n", {"a": ["c"]}, "a: &x\n  # own\n  - c\n"),
    ("a tag", "a: !!str 1 # c\nb: !!str\n", {"a": "1", "b": "x"}, "a: !!str 1 # c\nb: x\n"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "data", "expected"), [case[1:] for case in EDITED], ids=[case[0] for case in EDITED])
def test_edit_is_minimal(text: str, data: PlainData, expected: str) -> None:
    assert edited_yaml(text, data) == expected
    assert as_read(parse_yaml(expected)) == as_read(data)


ANEW: list[tuple[str, str, PlainData]] = [
    ("a value repeated by an alias", "# h\na: &x {b: 1}\nc: *x\n", {"a": {"b": 2}, "c": {"b": 1}}),
    ("an anchor removed", "# h\na: &x 1\nb: *x\n", {"b": 1}),
    ("a merged mapping loses a key", "# h\na: &x {p: 1}\nb: {<<: *x}\n", {"a": {"p": 1}, "b": {}}),
    ("the key ? a", "# h\n? a\n? b\n", {"a": 1, "b": 2}),
    ("a value in a set", "# h\na: {b, c}\n", {"a": {"b": 1}}),
    ("keys after a marker", "--- {}\n", {"a": 1, "b": 2}),
    ("a pair in a list", "# h\n[a: 1]\n", [{"a": 1, "b": 2}]),
    ("a comment that a block scalar would absorb", "a: |\n  x\nb:\n  # c\n  - 1\n", {"a": "x\n"}),
]


@pytest.mark.parametrize(("text", "data"), [case[1:] for case in ANEW], ids=[case[0] for case in ANEW])
def test_uneditable_text_is_written_again(text: str, data: PlainData) -> None:
    assert edited_yaml(text, data) == written_yaml(data)
    assert edited_yaml("\ufeff" + text.replace("\n", "\r\n"), data) == "\ufeff" + written_yaml(data).replace(
        "\n", "\r\n"
    )


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2", "--- a\n--- b", "a: \0", "[" * 33 + "]" * 33, "a: *b"])
def test_unreadable_text_is_not_edited(text: str) -> None:
    with pytest.raises(YamlError):
        edited_yaml(text, {"a": 1})


def record(number: int) -> str:
    return (
        f"  - {{name: host{number}, type: A, content: 192.0.2.{number % 250}, ttl: 300, proxied: true}}   # {number}\n"
    )


def large_edits() -> list[tuple[str, Callable[[list[PlainData]], list[PlainData]]]]:
    def with_every_second_changed(items: list[PlainData]) -> list[PlainData]:
        return [dict(item, ttl="60") if index % 2 else item for index, item in enumerate(items)]

    return [
        ("one more", lambda items: [*items, A]),
        ("every third removed", lambda items: [item for index, item in enumerate(items) if index % 3]),
        ("every second changes", with_every_second_changed),
        ("all are alike", lambda items: [A] * len(items)),
        ("reversed", lambda items: items[::-1]),
        ("halves swapped", lambda items: items[len(items) // 2 :] + items[: len(items) // 2]),
    ]


@pytest.mark.parametrize("edit", [case[1] for case in large_edits()], ids=[case[0] for case in large_edits()])
def test_large_files_cost_in_proportion(
    edit: Callable[[list[PlainData]], list[PlainData]], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "python":
        pytest.skip("reading alone takes longer")
    monkeypatch.setattr(yaml_text, "MAX_CACHED", 2**30)  # the time of reading is excluded
    edits = {}
    for records in (1_000, 4_000):
        text = "# head\nrecords:\n" + "".join(map(record, range(records)))
        data = parse_yaml(text)
        data["records"] = edit(data["records"])
        edits[records] = partial(edited_yaml, text, data)
    assert growth(edits.__getitem__, 1_000, 4_000, enough=8) <= 8  # 16, if it grew with the square
    edited = edits[1_000]()
    assert edited.startswith("# head\n")
    assert parse_yaml(edited) == edits[1_000].args[1]
