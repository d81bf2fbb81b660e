"""Plans about DNAMEs that lead to each other: as names below them have no end, the work has, and others wait little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from dnsd.api.plans import plan_shape
from dnsd.api.turns import planned_in_turns
from dnsd.app import load
from dnsd.compile import effects
from dnsd.compile.effects import Effects
from dnsd.engine.node import Node
from dnsd.manage.plan import LEFT_OUT, Plan, plan_of
from dnsd.manage.service import Actor
from dnsd.model.record_parts import Steps, finished
from dnsd.process import turns
from tests.unit.manage.test_plan import FILES, HERE, OFF, SHOP, account_id, planned, write


def looping_dnames(folder: Path) -> Steps[Plan]:
    """The plan of two new zones whose DNAMEs lead to each other, below them many names."""
    there = "".join(f"- {{name: d{number}.t, type: DNAME, content: one.test}}\n" for number in range(100))
    there += "".join(f"- {{name: n{number}.t, type: A, content: 192.0.2.1}}\n" for number in range(100))
    here = "".join(f"- {{name: d{number}, type: DNAME, content: t.two.test}}\n" for number in range(100))
    zones = {"ada/zones/one.test.yaml": f"records:\n{here}", "ada/zones/two.test.yaml": f"records:\n{there}"}
    write(folder, FILES)
    before = load(folder / "dnsd.yaml", {})
    write(folder, FILES | zones)
    return plan_of(before, load(folder / "dnsd.yaml", {}, previous=before), account_id(before, "ada"))


def taken_in(steps: Steps[Plan], after_each: Callable[[], object] = int) -> tuple[int, Plan]:
    """The number of steps of a plan, and the plan."""
    taken = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return taken, end.value
        taken += 1
        after_each()


@pytest.mark.slow
def test_plan_of_looping_dnames_is_bounded_takes_short_steps_and_says_that_names_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, compared = [0], Effects._of_nodes

    def counted(self: Effects, name: bytes, old: Node, new: Node) -> object:
        asked[-1] += 1
        return compared(self, name, old, new)

    monkeypatch.setattr(Effects, "_of_nodes", counted)
    _, plan = taken_in(looping_dnames(tmp_path), partial(asked.append, 0))
    assert effects.MAX_QUESTIONS <= sum(asked) <= effects.MAX_QUESTIONS + 1_000
    assert effects.MAX_QUESTIONS <= 5_000, "at 0.2 ms each"
    assert max(asked) <= effects.STEP
    assert plan_shape(plan)["warnings"] == [LEFT_OUT]
    assert plan_shape(planned(tmp_path, FILES, FILES | {"ada/maps/shop.yaml": OFF}))["warnings"] == []


def test_candidates_for_names_below_dnames_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "MAX_EXAMINED", 3_000)
    monkeypatch.setattr(effects, "MAX_QUESTIONS", 10**9)
    taken, plan = taken_in(looping_dnames(tmp_path))
    assert plan.is_cut
    assert taken < 3 * effects.MAX_EXAMINED


def test_plan_of_another_author_waits_for_turns_not_for_a_long_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 0.0)

    def actor(author: str) -> Actor:
        return cast(Actor, SimpleNamespace(token=SimpleNamespace(author=SimpleNamespace(id=author)), presence=None))

    async def both() -> None:
        long = asyncio.create_task(planned_in_turns(actor("hostile"), looping_dnames(tmp_path)))
        await asyncio.sleep(0)
        small = FILES | {"ada/maps/shop.yaml": OFF}
        write(tmp_path / "other", FILES)
        before = load(tmp_path / "other/dnsd.yaml", {})
        write(tmp_path / "other", small)
        after = load(tmp_path / "other/dnsd.yaml", {}, previous=before)
        plan = await planned_in_turns(actor("other"), plan_of(before, after, account_id(before, "ada")))
        assert plan.names_total
        assert not long.done()
        long.cancel()

    asyncio.run(both())


def test_dnames_of_another_account_cut_no_name_out_of_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "MAX_QUESTIONS", 300)
    below = "".join(f"- {{name: n{number}.sub, type: A, content: 192.0.2.1}}\n" for number in range(100))
    own = "records:\n- {name: below, type: DNAME, content: shop.test}\n- {name: x, type: A, content: 192.0.2.9}\n"
    shop = "records:\n- {name: www, type: A, content: 192.0.2.1, proxied: true}\n" + below
    files = {"ada/account.yaml": "name: Hostile\n", "zed/account.yaml": HERE, "zed/maps/shop.yaml": SHOP}
    files |= {"zed/zones/shop.test.yaml": shop, "zed/zones/own.test.yaml": own}
    many = "".join(f"- {{name: d{number}, type: DNAME, content: sub.shop.test}}\n" for number in range(20))

    def zones(folder: Path, others: dict[str, str]) -> list[str]:
        write(folder, files | others)
        before = load(folder / "dnsd.yaml", {})
        write(folder, files | others | {"zed/maps/shop.yaml": OFF})
        after = load(folder / "dnsd.yaml", {}, previous=before)
        plan = finished(plan_of(before, after, account_id(before, "zed")))
        return sorted(one.zone.name_text for one in plan.zones)

    alone = zones(tmp_path / "alone", {})
    assert "own.test" in alone
    assert zones(tmp_path / "beside", {"ada/zones/evil.test.yaml": f"records:\n{many}"}) == alone
