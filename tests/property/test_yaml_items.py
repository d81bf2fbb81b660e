"""The records of a YAML zone, read item by item, are those of the whole text: same records, rows, problems, places."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsd.errors import Problem
from dnsd.formats import item_patterns, plain_items, yaml_edit, yaml_item_edit, yaml_items
from dnsd.formats.kept_items import ItemsKept, edited_around
from dnsd.formats.plain_items import PlainItems
from dnsd.formats.yaml_item_edit import FEW, ItemEdit, edited_list
from dnsd.formats.yaml_text import parse_yaml
from dnsd.model.columns import Columns
from dnsd.model.records import Record
from dnsd.store import file_reader, objects, usual_text
from dnsd.store.blocks import cut, digest_of
from dnsd.store.directory import FileKind, SourceFile
from dnsd.store.located import located
from dnsd.store.objects import ReadZone, read_zone
from dnsd.store.text_file import Content, content_of
from dnsd.wire.names import name_text
from dnsd.wire.rdata import AAAA, CNAME, MX, NS, TXT, A
from tests.limits import examples
from tests.unit.formats.test_yaml_edit import library

__all__ = ["library"]  # a fixture for every test

ID = "0123456789abcdef0123456789abcdef"
TIME = "2026-01-01T00:00:00.5+01:00"

# Of each part: the common forms, and odd ones.
NAMES = [
    "www",
    "a",
    "A-1",
    "a.b",
    '"@"',
    '"*"',
    "'*.x'",
    "a.example.com",
    "example.com",
    "_x.y",
    "xample.com",
    "7",
    '"ä"',
]
ODD_NAMES = [
    *(
        "Example.COM.",
        "x.example.org.",
        "@",
        "*",
        "a..b",
        "ä",
        r"a\.b",
        r'"a\\.b"',
        r'"a\.b"',
        "null",
        "nullify",
        "~",
        '""',
    ),
    *(
        "''",
        "l" * 64,
        "&a b",
        "*a",
        "!!str a",
        "[a]",
        "{a: b}",
        "a b",
        "a: b",
        "a #b",
        '"a',
        "a'b",
        "-a",
        "a,b",
        "a.",
        "com",
    ),
]
CONTENTS = {
    "A": ["192.0.2.1", "192.0.2.2", '"192.0.2.3"'],
    "AAAA": ["2001:db8::1", '"2001:db8::2"', "2001:DB8::1"],
    "CNAME": ["example.org", "Example.ORG.", "www.example.com"],
    "NS": ["ns1.example.net.", "ns1"],
    "MX": ["10 mail.example.com.", '"10 mail"'],
    "TXT": ["hello", "hello world", '\'"a" "b"\'', r'"\"a\""', "v=spf1 -all", "'a''b'", "'\"\"'"],
    "CAA": ["'0 issue \"ca.example.net\"'"],
    "DS": ["1 13 2 " + "Ab" * 32],
}
ODD_CONTENTS = {
    "A": ["192.0.2.256", "192.0.02.1", "1.2.3", r'"\\# 4 c0000201"', "2001:db8::1", ""],
    "AAAA": ["::1", "fe80::1%eth0", "192.0.2.1", "1:", '"::ffff:1.2.3.4"', '"::1"'],
    "CNAME": ['"@"', "a..b", "a b", ".", "a.b"],
    "MX": ["mail.example.com", "x mail"],
    "TXT": [r'"a\tb"', '" a"', r'"a\x07b"', "x" * 256, "'\"a'", "'a;b'", "'\"a\" b'", '""', "a  b"],
    "SOA": ["ns1.example.net. host.example.net. 1 2 3 4 5"],
    "NULL": ["x"],
    "a": ["192.0.2.1"],
    "ANY": ["x"],
    "DS": ["1 13 2 ab"],
}
EXTRAS = [
    "ttl: 300",
    "ttl: 60",
    "proxied: true",
    "comment: hello",
    r'comment: "ä, \"b\""',
    "tags: [a, 'b:c']",
    "tags: []",
]
EXTRAS += ["settings: {ipv4_only: true}", "priority: 5", "comment: 'it''s'"]
OWN = [[], [], [f"id: {ID}"], [f'id: "{ID}"', f'created_on: "{TIME}"', "modified_on: 2026-01-01T00:00:00Z"]]
OWN += [[f"created_on: {TIME}"], [f"modified_on: {TIME}", f"id: {ID}"]]
ODD_EXTRAS = [
    *("ttl: x", "foo: 1", "name: x", "ttl: ~", "content: b", r'comment: "a\x07b"', "ttl:", "comment: |", "comment: 'x"),
    *(
        r"comment: a\b",
        "comment: {a",
        "<<: {ttl: 5}",
        "tags: [a, [b]]",
        "x y: z",
        "comment: x\x85y",
        "comment: x\ufeffy",
    ),
    *(
        f"id: {ID[1:]}",
        f"id: {ID.upper()}",
        'modified_on: "2026-13-01T00:00:00Z"',
        "created_on: 2026-01-01",
        f"id: '{ID}'",
    ),
]
TAILS = ["", "", "", "", "  ", "  # c"]
ODD_TAILS = [" # c \u00e4", "#c", " #\x07", "\t", " x", ","]
LINES = ["", "  ", "# c", "  # c", "      # c"]
ODD_LINES = [
    *("- y'", "  - y'", "    x", "  - x", "- x", "  y: z", "---", "...", "\t", "  -", "  - [a, {b: c}]", "  - name: x"),
    *("    type: A", "  - >", "    a", "  - 'a", "  - &x {name: x}", "  - *x", "  }", "records:", "  - {name: '"),
    *("  - {name: x,", "     type: A, content: 192.0.2.7}", "  - ? a", "settings: {ns_ttl: 5}", "- - x", "# \x07"),
]
HEADS = ["", "", "name: example.com\n", "# c\n", "nameservers: [ns.example.org]\n", "---\n", "%YAML 1.1\n---\n"]
ODD_HEADS = [
    "x: 'a\n",
    "x: |\n",
    "{\n",
    "- a\n",
    "s: &x 5\n",
    "name: a..b\n",
    "records: []\n",
    '"records":\n  - {}\n',
    "? ",
]
ODD_HEADS += ["paused: true\nsoa: {refresh: 5}\n", "comment: a\n", "\ufeff"]
KEYS = ["records:", "records:", "records:  # c", "records:\n\n#c"]
ODD_KEYS = ["records: &x", "records: []", "records: {", "records :", "  records:", "records: |", "records: 'a"]
FEET = [
    "",
    "",
    "paused: false\n",
    f"id: {ID}\n",
    "# end",
    "settings: {ns_ttl: 60}\nsoa: {retry: 5}\n",
    "name: b.example\n",
]
ODD_FEET = ["comment: x\n", "nonsense\n", "x: *x\n", "]\n", "'\n", "---\n", " id: 5\n", 'description: "\\x07"\n']


def either(common: list[str], odd: list[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 60).flatmap(lambda number: st.sampled_from(common if number else odd))


@st.composite
def items(draw: st.DrawFn, indent: str) -> str:
    if not draw(st.integers(0, 8)):
        return "".join(line + "\n" for line in draw(st.lists(either(LINES, ODD_LINES), min_size=1, max_size=3)))
    contents = CONTENTS if draw(st.integers(0, 40)) else ODD_CONTENTS
    rtype = draw(st.sampled_from(list(contents)))
    content = draw(st.sampled_from(contents[rtype]))
    pairs = [f"name: {draw(either(NAMES, ODD_NAMES))}", f"type: {rtype}", f"content: {content}"]
    if not draw(st.integers(0, 9)):
        pairs = draw(st.permutations(pairs))
    for one in draw(st.lists(either(EXTRAS, ODD_EXTRAS), max_size=2)):
        if all(pair.split(":")[0] != one.split(":")[0] for pair in pairs) or not draw(st.integers(0, 20)):
            pairs.insert(len(pairs) if draw(st.integers(0, 9)) else draw(st.integers(0, len(pairs))), one)
    pairs += draw(st.sampled_from(OWN))
    tail = draw(either(TAILS, ODD_TAILS))
    if draw(st.booleans()):
        return f"{indent}- {{{', '.join(pairs)}}}{tail}\n"
    below = indent + " " * draw(st.sampled_from([*([2] * 30), 4, 0]))
    return f"{indent}- {pairs[0]}{tail}\n" + "".join(f"{below}{pair}\n" for pair in pairs[1:])


@st.composite
def texts(draw: st.DrawFn, most: int = 6) -> str:
    indent = " " * draw(st.sampled_from([2, 2, 2, 2, 0, 0, 1, 4, 9]))
    body = "".join(draw(st.lists(items(indent), max_size=most)))
    head, key = draw(either(HEADS, ODD_HEADS)), draw(either(KEYS, ODD_KEYS))
    text = f"{head}{key}\n{body}{draw(either(FEET, ODD_FEET))}"
    if not draw(st.integers(0, 9)):
        text = text.replace("\n", draw(st.sampled_from(["\r\n", "\r\n", "\r", "\u2028"])))
    return text[: draw(st.sampled_from([len(text)] * 5 + [len(text) - 1]))]


def read(text: str, previous: ReadZone | None = None) -> ReadZone:
    return read_content(content_of(text), previous)


def read_content(content: Content, previous: ReadZone | None = None, kept: ItemsKept | None = None) -> ReadZone:
    file = SourceFile("a/zones/example.com", FileKind.ZONE_YAML, "x.yaml", content)
    return read_zone(file, "a1", ("ns1.example.net.",), previous=previous, known=kept)


def in_blocks(octets: bytes, before: Content | None = None) -> Content:
    """The content of a file whose text is not kept, in blocks far smaller than usual."""
    blocks = cut(octets, before.blocks if before else (), least=64, most=256)
    ends = [*accumulate(block.size for block in blocks)]
    read = {block: octets[end - block.size : end] for block, end in zip(blocks, ends, strict=True)}
    return Content(digest_of(blocks), None, blocks, read.__getitem__)


def seen(text: str, found: ReadZone) -> tuple[Any, ...]:
    paths = [("records", index, "content") for index in (range(len(found.zone.records)) if found.zone else ())]
    placed = located(
        [Problem("a/zones/example.com", path, "x") for path in (*paths, ("soa", "retry"), ("x",), ())], found
    )
    return found.zone, list(found.rows), found.problems, placed


@settings(max_examples=examples(60, 10_000), deadline=None)
@given(texts())
@example("records:\n  - {name: a, type: TXT, content: 'x\n  - {name: a, type: A, content: 192.0.2.1}\n    y'}\n")
@example("x: 'a\nrecords:\n  - {name: a, type: A, content: 192.0.2.1}\n'\n")
@example("x: [a,\nrecords:\n- {name: a, type: A, content: 192.0.2.1}\n]\n")
@example("records:\n- {name: a, type: TXT, content: 'x\n- y'}\n- {name: a, type: A, content: 192.0.2.1}\n")
def test_items_read_one_by_one_are_those_of_the_whole_text(text: str) -> None:
    found = read(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "usual_text", lambda *_: None)
        divided = read(text)
        patch.setattr(objects, "find_items", lambda *_: None)
        whole = read(text)
    assert seen(text, found) == seen(text, whole)
    assert seen(text, divided) == seen(text, whole)
    assert found.items == divided.items


without_compiler = pytest.mark.skipif(plain_items.compiled is None, reason="no compiler was found")


@without_compiler
def test_items_read_by_the_compiled_part_are_those_read_without_it() -> None:
    names = [*NAMES, *ODD_NAMES, "www.example.org", "." * 4, "a." * 130, "nUll.x", "a*b", "9-"]
    kinds = [(rtype, one) for of in (CONTENTS, ODD_CONTENTS) for rtype, some in of.items() for one in some]
    for rtype, content in kinds:
        for more in ("", ", ttl: 300", ", priority: 5, comment: x", f", id: {ID}"):
            text = "".join(f"- {{name: {name}, type: {rtype}, content: {content}{more}}}\n" for name in names)
            for zone in (b"\7example\3com\0", b"\3com\0", b"\0"):
                with pytest.MonkeyPatch.context() as patch:
                    forget_meanings(patch)  # before and after: here they are made up
                    read_in_both_ways(zone, text, 0)


def forget_meanings(patch: pytest.MonkeyPatch) -> None:
    """Have no item's meaning be known for now."""
    patch.setattr(plain_items, "MEANINGS", {})
    patch.setattr(plain_items, "OF_LINES", {})


