"""The settings that nodes of a fleet share: checked as dnsd.yaml is, and in force over a node's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from dnsd.errors import InvalidDataError
from dnsd.settings.file import SettingsFile, load_settings
from dnsd.settings.server import Settings
from dnsd.settings.shared import (
    MAX_SHARED,
    SHARED,
    changed_keys,
    kept_shared,
    parse_shared,
    shared_file,
    shared_part,
)
from dnsd.source import SettingsReader, read_source

POOL = "default_addresses: [198.51.100.1]\n"
EDGE = "role: edge\nfleet: {servers: ['tls://192.0.2.1']}\n"
ALL = f"""{POOL}missing_family: fallback
nameservers: [ns1.example.net]
on_error: refuse
reload: {{max_drop_percent: 7, brake: off, window: 5m}}
advertisement: {{max_age_s: 60}}
limits: {{file_mib: 2, rrset_records: 9, rrset_octets: 900}}
quotas: {{zones: 5}}
audit: required
audit_days: 3
"""
WRONG = {  # after the pool: line and column, message
    "a node's key": ("listen: 127.0.0.1\n", "2:1: listen: is a setting of each node"),
    "a node's section": ("api: {listen: 127.0.0.1}\n", "2:1: api: is a setting of each node"),
    "a node's key in a shared section": ("limits: {memory_mib: 100}\n", "2:10: limits.memory_mib: is a setting of"),
    "an unknown key": ("missing_famly: x\n", "2:1: missing_famly: unknown key; did you mean 'missing_family'?"),
    "a later key in a section": ("reload: {later: 1}\n", "2:10: reload.later: unknown key"),
    "a value out of range": ("reload: {max_drop_percent: 101}\n", "2:10: reload.max_drop_percent: "),
    "no YAML": ("[\n", "3:1: "),
}


def given(folder: Path, own: str, shared: str) -> SettingsFile:
    (folder / "dnsd.yaml").write_text(own)
    return load_settings(folder / "dnsd.yaml", {}, shared=parse_shared(shared))


def test_all_shared_keys_are_in_force(tmp_path: Path) -> None:
    settings, alone = given(tmp_path, EDGE, ALL).settings, Settings.model_validate(yaml.safe_load(POOL + EDGE))
    changed = {key for key, _, _ in changed_keys(alone, settings)}
    assert changed == {".".join(map(str, path)) for path in SHARED} - {"default_addresses"}
    assert (settings.quotas.zones, settings.limits.rrset_octets, settings.reload.brake_limits) == (5, 900, None)
    assert settings.reload.watch
    assert str(settings.role) == "edge"


def test_a_key_that_the_fleet_lacks_has_its_default(tmp_path: Path) -> None:
    found = given(tmp_path, f"{EDGE}missing_family: fallback\nreload: {{window: 1h, watch: false}}\n", POOL)
    assert (str(found.settings.missing_family), found.settings.reload.window) == ("nodata", "10m")
    assert not found.settings.reload.watch
    assert [str(one).removeprefix(f"{tmp_path}/") for one in found.warnings] == [
        "dnsd.yaml:3:1: missing_family: differs from the fleet's settings, which are in force: remove it here",
        "dnsd.yaml:4:10: reload.window: differs from the fleet's settings, which are in force: remove it here",
    ]
    assert all(one.warning for one in found.warnings)


def test_an_own_value_of_the_same_meaning_is_no_difference(tmp_path: Path) -> None:
    own = EDGE + ALL.replace("off", "{accounts_percent: 100}").replace("[ns1.example.net]", "ns1.example.net.")
    assert given(tmp_path, own, ALL).warnings == ()
    assert given(tmp_path, f"{EDGE}missing_family: nodata\n{POOL}", POOL).warnings == ()
    wrong = given(tmp_path, f"{EDGE}missing_family: nonsense\n", POOL)  # it has no effect
    assert [one.path for one in wrong.warnings] == [("missing_family",)]


def test_the_environment_does_not_win_over_the_fleet(tmp_path: Path) -> None:
    (tmp_path / "dnsd.yaml").write_text(EDGE)
    found = load_settings(tmp_path / "dnsd.yaml", {"DNSD_DEFAULT_ADDRESSES": "203.0.113.1"}, shared=parse_shared(POOL))
    assert [*map(str, found.settings.default_addresses)] == ["198.51.100.1"]
    assert [one.source for one in found.warnings] == ["$DNSD_DEFAULT_ADDRESSES"]


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG.keys())
def test_they_are_checked_like_the_file_of_a_node(text: str, said: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        parse_shared(POOL + text, "settings.yaml")
    assert any(str(one).startswith(f"settings.yaml:{said}") for one in caught.value.problems), caught.value.problems


def test_a_pool_is_required_somewhere(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="default_addresses: is missing"):
        parse_shared("missing_family: nodata\n")
    (tmp_path / "dnsd.yaml").write_text(EDGE)
    (tmp_path / "accounts").mkdir()
    assert load_settings(tmp_path / "dnsd.yaml", {}).settings.default_addresses == ()  # it may come
    found = read_source(tmp_path / "dnsd.yaml", {}).settings
    assert isinstance(found, InvalidDataError)
    assert "default_addresses: is missing here, and in the fleet's settings" in str(found.problems[0])
    assert isinstance(read_source(tmp_path / "dnsd.yaml", {}, shared=shared_file(POOL.encode())).settings, SettingsFile)


def test_a_change_is_seen_like_one_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "dnsd.yaml").write_text(EDGE)
    (tmp_path / "accounts").mkdir()
    first = read_source(tmp_path / "dnsd.yaml", {}, shared=shared_file(POOL.encode()))
    second = read_source(tmp_path / "dnsd.yaml", {}, previous=first, shared=shared_file(ALL.encode()))
    assert first != second
    assert isinstance(second.settings, SettingsFile)
    assert second.settings.settings.quotas.zones == 5
    assert read_source(tmp_path / "dnsd.yaml", {}, previous=second, shared=shared_file(ALL.encode())) == second
    reader = SettingsReader(tmp_path / "dnsd.yaml", {}, known=second)
    assert reader.source(second.seen).settings is second.settings


def test_what_is_kept_is_used_only_if_it_is_good(tmp_path: Path) -> None:
    kept = tmp_path / "kept.yaml"
    assert kept_shared(kept) is None
    for octets in (b"\xff", b"later: 1\n", os.urandom(8), b"#" * (MAX_SHARED + 1)):
        kept.write_bytes(octets)
        assert kept_shared(kept) is None
    kept.write_bytes("\ufeffdefault_addresses: [198.51.100.1]\r\n".encode())
    found = kept_shared(kept)
    assert found
    assert b"".join(map(found.block_reader(), range(len(found.content.blocks)))) == kept.read_bytes()


def test_the_shared_part_of_a_file() -> None:
    own = yaml.safe_load(ALL) | {"listen": "127.0.0.1", "fleet": {}}
    own["reload"]["watch"] = False
    assert shared_part(own) == yaml.safe_load(ALL)
    assert shared_part(None) == {}
