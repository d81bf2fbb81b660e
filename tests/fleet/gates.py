"""What a control runs for edges, in the process of a test: the port for codes, and answers to questions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from dnsd.fleet.ask_service import AskService
from dnsd.fleet.certificates import NODE_LIFE
from dnsd.fleet.edge_list import EdgeList
from dnsd.fleet.edge_record import EdgeRecord, edge_subject, parse_edge_record
from dnsd.fleet.join import join_fleet
from dnsd.fleet.join_code import parse_code
from dnsd.fleet.join_service import JoinService
from dnsd.fleet.last_message import last_message
from dnsd.fleet.node import FleetNode, control_node
from dnsd.fleet.offer import new_code
from dnsd.fleet.root import RootFolder
from dnsd.log import Log
from dnsd.net.listen import Address
from tests.fleet.edges import urls_of
from tests.fleet.nats_servers import free_ports
from tests.fleet.servers import control_folder


class Gate:
    """A control's services, and what a person at that control does."""

    def __init__(self, root: RootFolder, name: str, life: timedelta) -> None:
        self.identity, self.port, self.said = control_folder(root, name), free_ports(1)[0], list[str]()
        self.node: FleetNode = control_node(self.identity, urls_of(root), 100)
        self.edges = EdgeList(self.node.line, name)
        self.asks, self.asks_said = AskService(self.identity, self._hear, life=life), list[str]()
        log = Log("control", wait_s=0)
        log.warning = log.error = log.info = self.said.append  # type: ignore[method-assign, assignment]
        self.join = JoinService(self.identity, Address("127.0.0.1", self.port), self.said.append, log, life=life)
        self.url = f"tls://127.0.0.1:{self.port}"

    async def code(self, name: str, *, ring: int = 0, label: str = "", url: str = "") -> str:
        return await new_code(self.node, self.identity, name, ring=ring, label=label, urls=[url or self.url])

    async def record(self, edge: str) -> EdgeRecord | None:
        found = await last_message(await self.node.line.link(), edge_subject(edge))
        return None if found.value is None else parse_edge_record(found.value)

    def _hear(self, words: str) -> None:
        self.asks_said.append(words)

    async def until_said(self, words: str) -> None:
        while not any(words in said for said in self.said):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def gate(root: RootFolder, name: str = "c1", *, life: timedelta = NODE_LIFE) -> AsyncIterator[Gate]:
    """The running services of a control."""
    found = Gate(root, name, life)
    tasks = [asyncio.create_task(service(found.node)) for service in (found.join.run, found.asks.run)]
    try:
        await found.until_said("edges may join at")
        while "" not in found.asks_said:
            await asyncio.sleep(0.02)
        await (await found.node.line.link()).client.flush()
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await found.node.line.close()


async def joined(code: str, folder: Path, *, is_again: bool = False, owner: tuple[int, int] | None = None) -> None:
    """What `dnsd fleet join` does."""
    await asyncio.to_thread(join_fleet, parse_code(code), folder, is_again=is_again, owner=owner)
