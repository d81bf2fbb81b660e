"""The workers' samples of questions, merged: each slot of a worker counts once, however often it is asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Protocol

from dnsd.process.link import MessageKind, packed
from dnsd.process.shared import Process
from dnsd.questions import QuestionSample, unpacked_slot


class SampledWorker(Protocol):
    """The connection to a worker."""

    index: int
    pid: int
    writer: asyncio.StreamWriter
    sampled: int  # the last request for its sample that it answered


class WorkerSamples:
    """Asks workers for the questions that they have sampled, and keeps them."""

    def __init__(self) -> None:
        self.questions = QuestionSample()  # of all workers
        self._last: dict[int, tuple[int, int]] = {}  # by worker: its pid, and the last slot of its sample
        self._asked = 0  # the last request

    def ask(self, links: Mapping[int, SampledWorker], slot: int) -> int:
        """Ask every worker, in this slot, for the questions that it has not sent yet; return the request's number."""
        self.questions.begin(slot)
        self._asked += 1
        for link in links.values():
            link.writer.write(packed(MessageKind.SAMPLE, {"after": self._last_slot(link), "asked": self._asked}))
        return self._asked

    def late(self, workers: Iterable[Process], links: Mapping[int, SampledWorker], asked: int) -> list[str]:
        """The names of workers that have not answered this request, or are not connected."""
        answered = {index for index, link in links.items() if link.sampled >= asked}
        return [worker.name for worker in workers if worker.index not in answered]

    def add(self, link: SampledWorker, payload: bytes) -> None:
        """Add a slot that a worker sent, unless it has sent that before, to an earlier request."""
        slot, questions = unpacked_slot(json.loads(payload))
        if slot > self._last_slot(link):
            self._last[link.index] = link.pid, slot
            self.questions.add(questions, slot)

    def end(self, link: SampledWorker, payload: bytes) -> None:
        """Note that a worker has sent all that a request asked for."""
        link.sampled = json.loads(payload)["asked"]

    def _last_slot(self, link: SampledWorker) -> int:
        pid, slot = self._last.get(link.index, (link.pid, 0))
        return slot if pid == link.pid else 0
