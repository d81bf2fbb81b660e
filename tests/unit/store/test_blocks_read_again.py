"""An edit of a large master file, over the API or in the file, has only the blocks that changed read again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dnsd.app import Loaded, load, load_change
from dnsd.errors import InvalidDataError
from dnsd.manage.draft import Draft
from dnsd.manage.record_ids import record_id
from dnsd.manage.records import Batch, change_records
from dnsd.model.records import RecordFields, build_record
from dnsd.model.zones import Zone
from dnsd.source import read_source
from dnsd.store.text_file import BlockReader

NAMES = 12_000  # 4 blocks
KEY = "bay/zones/harbour.example"
FILE = f"accounts/{KEY}.zone"
TEXT = "@ 60 SOA ns1 host 7 2 3 4 5\n@ 60 NS ns1\n" + "".join(
    f"pier{number} 60 A 198.51.{number // 256}.{number % 256}\n" for number in range(NAMES)
)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_text(TEXT)
    (tmp_path / "dnsd.yaml").write_text(
        "data: accounts\ndefault_addresses: [192.0.2.1]\nnameservers: [ns1.example.net.]\n"
    )
    return load(tmp_path / "dnsd.yaml", {})


@pytest.fixture
def read(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of blocks whose text is read."""
    found: list[int] = []
    text_of = BlockReader.text_of

    def noted(reader: BlockReader, start: int, stop: int) -> tuple[str, int]:
        found.extend(range(start, stop))
        return text_of(reader, start, stop)

    monkeypatch.setattr(BlockReader, "text_of", noted)
    return found


def zone_of(loaded: Loaded) -> Zone:
    return next(iter(loaded.dataset.zones.values()))


def test_change_over_the_api_reads_the_blocks_of_the_serial_and_of_the_record(loaded: Loaded, read: list[int]) -> None:
    blocks = len(loaded.files.by_key()[KEY].content.blocks)
    assert blocks >= 3
    for turn in range(3):
        zone = zone_of(loaded)
        place = zone.records.owners.index(b"\5pier2" + zone.name)
        fields = RecordFields(name="pier2", type="A", content=f"203.0.113.{turn}", ttl=60)
        draft = Draft(loaded, datetime.now(UTC), by_operator=True)
        ids, built = record_id(zone, place), build_record(fields, zone.name)
        change_records(draft, zone.id, Batch(patches=[(ids, lambda _, built=built: built)]))
        assert 1 <= len(read) <= 2 < blocks
        read.clear()
        loaded = draft.load()
        assert not read, "the text that was read for the edit is not read again"
        assert zone_of(loaded).records[place].content == f"203.0.113.{turn}"
        assert len(zone_of(loaded).records) == NAMES + 2


def test_change_of_a_line_in_the_file_reads_its_block(tmp_path: Path, loaded: Loaded, read: list[int]) -> None:
    text = TEXT.replace("pier11999 60 A 198.51.46.223", "pier11999 60 A 203.0.113.9")
    assert text != TEXT
    (tmp_path / FILE).write_text(text)
    source = read_source(tmp_path / "dnsd.yaml", {}, previous=loaded.source)
    assert source.files
    changed = load_change(loaded, source.files, datetime.now(UTC))
    assert len(read) == 1
    assert zone_of(changed).records[-1].content == "203.0.113.9"
    (tmp_path / FILE).write_text(text + "pier2 60 A 203.0.113\n")
    source = read_source(tmp_path / "dnsd.yaml", {}, previous=source)
    read.clear()
    assert source.files
    with pytest.raises(InvalidDataError) as caught:
        load_change(changed, source.files, datetime.now(UTC))
    assert len(read) == 1
    (problem,) = (one for one in caught.value.problems if not one.warning)
    assert problem.place
    assert (problem.place.line, problem.place.column) == (NAMES + 3, 12)
