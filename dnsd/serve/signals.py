"""Signals: which of them end the server or reload it, and that no other one that is sent to it ends it.

Those that tell of a fault in the process itself, or of a limit on it, are left to the system.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

END = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
RELOAD = (signal.SIGHUP, signal.SIGUSR1)  # SIGUSR1, as scripts for other name servers and log rotation send it
LEAVE = (signal.SIGTERM, signal.SIGQUIT)  # those that a worker or control obeys by itself; another is started then
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
    """Ignore what is no order, for good, and what is one to reload or to be told of, until the supervisor takes it."""
    for number in (*RELOAD, signal.SIGUSR2, *IGNORED, *REAL_TIME):
        signal.signal(number, signal.SIG_IGN)


def leave_on_signal(loop: asyncio.AbstractEventLoop, leave: Callable[[], object]) -> None:
    """Call `leave` when this worker, or control, is told to end; also where it was before it came to this.

    A real-time signal, which nobody sends to one of them by mistake, ends it at once: another is started.
    """
    for number in REAL_TIME:
        signal.signal(number, signal.SIG_DFL)
    for number in LEAVE:
        loop.add_signal_handler(number, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)
