"""Signals: some end the server or reload it; the others sent to it are ignored.

Signals for a fault in the process itself, or for a limit on it, keep their default.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

END = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
RELOAD = (signal.SIGHUP, signal.SIGUSR1)  # SIGUSR1 is sent by scripts for other name servers and by log rotation
LEAVE = (signal.SIGTERM, signal.SIGQUIT)  # end a worker or control; the supervisor starts another
IGNORED = (
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGIO,
    signal.SIGPWR,
    signal.SIGSTKFLT,
)
REAL_TIME = range(signal.SIGRTMIN, signal.SIGRTMAX + 1)


def ignore_signals() -> None:
    """Ignore all other signals for good, and RELOAD and SIGUSR2 until the supervisor handles them."""
    for number in (*RELOAD, signal.SIGUSR2, *IGNORED, *REAL_TIME):
        signal.signal(number, signal.SIG_IGN)


def leave_on_signal(loop: asyncio.AbstractEventLoop, leave: Callable[[], object]) -> None:
    """Call `leave` on a LEAVE signal to this worker or control, also on one pending since the fork.

    A real-time signal, which no one sends to a single process by mistake, ends it at once; another is started.
    """
    for number in REAL_TIME:
        signal.signal(number, signal.SIG_DFL)
    for number in LEAVE:
        loop.add_signal_handler(number, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)
