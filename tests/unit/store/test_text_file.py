"""Text files: read whole or in blocks, compared by digest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dnsd.model.zone_rules import zone_problems
from dnsd.store import folder, text_file
from dnsd.store.blocks import Cutter
from dnsd.store.directory import ZONES, FileKind, SizeLimit, SourceFile
from dnsd.store.folder import read_file
from dnsd.store.located import located
from dnsd.store.objects import CHANGED, read_zone
from dnsd.store.text_file import (
    BlockReader,
    Content,
    FileChangedError,
    NotTextError,
    TooLargeError,
    read_content,
    read_text,
    texts_again,
)
from dnsd.store.text_places import UNPLACED

NOT_TEXT = {  # octets, and position and reason of the error
    "not UTF-8": (b"a\nbc\xff\n", 2, 3, "octet 0xff"),
    "not UTF-8, far from the start": (b"abc\n" * 100 + b"\xe9\n", 101, 1, "octet 0xe9"),
    "a character cut short": (b"a\n\xc3", 2, 1, "octet 0xc3"),
    "NUL": (b"abc\n\xc3\xa9\0\n", 2, 2, "NUL"),
}
TEXTS = [
    "",
    "a",
    "a\n",
    "\n",
    "a\nb",
    "é\n" * 50,
    "x" * 500,
    "\n" * 500,
    "a\r\nb\r\n" * 30,
    "one\n" + "y" * 300 + "\nend",
]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_file, "BLOCK", 64)
    monkeypatch.setattr(text_file, "MAX_KEPT", 100)
    monkeypatch.setattr(Cutter.__init__, "__kwdefaults__", {"least": 20, "most": 60})


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_the_text_and_end_with_lines(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a"
    file.write_text(text, encoding="utf-8", newline="")
    content = read_content(file)
    pieces = list(texts_again(file, content))
    assert "".join(pieces) == read_text(file) == text
    assert all(piece.endswith("\n") for piece in pieces[:-1])
    assert content.text == (text if len(text) <= 100 else None)


def test_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfa\n")
    assert read_text(tmp_path / "a") == "a\n"


@pytest.mark.parametrize(("octets", "line", "column", "said"), NOT_TEXT.values(), ids=NOT_TEXT.keys())
def test_not_text(tmp_path: Path, octets: bytes, line: int, column: int, said: str) -> None:
    (tmp_path / "a").write_bytes(octets)
    with pytest.raises(NotTextError, match=said) as caught:
        read_content(tmp_path / "a")
    assert (caught.value.line, caught.value.column) == (line, column)


def test_too_large(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc\n" * 251)
    with pytest.raises(NotTextError, match="1,004 octets; the limit is 1,000"):
        read_content(tmp_path / "a", most=1000)


@pytest.mark.parametrize("after", [b"other\n" * 100, b"one\n" * 99, b"one\n" * 101, b"\xff", None])
def test_changed_file_is_detected(tmp_path: Path, after: bytes | None) -> None:
    file = tmp_path / "a"
    file.write_text("one\n" * 100)
    content = read_content(file)
    if after is None:
        file.unlink()
    else:
        file.write_bytes(after)
    with pytest.raises(FileChangedError):
        list(texts_again(file, content))


# Large zone files that change between two readings

MASTER = "\n".join(f"h{number} 300 IN A 192.0.2.{number}" for number in range(100))
YAML = "records:\n" + "".join(f"- {{name: h{number}, type: A, content: 192.0.2.{number}}}\n" for number in range(100))


def source(path: Path, kind: FileKind) -> SourceFile:
    return read_file(str(path), "a1/zones/example.com", kind, previous=None, now_ns=0)


@pytest.mark.parametrize(
    ("name", "kind", "text"), [("z", FileKind.ZONE_MASTER, MASTER), ("y", FileKind.ZONE_YAML, YAML)]
)
def test_zone_file_that_changed_before_it_is_read_is_refused(
    tmp_path: Path, name: str, kind: FileKind, text: str
) -> None:
    (tmp_path / name).write_text(text)
    file = source(tmp_path / name, kind)
    (tmp_path / name).write_text(text.replace("h7", "j7"))
    found = read_zone(file, "a1", ("ns1.example.net.",))
    assert [problem.message for problem in found.problems] == [CHANGED]
    assert len(read_zone(source(tmp_path / name, kind), "a1", ("ns1.example.net.",)).zone.records) == 102  # type: ignore[union-attr]


def test_changed_file_has_no_places(tmp_path: Path) -> None:
    (tmp_path / "y").write_text(YAML.replace("h8,", "h7,").replace("192.0.2.8}", "192.0.2.7}"))
    read = read_zone(source(tmp_path / "y", FileKind.ZONE_YAML), "a1", ("ns1.example.net.",))
    assert read.zone
    [problem] = located(zone_problems(read.zone), read)
    assert (problem.place.line, problem.path) == (10, ("records", 8))  # type: ignore[union-attr]
    (tmp_path / "y").write_text("\n" + YAML)
    [problem] = located(zone_problems(read.zone), read)
    assert (problem.place.line, problem.path) == (1, ("records", 8))  # type: ignore[union-attr]
    assert problem.message.endswith(UNPLACED)


@pytest.mark.parametrize(
    "octets", [b"plain\n", "Zürich\n".encode(), b"; caf\xe9 \xff\n"], ids=["ASCII", "UTF-8", "Latin-1"]
)
@pytest.mark.parametrize("is_edited", [False, True])
def test_octets_are_those_read_before(tmp_path: Path, octets: bytes, *, is_edited: bool) -> None:
    source = tmp_path / "a"
    source.write_bytes(octets)
    content = read_content(source, any_octets=True)
    if is_edited:
        source.write_bytes(b"something else\n")
    assert b"".join(map(BlockReader(str(source), content), range(len(content.blocks)))) == octets


def test_text_with_a_trusted_status_is_not_compared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "z"
    path.write_text("h 60 A 192.0.2.1\n" * 10_000)
    os.utime(path, (1_000, 1_000))
    file = read_file(str(path), "a1/zones/z", FileKind.ZONE_MASTER, previous=None, now_ns=2**62)
    assert file.stamp
    text = file.text()
    monkeypatch.setattr(text_file, "text_block", None)
    assert file.text() == text
    monkeypatch.undo()
    for change in (
        lambda: path.write_text(text.replace(".1\n", ".2\n")),  # with another time
        lambda: os.utime(path, (1_000, 1_000)),  # with the same time, but not that of its status
        lambda: path.write_text(text[1:]),
        path.unlink,
    ):
        change()
        with pytest.raises(FileChangedError):
            file.text()


def test_text_that_changes_while_it_is_read_is_none(tmp_path: Path) -> None:
    path = tmp_path / "z"
    path.write_text("h 60 A 192.0.2.1\n" * 10_000)
    file = read_file(str(path), "a1/zones/z", FileKind.ZONE_MASTER, previous=None, now_ns=2**62)
    texts = file.blocks()
    next(texts)
    with open(path, "r+b") as changed:
        changed.seek(150_000)
        changed.write(b"x")
    with pytest.raises(FileChangedError):
        list(texts)


def test_text_in_memory_is_encoded_once_for_all_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    monkeypatch.setattr(text_file, "octets_of", lambda text: encoded.append(text) or text.encode())
    text = "".join(f"h{number}\n" for number in range(500))
    (tmp_path / "z").write_text(text)
    content = replace(read_content(tmp_path / "z"), text=text)
    assert len(content.blocks) > 30
    (tmp_path / "z").unlink()
    read = BlockReader(str(tmp_path / "z"), content)
    assert b"".join(map(read, range(len(content.blocks)))) == text.encode()
    assert len(encoded) == 1


def test_file_over_the_limit_is_not_opened(tmp_path: Path) -> None:
    with open(tmp_path / "z", "wb") as out:
        out.truncate(12 * 1024**3)  # without data
    limit = SizeLimit(1024**3)
    before = read_file(str(tmp_path / "z"), "a1/zones/x", FileKind.ZONE_YAML, previous=None, now_ns=2**62, limit=limit)
    assert before.problem
    message = "12,884,901,888 octets are over `limits.file_mib` (1,024 MiB): raise the limit, or divide the zone"
    assert before.problem.message == message
    assert before.content.size == 0


def test_file_over_the_limit_is_read_if_it_may_be_the_one_served(tmp_path: Path) -> None:
    (tmp_path / "z").write_text("# abc\n" * 200)
    served = read_content(tmp_path / "z")

    def read(most: int, *texts: Content, previous: SourceFile | None = None) -> SourceFile:
        limit = SizeLimit(most, lambda: texts)
        path = str(tmp_path / "z")
        return read_file(path, "a1/zones/x", FileKind.ZONE_YAML, previous=previous, now_ns=2**62, limit=limit)

    assert read(1_199).problem
    assert read(1_199, served).content == served
    assert read(1_200).content == served
    refused = read(1_199)
    assert read(1_199, previous=refused) == refused
    assert read(1_200, previous=refused).content == served  # the limit was raised
    (tmp_path / "z").write_text("# abd\n" * 200)
    assert read(1_199, served).content not in (served, read(1_199).content)


def test_file_over_the_limit_says_so_where_the_served_texts_cannot_be_read(tmp_path: Path) -> None:
    def served() -> Iterator[Content]:
        raise PermissionError(13, "Permission denied", "state/good")

    (tmp_path / "z").write_text("# abc\n" * 200)
    limit = SizeLimit(1_199, served)
    found = read_file(str(tmp_path / "z"), "a1/zones/x", FileKind.ZONE_YAML, previous=None, now_ns=2**62, limit=limit)
    assert found.problem
    assert "1,200 octets are over `limits.file_mib`" in found.problem.message


def test_small_file_is_read_with_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    counted = vars(os) | {"read": lambda *of: calls.append(1) or os.read(*of)}
    monkeypatch.setattr(text_file, "os", SimpleNamespace(**counted))
    monkeypatch.setattr(text_file, "BLOCK", 2**20)
    for size in (1, 4_095, 4_096, 70_000):
        (tmp_path / "z").write_bytes(b"x" * size)
        calls.clear()
        assert read_content(tmp_path / "z").size == size
        assert len(calls) == 1


def test_file_that_grows_after_its_status_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "z").write_bytes(b"abc")
    status = os.stat(tmp_path / "z")
    for size in (4, 4_096, 9_000):
        (tmp_path / "z").write_bytes(b"x" * size)
        assert read_content(tmp_path / "z", status=status).size == size


def test_file_that_grows_while_it_is_read_stops_at_the_limit() -> None:
    """The system's own files have no size before they are read."""
    with pytest.raises(TooLargeError, match="the limit is 100"):
        read_content(Path("/proc/self/status"), most=100)


