"""Work that goes on beside a test, in a thread."""

from __future__ import annotations

import threading
from typing import Self


class Beside:
    """Runs `_run` from the beginning of a context to its end, at which `_stop` is set."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        raise NotImplementedError
