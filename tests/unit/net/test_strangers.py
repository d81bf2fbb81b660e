"""A port for strangers over TLS: a line and its answer; slow, large and many strangers keep nobody else out."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from dnsd.net import strangers
from dnsd.net.listen import Address, address_of, open_stream_listener
from dnsd.net.strangers import Allowance, Allowances, StrangerLimits, StrangersPort
from dnsd.net.tls import PairFiles, load_pair
from tests.certificates import Authority
from tests.limits import HANG_S

MANY = StrangerLimits(places=100, places_each=50, per_second=1000, per_minute_each=1000)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return load_pair(PairFiles(*Authority(tmp_path_factory.mktemp("ca")).issue("c.example"))).context


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(HANG_S):
            await test

    asyncio.run(bounded())


class Port:
    """A port on loopback that answers a line with the line in capitals, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.address = Address("", 0)
        self.port: StrangersPort | None = None

    @asynccontextmanager
    async def open(self, context: ssl.SSLContext, limits: StrangerLimits = MANY) -> AsyncIterator[Port]:
        listener = open_stream_listener(Address("127.0.0.1", 0))
        self.address = address_of(listener)
        self.port = StrangersPort(listener, context, b"hello\n", self.answer, limits)
        task = asyncio.create_task(self.port.run())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.wait([task])
            listener.close()

    async def answer(self, line: bytes) -> bytes:
        self.asked.append(line)
        return line.upper()

    async def connect(self, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection with TLS. Raises OSError if it is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        options = {"local_addr": (source, 0), "ssl_shutdown_timeout": 1}
        reader, writer = await asyncio.open_connection(self.address.host, self.address.port, ssl=context, **options)
        if await reader.readline() != b"hello\n":
            await closed(writer)
            raise ConnectionError("no greeting")
        return reader, writer

    async def ask(self, line: bytes, source: str = "127.0.0.1") -> bytes:
        """All that comes after a line."""
        reader, writer = await self.connect(source)
        try:
            with suppress(OSError):
                writer.write(line)
                return await reader.read()
            return b""
        finally:
            await closed(writer)

    async def refuses(self, source: str = "127.0.0.1") -> None:
        with pytest.raises(OSError):
            await self.ask(b"a\n", source)

    async def is_empty(self) -> None:
        """Wait until all places are free."""
        assert self.port
        while self.port._tasks:
            await asyncio.sleep(0.01)
        assert not self.port._places


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def test_a_line_is_answered_once(context: ssl.SSLContext) -> None:
    async def test() -> None:
        async with Port().open(context) as port:
            assert await port.ask(b"one\ntwo\n") == b"ONE\n"
            assert port.asked == [b"one\n"]
            await port.is_empty()

    run(test())


@pytest.mark.parametrize("octets", [b"x" * 100_000 + b"\n", b"x" * 100_000, b"no end"], ids=["line", "no line", "part"])
def test_what_is_too_large_or_not_a_line_is_not_answered(
    context: ssl.SSLContext, octets: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "WITHIN_S", 0.5)

    async def test() -> None:
        async with Port().open(context) as port:
            assert await port.ask(octets) == b""
            assert port.asked == []
            await port.is_empty()

    run(test())


@pytest.mark.slow
def test_slow_strangers_lose_their_places_and_keep_nobody_out(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "WITHIN_S", 1.0)
    monkeypatch.setattr(strangers, "HANDSHAKE_S", 0.5)

    async def test() -> None:
        async with Port().open(context) as port:
            silent = [await asyncio.open_connection(port.address.host, port.address.port) for _ in range(5)]
            idle = [await port.connect() for _ in range(5)]
            begun = await port.connect()
            begun[1].write(b"a li")
            assert await port.ask(b"one\n") == b"ONE\n"
            for reader, _ in silent:
                assert await reader.read() == b""
            for reader, writer in [*idle, begun]:
                with suppress(OSError):
                    assert await reader.read() == b""
                await closed(writer)
            for _, writer in silent:
                await closed(writer)
            await port.is_empty()

    run(test())


def test_one_network_has_a_share_of_the_places(context: ssl.SSLContext) -> None:
    async def test() -> None:
        limits = StrangerLimits(places=5, places_each=3, per_second=1000, per_minute_each=1000)
        async with Port().open(context, limits) as port:
            held = [await port.connect() for _ in range(3)]
            await port.refuses()
            assert await port.ask(b"one\n", "127.0.0.2") == b"ONE\n"
            held += [await port.connect("127.0.0.2") for _ in range(2)]
            await port.refuses("127.0.0.3")  # all places
            await closed(held.pop()[1])
            while await refused(port, "127.0.0.3"):
                await asyncio.sleep(0.01)
            for _, writer in held:
                await closed(writer)
            await port.is_empty()

    run(test())


async def refused(port: Port, source: str) -> bool:
    try:
        return await port.ask(b"one\n", source) != b"ONE\n"
    except OSError:
        return True


def test_a_network_has_so_many_attempts_and_uses_up_nobody_elses(context: ssl.SSLContext) -> None:
    async def test() -> None:
        limits = StrangerLimits(per_second=1000, per_minute_each=3)
        async with Port().open(context, limits) as port:
            for _ in range(3):
                assert await port.ask(b"one\n") == b"ONE\n"
            for _ in range(3):
                await port.refuses()
            assert await port.ask(b"one\n", "127.0.0.2") == b"ONE\n"
            assert len(port.asked) == 4

    run(test())


def test_an_allowance_grows_again_with_time() -> None:
    allowance = Allowance(3, 6.0, 100.0)
    assert [allowance.take(100.0) for _ in range(5)] == [True, True, True, False, False]
    assert [allowance.take(101.9), allowance.take(102.0), allowance.take(102.0)] == [False, True, False]
    assert [allowance.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_allowances_are_kept_of_the_last_ones_alone() -> None:
    allowances = Allowances(1, 60.0, most=2)
    assert [allowances.take(one, 0.0) for one in "abab"] == [True, True, False, False]
    assert [allowances.take(one, 0.0) for one in "cba"] == [True, False, True]
    assert len(allowances._each) == 2


def test_an_ipv6_network_counts_as_one() -> None:
    one, other = "2001:db8:1:2::1", "2001:db8:1:2:ffff::9"
    assert strangers._network(one) == strangers._network(other) != strangers._network("2001:db8:1:3::1")
    assert strangers._network("192.0.2.1") != strangers._network("192.0.2.2")
