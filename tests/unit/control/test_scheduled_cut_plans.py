"""Pending changes whose plans lacked names below DNAMEs, when they were scheduled or when they are due."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from dnsd.compile import effects
from dnsd.manage.plan import LEFT_OUT
from dnsd.manage.state_names import PENDING
from tests.unit.control.scheduling import FILES, WWW, Scheduling

ALL, FEW = 10_000, 30  # questions for names below the DNAMEs of an account
BELOW = "".join(f"- {{name: n{number}.sub, type: A, content: 192.0.2.1}}\n" for number in range(50))
LEADING = "records:\n" + "".join(f"- {{name: d{number}, type: DNAME, content: {{}}}}\n" for number in range(5))
SUB, WHOLE = (LEADING.replace("{}", target) for target in ("sub.cake.example", "cake.example"))
SHOP_FILE, TOO_MANY = "acme/maps/shop.yaml", "too many names lie below DNAMEs by now"
WITH_NAMES = FILES | {"acme/zones/cake.example.yaml": WWW + BELOW}
TO_NAMES, TO_ALL = {"acme/zones/a.example.yaml": SUB}, {"acme/zones/b.example.yaml": WHOLE}
OF_OTHERS = {"globex/zones/a.example.yaml": SUB}


# Zones at first, those added since, questions allowed when scheduled and when due, what the plan said, why it stops.
CASES: dict[str, tuple[Mapping[str, str], Mapping[str, str], int, int, bool, str]] = {
    "whole twice": (TO_NAMES | TO_ALL, {}, ALL, ALL, False, ""),
    "cut, then whole": (TO_NAMES | TO_ALL, {}, FEW, ALL, True, ""),
    "cut twice": (TO_NAMES | TO_ALL, {}, FEW, FEW, True, ""),
    "whole, then cut": (TO_ALL, TO_NAMES, ALL, FEW, False, TOO_MANY),
    "cut by another account": (TO_ALL, OF_OTHERS, ALL, FEW, False, ""),
    "a zone led there since": ({}, TO_ALL, ALL, ALL, False, "zones that were not shown: b.example"),
}


@pytest.mark.parametrize("what", CASES)
def test_plan_is_compared_with_what_could_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    zones, added, first, then, is_cut, why = CASES[what]
    world = Scheduling(tmp_path, WITH_NAMES | zones)
    monkeypatch.setattr(effects, "MAX_QUESTIONS", first)
    change = world.schedule("map.add_ip", ip="203.0.113.7")
    assert (LEFT_OUT in change.plan["warnings"]) == is_cut
    for name, text in added.items():
        world.write(name, text)
    monkeypatch.setattr(effects, "MAX_QUESTIONS", then)
    world.look(hours=1)
    assert ("203.0.113.7" in world.read(SHOP_FILE)) == (not why), [one.stopped for one in world.pending()]
    assert all(why in one.stopped for one in world.pending())


def test_new_member_stops_a_change_also_if_its_plan_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "MAX_QUESTIONS", FEW)
    world = Scheduling(tmp_path, WITH_NAMES | TO_NAMES)
    world.write(SHOP_FILE, FILES[SHOP_FILE].replace("zone, identifier: cake.example", "account, identifier: acme"))
    change = world.schedule("map.disable", enabled=False)
    assert LEFT_OUT in change.plan["warnings"]
    world.write("acme/zones/tart.example.yaml", WWW)
    world.look(hours=1)
    assert [one.stopped for one in world.pending()] == ["its plan now touches zones that were not shown: tart.example"]


def test_plan_cut_by_the_release_before_is_known_by_its_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files of pending changes do not say `is_cut`."""
    monkeypatch.setattr(effects, "MAX_QUESTIONS", FEW)
    world = Scheduling(tmp_path, WITH_NAMES | TO_NAMES | TO_ALL)
    change = world.schedule("map.add_ip", ip="203.0.113.7")
    file = world.state / PENDING / f"{change.id}.json"
    data = json.loads(file.read_text())
    del data["is_cut"]
    file.write_text(json.dumps(data))
    monkeypatch.setattr(effects, "MAX_QUESTIONS", ALL)
    world.look(hours=1)
    assert "203.0.113.7" in world.read(SHOP_FILE), [one.stopped for one in world.pending()]
