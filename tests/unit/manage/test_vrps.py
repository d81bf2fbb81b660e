"""The file of VRPs: covering entries as a slow reading finds them, wrong entries, and one parse for each change."""

from __future__ import annotations

import json
import os
import random
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from dnsd.manage import vrps
from dnsd.manage.vrps import Vrp, VrpFile


def written(file: Path, *entries: tuple[object, object, object]) -> Path:
    roas = [{"asn": asn, "prefix": prefix, "maxLength": longest} for asn, prefix, longest in entries]
    file.write_text(json.dumps({"roas": roas}))
    return file


def test_covering_vrps_are_those_that_contain_the_network(tmp_path: Path) -> None:
    random.seed(7)
    spaces = [ip_network(text) for text in ("198.51.0.0/16", "2001:db8::/32")]
    listed = []
    for number in range(400):
        space = random.choice(spaces)
        length = random.randint(space.prefixlen, space.prefixlen + 12)
        offset = random.getrandbits(length - space.prefixlen) << space.max_prefixlen - length
        network = ip_network((int(space.network_address) + offset, length))
        listed.append(Vrp(number % 50, network, random.randint(length, space.max_prefixlen)))
    file = written(tmp_path / "vrps.json", *((f"AS{one.asn}", str(one.prefix), one.max_length) for one in listed))
    whole = VrpFile()
    for one in listed:
        slow = {other for other in listed if other.prefix.version == one.prefix.version}
        slow = {other for other in slow if one.prefix.subnet_of(other.prefix)}  # type: ignore[arg-type]
        assert set(whole.covering(file, one.prefix)) == slow
    assert whole.covering(file, ip_network("192.0.2.0/24")) == []
    assert whole.covering(file, ip_network("0.0.0.0/0")) == []


WRONG = {
    "a host's address": ("AS64500", "203.0.113.9/24", 24),
    "no length": ("AS64500", "203.0.113.0", 24),
    "not an address": ("AS64500", "203.0.113/24", 24),
    "a longest route larger than the prefix": ("AS64500", "203.0.113.0/24", 23),
    "a longest route of no address": ("AS64500", "203.0.113.0/24", 33),
    "an ASN of five octets": ("AS4294967296", "203.0.113.0/24", 24),
    "a negative ASN": (-1, "203.0.113.0/24", 24),
    "a word": ("AS64500", "203.0.113.0/24", "long"),
    "nothing": (None, None, None),
}


@pytest.mark.parametrize("entry", WRONG.values(), ids=WRONG)
def test_wrong_entry_is_left_out_and_no_other(tmp_path: Path, entry: tuple[object, object, object]) -> None:
    file = written(tmp_path / "vrps.json", entry, ("AS64501", "203.0.112.0/23", 24))
    cidr = ip_network("203.0.113.0/24")
    assert VrpFile().covering(file, cidr) == [Vrp(64501, ip_network("203.0.112.0/23"), 24)]


def test_file_is_parsed_once_for_each_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    parse = vrps._tables

    def counted(octets: Any) -> Any:
        parsed.append(len(octets))
        return parse(octets)

    monkeypatch.setattr(vrps, "_tables", counted)
    cidr, whole = ip_network("203.0.113.0/24"), VrpFile()
    file = written(tmp_path / "vrps.json", ("AS64500", "203.0.113.0/24", 24))
    assert [whole.covering(file, cidr)[0].asn for _ in range(3)] == [64500] * 3
    assert len(parsed) == 1
    newer = written(tmp_path / "new.json", ("AS64501", "203.0.113.0/24", 24))
    os.replace(newer, file)  # as validators write it
    assert [whole.covering(file, cidr)[0].asn for _ in range(3)] == [64501] * 3
    assert len(parsed) == 2
    file.write_text("damaged")
    for _ in range(3):
        with pytest.raises(ValueError, match="no VRPs"):
            whole.covering(file, cidr)
    assert len(parsed) == 3
    file.unlink()
    with pytest.raises(FileNotFoundError):
        whole.covering(file, cidr)
