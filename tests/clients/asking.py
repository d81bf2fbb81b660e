"""A DNS client that asks for one name all the time, while other clients change its answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.api.server import Api
from tests.limits import HANG_S


class Answers:
    """All answers to one question since the start, in the order in which they first appeared."""

    def __init__(self, api: Api, name: str) -> None:
        self._api, self._name = api, name
        self._seen: list[tuple[str, ...]] = []
        self._is_over = threading.Event()

    @property
    def seen(self) -> list[tuple[str, ...]]:
        """The different answers up to now; asks once more first."""
        self._ask()
        return [*self._seen]

    @contextmanager
    def asking(self) -> Iterator[Answers]:
        thread = threading.Thread(target=self._ask_on)
        thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            thread.join(HANG_S)

    def _ask_on(self) -> None:
        while not self._is_over.wait(0.002):
            self._ask()

    def _ask(self) -> None:
        answer = tuple(self._api.ask(self._name))
        if answer not in self._seen:
            self._seen.append(answer)
