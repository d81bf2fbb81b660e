"""Errors in the SOA and NS records that the server adds at an apex are problems with a place, not crashes."""

from __future__ import annotations

import pathlib

import pytest

from dnsd.app import load
from dnsd.errors import InvalidDataError
from tests.worlds import AccountFiles, Fields, World, write_world

NS = {"name": "@", "type": "NS", "content": "ns1.example.net"}


def config(folder: pathlib.Path, name: str, zone: Fields | str) -> pathlib.Path:
    world = World({"default_addresses": ["198.51.100.10"]}, {"a1": AccountFiles(zones={name: zone})})
    return write_world(world, folder)


@pytest.mark.parametrize(
    ("name", "zone"),
    [("example.com.yaml", {"records": [NS]}), ("example.com.zone", "@ 60 IN NS ns1.example.net.\n")],
)
def test_soa_is_generated_from_the_zone_s_own_nameservers(
    tmp_path: pathlib.Path, name: str, zone: Fields | str
) -> None:
    loaded = load(config(tmp_path, name, zone), {})
    [built] = loaded.dataset.zones.values()
    assert sorted(record.rtype for record in built.records) == [2, 6]


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ({"nameservers": [f"ns{n}.example.net" for n in range(101)], "records": []}, "the limit is 100"),
        ({"name": "*.example.com", "nameservers": ["ns1.example.net"], "records": []}, "a wildcard cannot own NS"),
    ],
    ids=["101 nameservers", "a wildcard's zone"],
)
def test_problem_with_a_generated_record_has_a_place(tmp_path: pathlib.Path, zone: Fields, said: str) -> None:
    with pytest.raises(InvalidDataError, match=said) as caught:
        load(config(tmp_path, "example.com.yaml", zone), {})
    assert all(problem.place is not None for problem in caught.value.problems)
