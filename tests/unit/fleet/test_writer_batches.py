"""How a commit is divided into batches, and how long the writer waits for one; no servers."""

from __future__ import annotations

import asyncio
import os

import pytest

from dnsd.fleet import writer as writer_module
from dnsd.fleet.heads import AccountState
from dnsd.fleet.link import EngineRefusedError, FleetReply
from dnsd.fleet.subjects import account_of_subject, head_subject
from dnsd.fleet.writer import MAX_BATCH, MAX_OCTETS, NO_MESSAGE, Commit, ObjectWrite, Writer


class Servers:
    """Servers that store each batch that comes in time, over a link of a bounded speed."""

    def __init__(self, octets_per_s: float = 0) -> None:
        self.batches: list[list[str]] = []
        self.octets: list[int] = []
        self._batch: list[tuple[str, int]] = []
        self._octets_per_s = octets_per_s

    async def publish(self, subject: str, payload: bytes, *, headers: dict[str, str], within_s: float) -> None:
        if headers["Nats-Batch-Sequence"] == "1":
            self._batch = []
        self._batch.append((subject, len(payload)))
        if self._octets_per_s:
            await asyncio.sleep(len(payload) / self._octets_per_s)

    async def request(self, subject: str, payload: bytes, *, headers: dict[str, str], within_s: float) -> FleetReply:
        await self.publish(subject, payload, headers=headers, within_s=within_s)
        self.batches.append([subject for subject, _ in self._batch])
        self.octets.append(sum(size for _, size in self._batch))
        return FleetReply({}, b'{"seq":%d}' % sum(map(len, self.batches)))

    async def ask(self, subject: str, body: object = None, *, within_s: float = 0) -> None:
        raise EngineRefusedError("no message", NO_MESSAGE)


def committed(servers: Servers, writes: list[ObjectWrite], *, give_up_s: float = 8.0) -> list[int]:
    """Commit writes to new accounts; how many were stored after each batch."""

    async def link() -> Servers:
        return servers

    stored: list[int] = []
    states = {account_of_subject(write.subject): AccountState() for write in writes}
    writer = Writer(link, give_up_s=give_up_s)  # type: ignore[arg-type]
    guards = {"dnsd.c.names": 0, "dnsd.c.space": 0}
    asyncio.run(writer.commit(Commit("op", b"{}", writes, states, rewritten=guards), stored=stored.append))
    return stored


def new_objects(account: str, number: int, value: bytes = b"x") -> list[ObjectWrite]:
    return [ObjectWrite(f"dnsd.s.o.{account}.map.m{one}", None, value) for one in range(number)]


def test_a_batch_ends_before_an_account_that_it_does_not_hold_whole() -> None:
    servers = Servers()
    sizes = {"a": 400, "b": 400, "c": 400, "large": 1200, "d": 300, "e": 500}
    writes = [write for account, number in sizes.items() for write in new_objects(account, number)]
    stored = committed(servers, writes)
    heads = [[subject for subject in batch if subject.startswith("dnsd.s.h.")] for batch in servers.batches]
    wanted = [["a", "b"], ["c"], ["large"], ["large", "d"], ["e"]]
    assert heads == [[*map(head_subject, accounts)] for accounts in wanted]
    assert all(len(batch) <= MAX_BATCH for batch in servers.batches)
    assert stored[0] == 800
    assert stored[-1] == len(writes)


def test_a_batch_has_a_bounded_number_of_octets() -> None:
    servers = Servers()
    committed(servers, new_objects("a", 300, bytes(200_000)) + new_objects("b", 2, bytes(200_000)))
    assert len(servers.batches) == 4
    assert all(octets < MAX_OCTETS + 10_000 for octets in servers.octets)


def test_a_batch_over_a_slow_link_is_stored_in_a_later_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "WAIT_S", 0.02)
    monkeypatch.setattr(writer_module, "USUAL", 20_000_000)
    monkeypatch.setattr(writer_module, "SLOWEST", 100_000)
    servers = Servers(octets_per_s=4_000_000)
    committed(servers, new_objects("a", 20, os.urandom(50_000)), give_up_s=0.01)  # needs 0.25 s, at first gets 0.07
    assert len(servers.batches) == 1
