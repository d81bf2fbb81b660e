"""The process `outbound` and control's end of its link."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from dnsd.control.outside import NO_ANSWER, AwayError, Outside
from dnsd.log import Log
from dnsd.outbound.outbound import MAX_AT_ONCE, Outbound, OutboundSetup
from dnsd.outbound.protocol import (
    AnswerKind,
    OutsideAnswer,
    OutsideQuestion,
    unpacked_answer,
    unpacked_question,
)
from dnsd.process.link import read_message
from dnsd.process.shared import Shared
from dnsd.process.state import State
from tests.limits import HANG_S

QUESTION = OutsideQuestion(b"\x04shop\x04test\0", 2, (("127.0.0.1", 53), ("::1", 5300)))
ANSWER = OutsideAnswer(AnswerKind.DATA, (b"\0", b"\x03ns1\0"))

Look = Callable[[OutsideQuestion], Awaitable[OutsideAnswer]]


def test_messages_travel() -> None:
    assert unpacked_question(QUESTION.packed(7)) == (7, QUESTION)
    for answer in (ANSWER, NO_ANSWER):
        assert unpacked_answer(answer.packed(8)) == (8, answer)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b'[1, "data", 5]', b'[1, "x", []]', b'["a", "data", ["zz"]]'])
def test_other_messages_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        unpacked_answer(payload)


@contextlib.asynccontextmanager
async def linked(look: Look) -> AsyncIterator[tuple[Outside, asyncio.Task[None], asyncio.Server]]:
    """Control's end, the running process's end, and control's socket."""
    outside, shared = Outside(), Shared(1, 8, has_outbound=True)
    assert shared.outbound
    address = f"\0dnsd-test:{secrets.token_hex(8)}"
    state = State.__new__(State)
    object.__setattr__(state, "address", address)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError, ValueError):
            _, hello = await read_message(reader)
            await outside.serve(reader, writer, hello)
        writer.close()

    server = await asyncio.start_unix_server(serve, address)
    setup = OutboundSetup(process=shared.outbound, shared=shared, state=state, log=Log("outbound"))
    task = asyncio.create_task(Outbound(setup, look).follow_control())
    try:
        await until(lambda: outside.is_connected)
        yield outside, task, server
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()
        await asyncio.sleep(0.01)  # the transports close in the loop


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_S):
        while not is_so():
            await asyncio.sleep(0.005)


def test_answers_come_in_any_order() -> None:
    async def look(question: OutsideQuestion) -> OutsideAnswer:
        await asyncio.sleep(0.05 if question.rtype % 2 else 0)
        return OutsideAnswer(AnswerKind.DATA, (bytes([question.rtype]),))

    async def run() -> list[OutsideAnswer]:
        async with linked(look) as (outside, _, _):
            questions = [OutsideQuestion(b"\0", number, ()) for number in range(2 * MAX_AT_ONCE)]
            return await asyncio.gather(*map(outside.ask, questions))

    assert [one.rdatas for one in asyncio.run(run())] == [(bytes([number]),) for number in range(2 * MAX_AT_ONCE)]


def test_process_that_ends_leaves_no_question_waiting() -> None:
    async def look(question: OutsideQuestion) -> OutsideAnswer:
        await asyncio.sleep(HANG_S)
        return ANSWER

    async def run() -> None:
        async with linked(look) as (outside, process, _):
            waiting = asyncio.create_task(outside.ask(QUESTION))
            await asyncio.sleep(0.05)
            process.cancel()
            for question in (waiting, outside.ask(QUESTION)):
                with pytest.raises(AwayError):
                    await question
            assert not outside.is_connected

    asyncio.run(run())


def test_process_connects_again_after_control_broke_off() -> None:
    async def look(question: OutsideQuestion) -> OutsideAnswer:
        return ANSWER

    async def run() -> None:
        async with linked(look) as (outside, _, _):
            first = outside._writer
            assert first
            first.close()
            await until(lambda: outside._writer not in (None, first))
            assert await outside.ask(QUESTION) == ANSWER

    asyncio.run(run())


def test_late_and_unknown_answers_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dnsd.control.outside.WAIT_S", 0.05)

    async def look(question: OutsideQuestion) -> OutsideAnswer:
        await asyncio.sleep(0.1 if question.rtype == 1 else 0)
        return ANSWER

    async def run() -> None:
        async with linked(look) as (outside, _, _):
            assert await outside.ask(OutsideQuestion(b"\0", 1, ())) == NO_ANSWER
            await asyncio.sleep(0.1)  # the late answer arrives
            assert await outside.ask(OutsideQuestion(b"\0", 2, ())) == ANSWER

    asyncio.run(run())
