"""Clashing objects are reported as problems, without further errors."""

from __future__ import annotations

import pathlib

import pytest

from dnsd.app import load
from dnsd.errors import InvalidDataError

SETTINGS = "default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n"
B, C = "b" * 32, "c" * 32

CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "one name, two ids, a map of each": (
        {
            "a/zones/example.com.yaml": f"id: {C}\n",
            "b/zones/example.com.yaml": f"id: {B}\n",
            "a/maps/m.yaml": "memberships: [{kind: zone, identifier: example.com}]",
            "b/maps/m.yaml": f"memberships: [{{kind: zone, identifier: {B}}}]",
        },
        ["b/zones/example.com.yaml:1:1: name: the zone example.com is already served from a/zones/example.com"],
    ),
    "one id, two names": (
        {"a/zones/example.com.yaml": f"id: {C}\n", "b/zones/example.org.yaml": f"id: {C}\n"},
        ["b/zones/example.org.yaml:1:1: id: a/zones/example.com has the same id"],
    ),
    "one name in two files of one account": (
        {"a/zones/example.com.yaml": "{}", "a/zones/other.yaml": "name: EXAMPLE.com\n"},
        ["a/zones/other.yaml:1:1: name: the zone example.com is already served from a/zones/example.com"],
    ),
    "two impossible names": (
        {"a/zones/x..y.yaml": "{}", "a/zones/z..y.yaml": "{}"},
        [
            "a/zones/x..y.yaml:1:1: the zone's name: 'x..y' has an empty label: two dots in a row",
            "a/zones/z..y.yaml:1:1: the zone's name: 'z..y' has an empty label: two dots in a row",
        ],
    ),
}


@pytest.mark.parametrize(("files", "said"), CASES.values(), ids=CASES.keys())
def test_clash(tmp_path: pathlib.Path, files: dict[str, str], said: list[str]) -> None:
    for name, text in {"../dnsd.yaml": SETTINGS, **files}.items():
        path = tmp_path / "accounts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with pytest.raises(InvalidDataError) as caught:
        load(tmp_path / "dnsd.yaml", {})
    errors = [str(problem) for problem in caught.value.problems if not problem.warning]
    assert [error.removeprefix(f"{tmp_path}/accounts/") for error in errors] == said
