"""Who asks whether a commit is stored gets an answer that stays true; a real nats-server judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dnsd.fleet.link import EngineRefusedError, NoAnswerError
from dnsd.fleet.op_verdict import is_stored
from dnsd.fleet.writer import STALE, Writer
from tests.fleet.fleets import State, line_to, one_server, run
from tests.fleet.nats_servers import needs_nats_server

pytestmark = needs_nats_server
X = "dnsd.s.o.acme.map.x"


def test_a_stored_commit_stays_stored(tmp_path: Path) -> None:
    async def test() -> None:
        with one_server(tmp_path) as server:
            async with line_to(server.url) as line:
                state = await State(line).begin()
                commit = state.drawn_up({X: b"1"})
                await state.writer.commit(commit)
                assert [await is_stored(line.link, commit.op) for _ in range(2)] == [True, True]

    run(test())


def test_a_commit_that_comes_after_the_question_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[Any] = []

    async def kept(writer: Writer, messages: Any, longest_s: float) -> dict[str, Any]:
        batches.append(messages)
        raise EngineRefusedError("not sent")

    async def test() -> None:
        with one_server(tmp_path) as server:
            async with line_to(server.url) as line:
                state = await State(line).begin()
                commit = state.drawn_up({X: b"1"})
                with monkeypatch.context() as within:
                    within.setattr(Writer, "_send", kept)
                    with pytest.raises(EngineRefusedError):
                        await state.writer.commit(commit)
                assert not await is_stored(line.link, commit.op)
                answer = await state.writer._send(batches[0], 5)
                assert answer["error"]["err_code"] in STALE
                assert not await is_stored(line.link, commit.op)
                assert not await state.writer.guard(X)

    run(test())


def test_a_question_without_an_answer_is_asked_again(tmp_path: Path) -> None:
    async def test() -> None:
        with one_server(tmp_path) as server:
            async with line_to(server.url) as line:
                await State(line).begin()
                link, lost = await line.link(), list[str]()
                real = link.request

                async def request(subject: str, payload: bytes = b"", **more: Any) -> Any:
                    reply = await real(subject, payload, **more)
                    if not lost:
                        lost.append(subject)
                        raise NoAnswerError("lost")
                    return reply

                link.request = request  # type: ignore[method-assign, assignment]
                assert not await is_stored(line.link, "some-op")
                assert lost == ["dnsd.c.op.some-op"]

    run(test())
