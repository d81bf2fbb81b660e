"""The supervisor: holds the sockets and keeps the other processes running. It parses no input and waits for no reply.

A plain loop over signals and deadlines, without threads or an event loop, so that it can fork at any time.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

from dnsd.log import Log
from dnsd.net.systemd import Notifier
from dnsd.process.shared import Process, Shared, Slot
from dnsd.process.signals import END, LEAVE, RELOAD

HANG_S = 10.0  # a process without a heartbeat for this long is killed,
STOOD_STILL_S = 3.0  # unless the supervisor itself had no heartbeat for this long
STOP_WORKERS_S, STOP_S = 4.3, 4.7  # after the signal to end: for workers, and for all processes, before they are killed
HEALTHY_S = 1.0  # a process that ends within this time has failed at its start
FIRST_DELAY_S, LAST_DELAY_S = 0.1, 5.0  # before a failed process is restarted: doubled each time, up to the last
TICK_S = 0.5
EX_SOFTWARE = 70  # sysexits.h

Run = Callable[[], int]  # a process's main function; returns the exit status


@dataclass(slots=True, eq=False)
class Child:
    """A process of the server, running or to be restarted."""

    process: Process
    run: Run
    pid: int = 0  # 0: not running
    started: float = 0.0
    failures: int = 0  # in a row, each within HEALTHY_S of its start
    due: float | None = None  # time of the next start


@dataclass(slots=True)
class Children:
    """The processes run by the supervisor: control, the workers, and `outbound` if the settings give it work."""

    control: Child
    workers: list[Child]
    outbound: Child | None = None
    drains: dict[int, Run] = field(default_factory=dict)  # by index: answer queries already received, then end

    @property
    def everyone(self) -> list[Child]:
        """All of them."""
        return [*self.workers, *self.helpers]

    @property
    def helpers(self) -> list[Child]:
        """Those that receive no queries."""
        return [self.control, *filter(None, [self.outbound])]


class Supervisor:
    """Runs from the first fork to the end of the last process."""

    def __init__(
        self,
        *,
        shared: Shared,
        children: Children,
        channel: socket.socket,
        log: Log,
        announce: Callable[[], None],
        count_drops: Callable[[], int],
    ) -> None:
        """`channel` carries lines to and from control; `announce` is called once every worker answers.

        `count_drops` returns the datagrams dropped by the sockets since they were made, modulo 2³².
        """
        self._shared = shared
        self._children = children
        self._channel = channel
        self._log = log
        self._announce = announce
        self._count_drops = count_drops
        self._drops_seen = count_drops()  # sockets from systemd may have dropped some before
        self._notifier = Notifier()
        self._next_watchdog = 0.0
        self._signals: list[int] = []
        self._is_loaded = False
        self._is_ready = False
        self._received = b""

    def run(self) -> int:
        """Start all processes, keep them running until a signal of END; return the exit status."""
        wakeup, wakeup_w = os.pipe()
        for end in (wakeup, wakeup_w):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakeup_w, warn_on_full_buffer=False)
        for number in (*END, *RELOAD, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, self._note_signal)
        self._channel.setblocking(False)
        self._start(self._children.control)
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        poll.register(self._channel, select.POLLIN)
        while True:
            poll.poll(self._pause_s() * 1000)
            _empty(wakeup)
            signals, self._signals = self._signals, []
            if any(number in signals for number in END):
                return self._end()
            if signal.SIGUSR1 in signals:
                self._log.info("SIGUSR1: reloading, as with SIGHUP")
            if signal.SIGUSR2 in signals:
                self._log.info("SIGUSR2 is ignored: SIGHUP reloads, SIGTERM ends the server")
            if any(number in signals for number in RELOAD):
                self._tell_control(b"reload\n")
            self._hear_control()
            if (status := self._reap()) is not None:
                return status
            self._look_after()

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _pause_s(self) -> float:
        now = time.monotonic()
        due = [child.due - now for child in self._children.everyone if child.due is not None]
        return max(0.0, min([TICK_S, *due]))

    def _start(self, child: Child) -> None:
        child.due = None
        child.started = time.monotonic()
        self._shared.beat(child.process)
        try:
            child.pid = self._fork(child.run)
        except OSError as error:  # such as too many processes or too little memory
            child.due = child.started + LAST_DELAY_S
            self._log.error(f"{child.process.name} cannot be started: {error.strerror}; trying again")
            return
        self._shared.set(child.process, Slot.STARTS, self._shared.get(child.process, Slot.STARTS) + 1)

    def _fork(self, run: Run) -> int:
        """Fork and return the child's pid. LEAVE signals stay pending until the child handles them, so none is lost."""
        signal.pthread_sigmask(signal.SIG_BLOCK, LEAVE)
        try:
            if pid := os.fork():
                return pid
            try:
                self._be_child(run)
            finally:
                os._exit(EX_SOFTWARE)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE)

    def _be_child(self, run: Run) -> None:
        """Run the child's main function and exit; never returns."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, *RELOAD, signal.SIGUSR2):
                signal.signal(number, signal.SIG_IGN)  # sent to all by a terminal or pkill; the supervisor handles them
            for number in (*LEAVE, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os._exit(run())
        except BaseException:
            self._log.error(traceback.format_exc().strip())

    def _hear_control(self) -> None:
        try:
            octets = self._channel.recv(4096)
        except BlockingIOError:
            return
        self._received += octets
        *lines, self._received = self._received.split(b"\n")
        for line in lines:
            if line == b"loaded" and not self._is_loaded:
                self._is_loaded = True
                for child in (*self._children.workers, *filter(None, [self._children.outbound])):
                    self._start(child)
            elif line == b"ready" and not self._is_ready:
                self._is_ready = True
                self._announce()
                self._notifier.tell("READY=1", "STATUS=answering")

    def _tell_control(self, line: bytes) -> None:
        try:
            self._channel.send(line)
        except BlockingIOError:
            self._log.warning("control does not read; a message to it is lost")

    def _reap(self) -> int | None:
        """Schedule restarts of ended processes. Return an exit status if control ended before anything was served."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return None
            if not pid:
                return None
            child = next((one for one in self._children.everyone if one.pid == pid), None)
            if child is None:
                continue
            child.pid = 0
            self._shared.forget(child.process, usage.ru_utime + usage.ru_stime)
            if child is self._children.control and not self._is_loaded:
                return os.waitstatus_to_exitcode(status) or 1
            self._start_again(child, status)

    def _start_again(self, child: Child, status: int) -> None:
        now = time.monotonic()
        child.failures = 0 if now - child.started > HEALTHY_S else child.failures + 1
        delay = min(LAST_DELAY_S, FIRST_DELAY_S * 2 ** (child.failures - 1)) if child.failures else 0.0
        child.due = now + delay
        code = os.waitstatus_to_exitcode(status)
        how = signal.strsignal(-code) or f"signal {-code}" if code < 0 else f"status {code}"
        when = f"in {delay:.1f} s" if delay else "at once"
        self._log.error(f"{child.process.name} ended ({how}); restarting {when}")

    def _look_after(self) -> None:
        """Start due processes, kill hung ones, and confirm to the service manager that queries are answered."""
        now = time.monotonic()
        if self._shared.silence_s(self._shared.supervisor) > STOOD_STILL_S:
            for child in self._children.everyone:  # all processes stood still, as in a paused container
                self._shared.beat(child.process)
        self._shared.beat(self._shared.supervisor)
        self._note_drops()
        for child in self._children.everyone:
            if child.due is not None and child.due <= now:
                self._start(child)
            elif child.pid and self._shared.silence_s(child.process) > HANG_S:
                self._log.error(f"{child.process.name} sent no heartbeat for {HANG_S:.0f} s: killing it")
                self._shared.beat(child.process)
                _kill(child.pid, signal.SIGKILL)
        if self._notifier.watchdog_s is not None and now >= self._next_watchdog and self._is_answering():
            self._next_watchdog = now + self._notifier.watchdog_s
            self._notifier.tell("WATCHDOG=1")

    def _note_drops(self) -> None:
        drops = self._count_drops()
        known = self._shared.get(self._shared.supervisor, Slot.SOCKET_DROPS)
        self._shared.set(self._shared.supervisor, Slot.SOCKET_DROPS, known + (drops - self._drops_seen) % 2**32)
        self._drops_seen = drops

    def _is_answering(self) -> bool:
        """Whether a worker is alive, or the workers have yet to start."""
        workers = self._children.workers
        return not self._is_ready or any(self._shared.silence_s(one.process) < HANG_S for one in workers)

    def _end(self) -> int:
        """Let the workers answer queries already received, then end all processes."""
        self._notifier.tell("STOPPING=1")
        self._log.info("shutting down: answering queries already received")
        started = time.monotonic()
        running = [worker for worker in self._children.workers if worker.pid]
        self._terminate(running)
        for worker in self._children.workers:
            if worker not in running:
                self._drain(worker)
        self._await_end(self._children.workers, started + STOP_WORKERS_S)
        self._terminate(self._children.helpers)
        self._await_end(self._children.helpers, started + STOP_S)
        return 0

    def _terminate(self, children: list[Child]) -> None:
        for child in children:
            if child.pid:
                _kill(child.pid, signal.SIGTERM)

    def _await_end(self, children: list[Child], deadline: float) -> None:
        while any(child.pid for child in children):
            if time.monotonic() > deadline:
                self._children.drains.clear()
                for child in children:
                    if child.pid:
                        self._log.error(f"{child.process.name} did not end in time: killing it")
                        _kill(child.pid, signal.SIGKILL)
                deadline += 1
            self._reap_ending()
            time.sleep(0.005)

    def _reap_ending(self) -> None:
        for child in self._children.everyone:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.pid = 0
                self._shared.forget(child.process, 0)  # its connections are closed
                if status and child in self._children.workers:  # killed before it answered all queries
                    self._drain(child)

    def _drain(self, worker: Child) -> None:
        """Start a process that answers the queries left in an ended worker's sockets; once per worker."""
        drain = self._children.drains.pop(worker.process.index, None)
        if drain is not None and self._is_loaded:
            worker.run = drain
            self._start(worker)


def _empty(fd: int) -> None:
    """Empty the signals' wakeup pipe."""
    try:
        while os.read(fd, 4096):
            pass
    except BlockingIOError:
        return


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
