"""Record data that cannot be read back is refused at its line, in files, edits and requests; other data is accepted.

In the texts, → marks the place of the reported problem; it is removed before the text is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dnsd.api.records.read import RecordBodyError, built_record
from dnsd.app import load
from dnsd.errors import InvalidDataError
from dnsd.manage.refusal import Reason
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import canonical_rdata, rdata_text
from tests.unit.store.test_broken_files import VALID, marked, write

EXAMPLE = parse_name_text("example.com")
MASTER, YAML = "accounts/a1/zones/example.net.zone", "accounts/a1/zones/example.com.yaml"

# Type, data and part of the message
UNREADABLE: dict[str, tuple[str, str, str]] = {
    "a latitude over 90 degrees": ("LOC", "90 30 0 N 0 0 0 E 0m", "over 90 degrees"),
    "a latitude slightly over 90 degrees": ("LOC", "90 0 0.001 S 0 0 0 E 0m", "over 90 degrees"),
    "a longitude over 180 degrees": ("LOC", "52 22 0 N 180 59 59.999 W 0m", "over 180 degrees"),
    "a LOC of octets": ("LOC", r"\# 16 00121613ffffffff8000000000989680", "bad latitude"),
    "a LOC whose size is a second zero": ("LOC", r"\# 16 00051613800000008000000000989680", "non-canonical"),
    "a LOC too high": ("LOC", "1 N 1 E 42849672.96m", "not valid LOC data"),
    "a LOC with NaN": ("LOC", "1 N 1 E nanm", "not valid LOC data"),
    "an endless LOC": ("LOC", "1 N 1 E 1e999m", "not valid LOC data"),
    "a HIP without a HIT": ("HIP", '2 "" AwEAAbdx', "not valid HIP data"),
    "a HIP without a key": ("HIP", '2 200100107b1a74df "" rvs.example.com.', "not valid HIP data"),
    "a HIP of octets without a HIT": ("HIP", r"\# 7 00020003010203", "not valid HIP data"),
    "a TLSA without a certificate": ("TLSA", r"\# 3 0301ff", "cannot be read back"),
    "a DS without a digest": ("DS", r"\# 4 89eb08ee", "cannot be read back"),
    "an OPENPGPKEY without a key": ("OPENPGPKEY", r"\# 0", "cannot be read back"),
    "a WKS with surplus octets": ("WKS", r"\# 12 c00002010600000040000000", "different data"),
    "an NSEC of the type 0": ("NSEC", r"\# 20 016e076578616d706c65036e65740000000180", "not valid NSEC data"),
}

# Type, data and printed form
READABLE: dict[str, tuple[str, str, str]] = {
    "a LOC": ("LOC", "52 0 0 N 4 0 0 E 0m", "52 0 0.000 N 4 0 0.000 E 0.00m"),
    "a LOC at a pole": ("LOC", "90 0 0 N 180 0 0 E 0m", "90 0 0.000 N 180 0 0.000 E 0.00m"),
    "a LOC of degrees alone": ("LOC", "90 S 180 W -100000m", "90 0 0.000 S 180 0 0.000 W -100000.00m"),
    "centimetres without a binary fraction": ("LOC", "1 N 1 E 1.13m", "1 0 0.000 N 1 0 0.000 E 1.13m"),
    "other centimetres": ("LOC", "1 N 1 E 0.57m 0.29m 0.57m", "1 0 0.000 N 1 0 0.000 E 0.57m 0.20m 0.50m 10.00m"),
    "the highest LOC": ("LOC", "1 N 1 E 42849672.95m", "1 0 0.000 N 1 0 0.000 E 42849672.95m"),
    "a HIP": ("HIP", "2 200100107b1a74df AwEA", "2 200100107b1a74df AwEA"),
    "a KEY without a key": ("KEY", r"\# 4 c0000308", "49152 3 8 "),
    "an empty APL": ("APL", r"\# 0", ""),
}


def problem(root: Path, files: dict[str, str | bytes]) -> tuple[str, str]:
    """Place and message of the only problem with files."""
    write(root, VALID | files)
    with pytest.raises(InvalidDataError) as caught:
        load(root / "dnsd.yaml", {})
    (found,) = [one for one in caught.value.problems if not one.warning]
    assert found.place
    return str(found.place).removeprefix(f"{root}/"), found.message


@pytest.mark.parametrize(("rtype", "data", "message"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_is_refused_in_a_master_file(tmp_path: Path, rtype: str, data: str, message: str) -> None:
    text = f"$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\nl {rtype} A→{data}\n".replace("A→", "→")
    place, said = problem(tmp_path, {MASTER: text})
    assert (place, message in said) == (f"{MASTER}:{next(marked(text))}", True), said


@pytest.mark.parametrize(("rtype", "data", "message"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_is_refused_in_yaml(tmp_path: Path, rtype: str, data: str, message: str) -> None:
    text = f"records:\n- {{name: l, type: {rtype}, →content: '{data}'}}\n- {{name: b, type: A, content: 192.0.2.1}}\n"
    place, said = problem(tmp_path, {YAML: text})
    assert (place, message in said) == (f"{YAML}:{next(marked(text))}", True), said


@pytest.mark.parametrize(("rtype", "data", "message"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_is_refused_over_the_api(rtype: str, data: str, message: str) -> None:
    with pytest.raises(RecordBodyError) as caught:
        built_record({"type": rtype, "name": "l", "content": data}, EXAMPLE)
    ((reason, said, path),) = [(fault.reason, fault.message, fault.path) for fault in caught.value.faults]
    assert (reason, message in said, path) == (Reason.BAD_CONTENT, True, ("content",)), said


def test_a_second_record_at_the_name_changes_nothing(tmp_path: Path) -> None:
    """Comparing the records of a name parses their data again."""
    text = "$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nl LOC 52 0 0 N 4 0 0 E 0m\nl LOC →90 30 0 N 0 0 0 E 0m\n"
    assert problem(tmp_path, {MASTER: text})[0] == f"{MASTER}:5:7"


@pytest.mark.parametrize(("rtype", "data", "printed"), READABLE.values(), ids=READABLE.keys())
def test_other_data_is_loaded(tmp_path: Path, rtype: str, data: str, printed: str) -> None:
    text = f"$TTL 300\n@ SOA ns1 host 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\nl {rtype} {data}\n"
    write(tmp_path, VALID | {MASTER: text})
    loaded = load(tmp_path / "dnsd.yaml", {})
    (zone,) = [zone for zone in loaded.dataset.zones.values() if zone.name_text == "example.net"]
    (record,) = zone.records.at(parse_name_text("l.example.net"))
    body: dict[str, Any] = {"type": rtype, "name": "l", "content": record.content or data}
    assert rdata_text(record.rtype, record.rdata) == printed
    assert built_record(body, EXAMPLE).rdata == record.rdata
    assert canonical_rdata(record.rtype, record.rdata) == record.rdata
