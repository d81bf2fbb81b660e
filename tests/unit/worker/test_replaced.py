"""Replaced objects are freed at once: objects that a worker or control replaces often need no garbage collection.

A worker freezes the objects that it serves. The collector skips frozen objects, so a reference cycle among them would
stay for ever.
"""

from __future__ import annotations

import asyncio
import gc
import io
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from dnsd import __version__
from dnsd.engine.delta import apply_delta, delta
from dnsd.net.limits import RateLimits, rate_limiter
from dnsd.net.plain_limits import Limiter
from dnsd.net.reply import PASS
from dnsd.process.snapshot_file import FILE_NAME, Title, pickled, save_snapshot, unpickled
from dnsd.process.snapshot_log import load_snapshot
from dnsd.process.tasks import in_thread
from dnsd.wire.addresses import packed_ip
from dnsd.wire.cookies import Cookies, Verdict
from dnsd.worker.worker import _no_garbage
from tests.limits import HANG_S
from tests.unit.control.test_publish import snapshot

CLIENT = bytes([198, 51, 100, 7])


@pytest.fixture(autouse=True)
def _collector_rests() -> Iterator[None]:
    """The objects made before the test are not looked at either: all modules of all tests have many."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


def limiter() -> None:
    table = memoryview(bytearray(8 * 1000)).cast("d")
    limits = RateLimits(
        responses_per_second=5,
        slip=2,
        ipv4_prefix=24,
        ipv6_prefix=56,
        exempt=(ip_network("192.0.2.0/28"),),
        log_only=False,
    )
    chosen = rate_limiter(limits, table, bytes(16), bytearray(1000))
    plain = Limiter(table, bytearray(1000), bytes(16), 0.2, 0.9, 2, False, (24, 56), (b"", b""))
    for made in (chosen, plain):
        assert made
        for peer in ("198.51.100.7", "192.0.2.3", "2001:db8::9"):
            assert made.verdict(packed_ip(peer), b"kind", 100.0) == PASS
        assert not made.drops(CLIENT, b"kind", 100.0)


def cookies() -> None:
    assert Cookies((bytes(16), bytes(range(16)))).verdict(b"12345678", CLIENT, 1_000) is Verdict.NEW


def snapshot_by_change(tmp_path: Path) -> None:
    base = snapshot(30, "192.0.2.1")
    changed = snapshot(40, "192.0.2.2", base)
    octets = b"".join(pickled(delta(base, changed)))
    *_, taken = apply_delta(base, unpickled(io.BytesIO(octets)))
    assert taken is not None
    assert len(taken.names) == len(changed.names) == len(list(taken.names.values()))


def snapshot_by_file(tmp_path: Path) -> None:
    made = snapshot(30, "192.0.2.1")
    title = Title(version=__version__, revision=made.revision, saved_at=0, names=len(made.names))
    save_snapshot(tmp_path / FILE_NAME, title, delta(None, made))
    *_, taken = load_snapshot(tmp_path / FILE_NAME)[1]
    assert taken is not None
    assert len(list(taken.names.values())) == len(made.names)


CASES: dict[str, Callable[[Path], None]] = {
    "a limiter": lambda _: limiter(),
    "cookies": lambda _: cookies(),
    "a snapshot, by a change": snapshot_by_change,
    "a snapshot, by the file": snapshot_by_file,
}


@pytest.mark.parametrize("use", CASES.values(), ids=CASES.keys())
def test_used_objects_leave_no_garbage(use: Callable[[Path], None], tmp_path: Path) -> None:
    use(tmp_path)  # objects made once stay
    gc.collect()
    use(tmp_path)
    assert gc.collect() == 0


class Large:
    """An object that a thread returns, or holds when it fails."""


def failing(held: Large) -> None:
    raise ValueError("no")


def large_things() -> int:
    return sum(isinstance(one, Large) for one in gc.get_objects())


async def forgotten() -> None:
    """Let the threads end, and the event loop release its last callbacks."""
    deadline = time.monotonic() + HANG_S
    while large_things() and time.monotonic() < deadline:
        await asyncio.sleep(0.001)


def test_result_of_a_thread_is_freed_with_its_last_reference() -> None:
    async def run() -> None:
        made = await in_thread(Large)
        assert large_things() == 1
        del made
        await forgotten()
        assert large_things() == 0

    asyncio.run(run())


def test_thread_without_a_waiter_is_no_error() -> None:
    problems: list[object] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        waiting = in_thread(Large)
        waiting.cancel()
        await in_thread(Large)
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert problems == []


def test_garbage_is_not_frozen() -> None:
    gc.enable()
    before = gc.get_freeze_count()
    circle: list[object] = [Large()]
    circle.append(circle)
    del circle
    with _no_garbage():
        assert large_things() == 0
        assert not gc.isenabled()
    try:
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()


def test_failed_objects_are_not_frozen() -> None:
    gc.enable()
    before = gc.get_freeze_count()
    with pytest.raises(ValueError, match="no"), _no_garbage():
        failing(Large())
    assert gc.isenabled()
    assert gc.get_freeze_count() == before
