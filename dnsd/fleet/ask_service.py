"""The questions of edges, which any control answers: an edge asks for new papers in time.

The subject of a question ends with the name of an edge, to which its permissions bind it. An edge in wrong hands may
ask as often as it likes: what is too much is passed over, before anything of it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from nats.aio.msg import Msg

from dnsd.errors import DnsdError
from dnsd.fleet.admission import Admission, admission_of
from dnsd.fleet.certificates import NODE_LIFE, CertificateError
from dnsd.fleet.edge_list import AdmissionError
from dnsd.fleet.identity import IdentityError
from dnsd.fleet.link import Link, NoAnswerError
from dnsd.fleet.node import FleetNode
from dnsd.fleet.papers_talk import MAX_TALK, papers_line, parse_renewal, refusal_line
from dnsd.fleet.values import ValueFormatError
from dnsd.net.strangers import Allowances
from dnsd.process.tasks import in_thread

ASKED = "dnsd.ask.*"
CONTROLS = "controls"  # one of them gets a question
# Questions that may wait for a look: more than come between two looks, or a flood would push others out.
ROOM, ROOM_OCTETS = 8192, 4 * 1024 * 1024
MOST_AT_ONCE = 16  # that are being answered
USUAL, WITHIN_S = 4, 8.0  # questions of one edge within a time
LOOK_S = 1.0  # at the connection, which renewed papers replace
ENGINE = "$JS."  # how the reply subject of what a consumer sends begins: an edge can aim one at questions


class AskService:
    """Answers edges while `run` runs. `note` gets what prevents it, and an empty text once nothing does."""

    def __init__(self, identity: Path, note: Callable[[str], None], *, life: timedelta = NODE_LIFE) -> None:
        self._identity = identity
        self._note = note
        self._life = life
        self._allowances = Allowances(USUAL, WITHIN_S)
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by edge

    async def run(self, node: FleetNode) -> None:
        """Answer until cancelled."""
        try:
            while True:
                try:
                    await self._listen(node)
                except (IdentityError, CertificateError) as error:
                    self._note(f"no papers of edges are renewed here: {error}")
                except (DnsdError, OSError):
                    pass  # of the servers: the follower says so
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _listen(self, node: FleetNode) -> None:
        """Take the questions of one connection. Raises IdentityError, CertificateError, and as the line does."""
        admission = await in_thread(partial(admission_of, self._identity, node.name, node.line, self._life))
        link = await node.line.link()

        async def take(message: Msg) -> None:
            self._take(admission, link, message)

        subscription = await link.listen(ASKED, take, queue=CONTROLS, messages=ROOM, octets=ROOM_OCTETS)
        self._note("")
        try:
            while await node.line.link() is link:
                await asyncio.sleep(LOOK_S)
        finally:
            await link.unlisten(subscription)

    def _take(self, admission: Admission, link: Link, message: Msg) -> None:
        """Begin to answer a question, unless it is none, or the edge has asked enough."""
        edge, loop = message.subject.rpartition(".")[2], asyncio.get_running_loop()
        if not message.reply or message.reply.startswith(ENGINE) or len(message.data) > MAX_TALK:
            return
        if edge in self._tasks or len(self._tasks) >= MOST_AT_ONCE or not self._allowances.take(edge, loop.time()):
            return
        self._tasks[edge] = task = loop.create_task(self._answer(admission, link, edge, message))
        task.add_done_callback(lambda _: self._tasks.pop(edge, None))

    async def _answer(self, admission: Admission, link: Link, edge: str, message: Msg) -> None:
        try:
            question = parse_renewal(message.data)
            papers = await admission.renew(edge, question.request, question.chain, datetime.now(UTC))
            line = papers_line(papers)
        except (AdmissionError, CertificateError, ValueFormatError) as error:
            line = refusal_line(str(error))
        except (DnsdError, OSError):
            return  # the edge asks again
        with suppress(NoAnswerError):
            await link.publish(message.reply, line)
