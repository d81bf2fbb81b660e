"""The clock of the verification of zones."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from dnsd.control import verifier as module
from dnsd.control.outside import AwayError
from dnsd.control.verifier import FIRST_S, LAST_S, MAX_AT_ONCE, MAX_OF_ACCOUNT, Verifier
from dnsd.log import Log
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.model.dataset import Dataset
from dnsd.model.zones import Zone
from dnsd.net.listen import Address
from dnsd.outbound.protocol import AnswerKind, OutsideAnswer, OutsideQuestion
from dnsd.wire.rdata import NS
from tests.unit.manage.test_verification import OURS, servers
from tests.unit.model.test_claims import ACCOUNTS, dataset, made

SHOP = made("acme", "shop.test", 1)


class World:
    """A verifier with a clock, and resolvers that answer from a table, as soon as they may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *zones: Zone) -> None:
        self.now, self.is_held, self.is_away = 1000.0, False, False
        self.answers: dict[tuple[bytes, int], OutsideAnswer] = {}
        self.asked: list[OutsideQuestion] = []
        self.changes: list[str] = []
        self.current = SimpleNamespace(loaded=SimpleNamespace(dataset=dataset(*zones)))
        settings = SimpleNamespace(resolver=(Address("127.0.0.1", 53),))
        control: Any = SimpleNamespace(
            current=self.current,
            outside=SimpleNamespace(ask=self.ask, is_connected=True),
            setup=SimpleNamespace(settings=settings, log=Log("control")),
        )
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.verifier = Verifier(control, self.change)

    @property
    def dataset(self) -> Dataset:
        found: Dataset = self.current.loaded.dataset
        return found

    async def ask(self, question: OutsideQuestion) -> OutsideAnswer:
        self.asked.append(question)
        if self.is_away:
            raise AwayError
        while self.is_held:
            await asyncio.sleep(0)
        return self.answers.get((question.name, question.rtype), OutsideAnswer(AnswerKind.NO_NAME))

    async def change(self, actor: Any, action: str, verb: Any) -> None:
        assert actor.token.is_operator
        self.changes.append(action)

    async def look(self) -> int:
        """Look, let the checks end, and return their number."""
        before = len(self.asked)
        self.verifier.look(self.dataset, self.now)
        for _ in range(20):
            await asyncio.sleep(0)
        return (len(self.asked) - before) // 2


def test_zone_is_checked_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, SHOP, made("acme", "verified.test", verified=True))

    async def run() -> list[float]:
        gaps: list[float] = []
        at = world.now
        assert await world.look() == 1
        while len(gaps) < 12:
            world.now += FIRST_S / 2
            if await world.look():
                gaps.append(world.now - at)
                at = world.now
        return gaps

    gaps = asyncio.run(run())
    assert gaps[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert gaps[-1] == LAST_S
    assert {one.name for one in world.asked} == {SHOP.name, b"\x11cloudflare-verify" + SHOP.name}
    assert {one.resolvers for one in world.asked} == {(("127.0.0.1", 53),)}


def test_check_is_made_once_the_process_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, SHOP)

    async def run() -> list[int]:
        world.is_away = True
        away = [await world.look(), await world.look()]
        world.is_away = False
        return [*away, await world.look(), await world.look()]

    assert asyncio.run(run()) == [1, 1, 1, 0]


def test_request_during_a_check_is_carried_out_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, SHOP)

    async def run() -> list[int]:
        world.is_held = True
        first = await world.look()
        world.now += 1
        world.verifier.ask(SHOP)
        world.is_held = False
        await world.look()
        return [first, await world.look(), await world.look()]

    assert asyncio.run(run()) == [1, 1, 0]


def test_proven_zone_is_verified_as_by_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, SHOP)
    world.answers[SHOP.name, NS] = servers(OURS)
    assert asyncio.run(world.look()) == 1
    assert world.changes == ["zone.verify"]


def test_request_is_carried_out_soon_but_not_at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, SHOP)

    async def run() -> None:
        assert await world.look() == 1
        world.verifier.ask(SHOP)
        assert await world.look() == 1
        with pytest.raises(RefusedError) as refusal:
            world.verifier.ask(SHOP)
        assert refusal.value.faults[0].reason is Reason.TOO_SOON
        world.now += module.ASKED_AGAIN_S
        world.verifier.ask(SHOP)
        world.verifier.ask(made("acme", "verified.test", verified=True))  # nothing to do

    asyncio.run(run())


def test_one_account_does_not_take_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    many = [made("globex", f"z{number}.test", 1) for number in range(100)]
    world = World(monkeypatch, *many, SHOP)
    world.is_held = True

    async def run() -> None:
        assert await world.look() == MAX_OF_ACCOUNT + 1
        assert SHOP.name in {one.name for one in world.asked}
        assert await world.look() == 0
        world.is_held = False
        await world.look()
        assert await world.look() == MAX_OF_ACCOUNT

    assert len(ACCOUNTS) * MAX_OF_ACCOUNT < MAX_AT_ONCE
    asyncio.run(run())


def test_deleted_zone_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, SHOP)

    async def run() -> None:
        world.is_held = True
        world.answers[SHOP.name, NS] = servers(OURS)
        assert await world.look() == 1
        world.current.loaded = SimpleNamespace(dataset=dataset())
        world.is_held = False
        assert await world.look() == 0
        assert world.verifier._zones == {}

    asyncio.run(run())
    assert world.changes == []