def test_octets_of_an_edited_large_file_are_not_read(tmp_path: Path) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"x" * 200)
    content = read_content(source)
    source.write_bytes(b"y" * 200)
    with pytest.raises(FileChangedError):
        BlockReader(str(source), content)(0)


def test_only_files_of_zones_may_be_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_TEXT_SIZE", 1000)
    (tmp_path / "a").write_text("# abc\n" * 200)
    for kind in FileKind:
        problem = source(tmp_path / "a", kind).problem
        assert (problem is None) == (kind in ZONES)
        assert problem is None or problem.message == "has 1,200 octets; the limit is 1,000"
    monkeypatch.setattr(text_file, "MAX_TEXT_SIZE", 1000)
    with pytest.raises(NotTextError, match="the limit is 1,000"):
        read_text(tmp_path / "a")


def test_line_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a newline would be read into memory as one line."""
    monkeypatch.setattr(text_file, "MAX_LINE", 1000)
    monkeypatch.setattr(text_file, "BLOCK", 300)
    (tmp_path / "a").write_text(f"a\n{'x' * 2000}\n")
    with pytest.raises(NotTextError, match="a line of more than 1,000 octets"):
        read_content(tmp_path / "a")
    (tmp_path / "a").write_text(f"{'x' * 900}\n" * 3)
    assert read_content(tmp_path / "a").size == 2703
