"""Signals: some end or reload the server; others that a user may send to it are ignored.

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
    """Ignore IGNORED and REAL_TIME; also RELOAD and SIGUSR2, until the supervisor handles them."""
    for number in (*RELOAD, signal.SIGUSR2, *IGNORED, *REAL_TIME):
        signal.signal(number, signal.SIG_IGN)


def leave_on_signal(loop: asyncio.AbstractEventLoop, leave: Callable[[], object]) -> None:
    """Call `leave` when this process, a worker or control, gets a LEAVE signal, or has one pending since the fork.

    A real-time signal to this process alone cannot be a mistake: it ends the process at once, and another is started.
    """
    for number in REAL_TIME:
        signal.signal(number, signal.SIG_DFL)
    for number in LEAVE:
        loop.add_signal_handler(number, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)