def read_in_both_ways(zone: bytes, text: str, column: int) -> None:
    """Assert that items that the compiled part reads are the same in Python."""

    def interpret(line: str) -> tuple[Record, int | None] | None:
        rtype = next((numbers[word] for word in numbers if f"type: {word}," in line), None)
        return None if rtype is None or "proxied" in line else (Record(b"", rtype, 300 + ("ttl" in line), b""), 5)

    numbers = {"A": A, "AAAA": AAAA, "CNAME": CNAME, "NS": NS, "MX": MX, "TXT": TXT}
    start, mine, theirs = 0, Columns(), Columns()
    one, other = PlainItems(zone, mine, interpret), PlainItems(zone, theirs, interpret)
    while start < len(text):
        lists = mine.owners, mine.rdatas, mine.identities
        assert plain_items.compiled
        end, traits = plain_items.compiled.read(one, *lists, text, start, len(text), column, zone, name_text(zone))
        mine.traits.frombytes(traits)
        assert other._read(item_patterns.FLOW, text, start, end, column) == end, text[start:end]
        assert (mine.owners, mine.rdatas) == (theirs.owners, theirs.rdatas), (text, start, zone)
        assert (mine.traits, mine.identities) == (theirs.traits, theirs.identities), (text, start, zone)
        start = text.find("\n", end) + 1 or len(text)  # after the item that is left to Python


