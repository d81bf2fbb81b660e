"""A process that has imported `dnsd` and compiled its pages, and forks for each run: `python -m tests.live.forker FD`.

Requests come over a socket, each with the descriptors of the run's standard output, standard error, and exit status;
the reply is the pid. The exit status follows when the run has ended. `tests/live/forked.py` has the other side. Runs
that are left when the socket closes are killed: the tests have ended, or were killed themselves.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

import dnsd.cli.commands
from dnsd.dashboard.page import TEMPLATES, pages
from dnsd.serve.late_modules import import_late_modules

REQUEST_SIZE = 200_000  # octets: arguments and environment
NUMBER_SIZE = 4  # octets of a pid or an exit status


def main(requests: int) -> None:
    import_late_modules()
    for names in dnsd.cli.commands.MODULES.values():
        for name in names:
            importlib.import_module(f"dnsd.cli.{name}")
    for name in TEMPLATES:
        pages()._environment.get_template(name)
    gc.collect()
    gc.freeze()  # so that garbage collection does not copy memory shared with the runs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's; the end of the tests ends this process, too
    if run := await_run(socket.socket(fileno=requests)):
        become(*run)
        dnsd.cli.commands.main(run[0]["arguments"], prog_name="python -m dnsd")


def await_run(requests: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each request. Returns a request and its descriptors in its process; in this one None, at the end."""
    runs: dict[int, tuple[int, int]] = {}  # pidfd -> pid, descriptor of the exit status
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    is_over = False
    while runs or not is_over:
        for fd, _ in poll.poll():
            if fd in runs:
                pid, status = runs.pop(fd)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with contextlib.suppress(BrokenPipeError):  # nothing waits for it any more
                    os.write(status, code.to_bytes(NUMBER_SIZE, signed=True))
                poll.unregister(fd)
                os.close(fd)
                os.close(status)
                continue
            message, fds, *_ = socket.recv_fds(requests, REQUEST_SIZE, 3)
            if not message:
                is_over = True
                poll.unregister(requests)
                for pidfd in runs:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                continue
            if not (pid := os.fork()):
                return json.loads(message), fds
            for fd in fds[:2]:
                os.close(fd)
            pidfd = os.pidfd_open(pid)
            runs[pidfd] = pid, fds[2]
            poll.register(pidfd, select.POLLIN)
            requests.send(pid.to_bytes(NUMBER_SIZE))
    return None


def become(request: dict[str, Any], fds: list[int]) -> None:
    """Make this process like a new interpreter: streams, signals, environment, and no other descriptors."""
    os.dup2(fds[0], 1)
    os.dup2(fds[1], 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])


if __name__ == "__main__":
    main(int(sys.argv[1]))
