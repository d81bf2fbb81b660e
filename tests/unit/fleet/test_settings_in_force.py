"""A node uses the fleet's last good settings, also after a restart, and says what it cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnsd.fleet.level import NEWEST_LEVEL, LevelError, NodeLevel, level_of, older_nodes, raised
from dnsd.fleet.settings_in_force import SettingsInForce, octets_of_settings, settings_of, settings_value

GOOD = "\ufeffdefault_addresses: [198.51.100.1]\r\n# kept as it is\n".encode()
META = b'{"epoch":"e","schema":1,"level":1}'
BAD = {
    "a later key": (settings_value(GOOD + b"later_key: 1\n", 5), "later_key: unknown key"),
    "a later form": (b'{"v":2}\n' + GOOD, "the value has version 2; this version of dnsd reads 1: upgrade this node"),
    "not UTF-8": (settings_value(b"\xff", 5), "not UTF-8"),
    "damaged": (b"xx", "compressed octets"),
}


def octets(state: SettingsInForce) -> bytes | None:
    return octets_of_settings(state.settings) if state.settings else None


def test_each_octet_travels() -> None:
    found = settings_of(settings_value(GOOD, 5))
    assert (octets_of_settings(found), found.modified) == (GOOD, 5)


@pytest.mark.parametrize(("value", "said"), BAD.values(), ids=BAD.keys())
def test_the_last_good_settings_stay_in_force(tmp_path: Path, value: bytes, said: str) -> None:
    state = SettingsInForce(tmp_path / "kept")
    state.take(settings_value(GOOD, 5), META)
    assert (octets(state), state.problems()) == (GOOD, [])
    for now in (state, SettingsInForce(tmp_path / "kept")):  # and those of the next process
        now.take(value, META)
        (problem,) = now.problems()
        assert "the last good ones stay in force" in problem
        assert said in problem
        assert (octets(now), now.is_unusable) == (GOOD, False)
    now.take(settings_value(b"default_addresses: [198.51.100.2]\n", 7), META)
    assert (octets(now), now.problems()) == (b"default_addresses: [198.51.100.2]\n", [])


@pytest.mark.parametrize(("value", "said"), BAD.values(), ids=BAD.keys())
def test_a_new_node_does_not_serve_by_other_settings(tmp_path: Path, value: bytes, said: str) -> None:
    state = SettingsInForce(tmp_path / "kept")
    state.take(value, META)
    assert state.is_unusable
    assert "nothing is served" in state.problems()[0]
    assert said in state.problems()[0]


def test_without_settings_in_the_fleet_none_are_kept(tmp_path: Path) -> None:
    state = SettingsInForce(tmp_path / "kept")
    state.take(settings_value(GOOD, 5), META)
    assert (tmp_path / "kept").read_bytes() == GOOD
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o600
    state.take(None, META)
    assert (octets(state), state.is_unusable, state.problems()) == (None, False, [])
    assert not (tmp_path / "kept").exists()


def test_settings_that_cannot_be_kept_are_in_force(tmp_path: Path) -> None:
    state = SettingsInForce(tmp_path / "none" / "kept")
    state.take(settings_value(GOOD, 5), META)
    assert octets(state) == GOOD
    assert "cannot be kept for the next start" in state.problems()[0]


def test_a_later_level_is_said(tmp_path: Path) -> None:
    state = SettingsInForce(tmp_path / "kept")
    state.take(None, b'{"epoch":"e","level":%d}' % (NEWEST_LEVEL + 1))
    assert state.problems() == [state.level_problem]
    assert f"the fleet has level {NEWEST_LEVEL + 1}" in state.level_problem
    state.take(None, META)
    assert state.problems() == []


LEVELS = [(META, 1), (b'{"level":2}', 2), (b"{}", 1), (b'{"level":"x"}', 1), (b"?", 1), (None, 1), (b'{"level":0}', 1)]


@pytest.mark.parametrize(("content", "level"), LEVELS)
def test_the_level_in_an_object(content: bytes | None, level: int) -> None:
    assert level_of(content) == level


def test_a_level_goes_up_alone() -> None:
    assert level_of(raised(META, 2)) == 2
    assert b'"epoch": "e"' in raised(META, 2)
    with pytest.raises(LevelError, match="does not go back"):
        raised(b'{"level":2}', 1)
    with pytest.raises(LevelError, match="upgrade this control first"):
        raised(META, NEWEST_LEVEL + 1)


def test_older_nodes_are_named() -> None:
    nodes = [NodeLevel("c", 2), NodeLevel("b"), NodeLevel("a", 1)]
    assert older_nodes(nodes, 2) == ["a reads level 1 at most", "b tells nothing"]
    assert older_nodes(nodes[:1], 2) == []