@without_compiler
def test_the_compiled_part_reads_the_plainest_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PlainItems, "_read", lambda *_: pytest.fail("read in Python"))
    contents = {"A": "192.0.2.1", "AAAA": "2001:db8::1", "NS": "ns.example", "TXT": "hello", "MX": "mail.example"}
    items = [f"{{name: a, type: {one}, content: {contents[one]}, ttl: 300, priority: 1}}" for one in contents]
    found = read("records:\n" + "".join(f"  - {item}  # \n" for item in items * 3))
    assert found.zone
    assert len(found.zone.records) == 15 + 2  # with SOA and NS
    assert len(found.zone.records.identities) == 3  # the written form of TXT contents


FLOW = "  - {{name: n{0}, type: TXT, content: 'x {0}', comment: \"number {0}\", id: {0:032x}, created_on: {1}}}\n"
BLOCK = "  - name: n{0}\n    type: A\n    content: 192.0.2.{0}\n    ttl: 300  # five minutes\n    comment: number {0}\n"


@pytest.mark.parametrize("form", [FLOW, BLOCK])
def test_items_of_one_form_are_parsed_once(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    yaml_items.parsed_again.cache_clear()
    usual_text._fields_before.cache_clear()
    forget_meanings(monkeypatch)
    monkeypatch.setattr(yaml_items, "parse_yaml", lambda *args, **rest: parsed.append(1) or parse_yaml(*args, **rest))
    monkeypatch.setattr(file_reader, "parse_yaml", lambda *_, **__: pytest.fail("the whole text is parsed"))
    found = read("records:\n" + "".join(form.format(number, TIME) for number in range(50)))
    assert [record.comment for record in found.zone.records][:50] == [f"number {number}" for number in range(50)]
    assert list(found.rows) == list(range(50))
    assert len(parsed) == 2  # the text without its items, and one item
    again = read("records:\n" + "".join(form.format(number, TIME) for number in range(50, 60)))
    assert [record.comment for record in again.zone.records][:10] == [f"number {number}" for number in range(50, 60)]
    assert len(parsed) == 2  # another zone's text has the same form


@pytest.mark.parametrize("head", ["", "name: x.example\n", "# c\nsoa: {retry: 7}\n"])
@pytest.mark.parametrize("form", [FLOW, BLOCK])
def test_a_text_with_fields_as_in_another_zone_is_not_divided_again(
    head: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(f"{head}records:\n{form.format(1, TIME)}")
    for module in (objects, usual_text):
        monkeypatch.setattr(module, "find_items", lambda *_: pytest.fail("the text is divided"))
    found = read(f"{head}records:\n{form.format(2, TIME)}{form.format(3, TIME)}")
    assert list(found.rows) == [0, 1]
    with pytest.raises(pytest.fail.Exception):
        read(f"{head}records:\n{form.format(2, TIME)}paused: true\n")


@without_compiler
def test_the_texts_around_a_content_are_interpreted_once_for_all_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    item = "- {{name: a, type: A, content: 192.0.2.1, ttl: {0}}}\n"
    read(f"records:\n{item.format(4711)}")
    monkeypatch.setattr(item_patterns, "FLOW", None)
    assert [record.ttl for record in read(f"records:\n{item.format(4711) * 2}").zone.records][:2] == [4711] * 2


@st.composite
def edits(draw: st.DrawFn, rows: int) -> ItemEdit:
    address = {"name": "new", "type": "A", "content": "192.0.2.9"}
    new = st.sampled_from([address, {"name": "b", "type": "TXT", "content": "x: y"}])
    touched = draw(st.sets(st.integers(0, rows - 1), max_size=6)) if rows else set()
    removed = {row for row in touched if draw(st.booleans())}
    if rows and draw(st.booleans()):  # a run of them: blank lines in between go, too
        start, count = draw(st.integers(0, rows - 1)), draw(st.integers(2, 6))
        removed |= {*range(start, min(start + count, rows))}
    added = [address] * draw(st.sampled_from([0, 0, 0, FEW])) + draw(st.lists(new, max_size=2))
    return ItemEdit(removed, {row: draw(new) for row in sorted(touched - removed)}, added)


CHANGES = [dict, lambda keys: keys | {"paused": "true"}, lambda keys: keys | {"soa": {"refresh": "7"}, "id": None}]


@settings(max_examples=examples(80, 10_000), deadline=None)
@given(texts(12), st.data())
def test_an_edit_of_items_is_that_of_the_whole_text(text: str, data: st.DataObject) -> None:
    before = read(text)
    if before.items is None:
        return
    edit, change = data.draw(edits(before.items.count(text))), data.draw(st.sampled_from(CHANGES))
    edited = edited_list(text, before.items, "records", edit, change)
    assert edited == edited_list(text, None, "records", edit, change)
    after, again = read(edited), read(edited, before)
    assert seen(edited, again) == seen(edited, after)
    assert again.items == after.items
    grouped = again.zone.records.grouped if again.zone else None
    assert grouped == (after.zone.records.grouped if after.zone else None)


@settings(max_examples=examples(80, 10_000), deadline=None)
@given(texts(), st.sampled_from(CHANGES))
@example("records:\n- {name: ä, type: A, content: 192.0.2.1}\n# ä\n", CHANGES[1])
@example("paused: false\r\nrecords:\r\n- {name: a, type: A, content: 192.0.2.1}\r\nid: '7'\r\n", CHANGES[1])
@example("records:\n- {name: a, type: A, content: 192.0.2.1}", CHANGES[1])
def test_an_edit_around_the_items_is_that_of_the_whole_text(text: str, change: Callable[[Any], Any]) -> None:
    before = read(text)
    found = edited_around(text.encode(), before.items, change) if before.items else None
    if found is None or before.items is None:
        return
    edited, kept = found[0].decode(), found[1]
    assert text[before.items.start : before.items.end] in edited
    after, again = read(edited), read_content(content_of(found[0]), before, kept)
    assert seen(edited, again) == seen(edited, after)
    assert again.items == after.items
    grouped = again.zone.records.grouped if again.zone else None
    assert grouped == (after.zone.records.grouped if after.zone else None)
    assert after.zone == read(edited_list(text, None, "records", None, change)).zone


def test_items_that_stay_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"id: {ID}\nrecords:\n" + "".join(FLOW.format(number, TIME) for number in range(60))
    before = read(text)
    assert before.items
    found = edited_around(text.encode(), before.items, CHANGES[1])
    assert found
    monkeypatch.setattr(objects, "read_items", lambda *_: pytest.fail("the items are read"))
    monkeypatch.setattr(SourceFile, "text", lambda *_: pytest.fail("the text is read"))
    after = read_content(content_of(found[0]), before, found[1])
    assert after.zone
    assert (after.zone.paused, len(after.zone.records)) == (True, 62)


@settings(max_examples=examples(60, 10_000), deadline=None)
@given(texts(), texts(), st.booleans())
def test_records_are_taken_over_from_any_earlier_text(old: str, new: str, is_joined: bool) -> None:
    if is_joined:
        new = old[: len(old) // 2] + new[len(new) // 2 :]
    assert seen(new, read(new, read(old))) == seen(new, read(new))


@settings(max_examples=examples(60, 10_000), deadline=None)
@given(texts(40), texts(), st.integers(0, 2**30), st.sampled_from(["", "", "\ufeff"]), st.sampled_from(["", "\ufeff"]))
def test_records_are_taken_over_from_any_earlier_blocks(old: str, other: str, at: int, mark: str, now: str) -> None:
    new = old[: at % (len(old) + 1)] + other[: at % 100] + old[at % (len(old) + 1) + at % 7 :]
    before = in_blocks((mark + old).encode())
    after = in_blocks((now + new).encode(), before)
    assert seen(new, read_content(after, read_content(before))) == seen(new, read_content(after))


def test_of_a_large_text_only_the_blocks_that_changed_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [FLOW.format(number, TIME) for number in range(2_000)]
    before = in_blocks(f"records:\n{''.join(items)}".encode())
    known = read_content(before)
    sizes: list[int] = []
    reading = PlainItems.read

    def counted(plain: PlainItems, text: str, start: int, end: int, column: int) -> int:
        stop = reading(plain, text, start, end, column)
        sizes.append(stop - start)
        return stop

    monkeypatch.setattr(PlainItems, "read", counted)
    for change in (
        {7: ""},
        {1_000: items[1_000].replace("TXT", "SPF")},
        {1_990: items[5] + items[6]},
        {900: "", 903: ""},
    ):
        sizes.clear()
        text = f"records:\n{''.join(change.get(number, item) for number, item in enumerate(items))}"
        found = read_content(in_blocks(text.encode(), before), known)
        assert sum(sizes) < 3_000 < len(text) // 50
        assert found.zone == read(text).zone


def test_an_edit_parses_and_reads_only_what_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "records:\n" + "".join(FLOW.format(number, TIME) for number in range(60)) * 50
    before = read(text)
    sizes = []
    for module in (yaml_items, yaml_item_edit, yaml_edit):
        count = lambda text, *rest, **options: sizes.append(len(text)) or parse_yaml(text, *rest, **options)  # noqa: E731
        monkeypatch.setattr(module, "parse_yaml", count)
    record = {"name": "new", "type": "A", "content": "192.0.2.9"}
    edit = ItemEdit({7, 8, 2_000}, {1_000: record}, [record] * 100)
    edited = edited_list(text, before.items, "records", edit, lambda keys: keys | {"paused": "true"})
    after = read(edited, before)
    assert sum(sizes) < 10_000 < len(text) // 30
    assert after.zone == read(edited).zone
    assert len(after.rows) == 3_097
    assert after.zone.paused
