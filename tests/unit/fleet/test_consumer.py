"""The messages of a consumer and the beats of controls; no servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats.aio.msg import Msg

from dnsd.fleet import consumer
from dnsd.fleet.beat import BEAT, Beat
from dnsd.fleet.consumer import RestartError, StateMessages
from dnsd.fleet.intake import StateMessage
from tests.limits import HANG_S

BEATEN = Beat("e", 7, 1)


class Taking:
    """What a link and a receiver are asked, and what they get."""

    inbox = "_INBOX_n.1"
    is_replaced = False

    def __init__(self) -> None:
        self.rests, self.beats = 0, list[Beat]()

    async def publish(self, subject: str, payload: bytes = b"", **more: object) -> None: ...

    def taken(self, message: StateMessage | None, pending: int) -> None:
        self.rests += message is None

    def beaten(self, beat: Beat) -> None:
        self.beats.append(beat)


def beat() -> Msg:
    return Msg(None, subject=BEAT, data=BEATEN.packed())  # type: ignore[arg-type]


def heartbeat(inbox: str) -> Msg:
    return Msg(None, subject=inbox, headers={"Status": "100"})  # type: ignore[arg-type]


def outcome_of(*, beats_s: float, heartbeats: int) -> tuple[Taking, str]:
    """What came to be known from beats without end and some heartbeats, and why it ended."""
    taking: Any = Taking()

    async def work() -> str:
        messages = StateMessages(taking, taking, "door")

        async def beat_on() -> None:
            while True:
                await messages.hear(beat())
                await asyncio.sleep(beats_s)

        beating = asyncio.create_task(beat_on())
        try:
            for _ in range(heartbeats):
                await messages.put(heartbeat(messages.inbox))
            async with asyncio.timeout(HANG_S):
                await messages.run(0)
        except RestartError as error:
            return str(error)
        finally:
            beating.cancel()
        return ""

    return taking, asyncio.run(work())


def test_beats_do_not_hide_a_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "SILENCE_S", 0.1)
    monkeypatch.setattr(consumer, "LOOK_AGAIN_S", 0.05)
    taking, reason = outcome_of(beats_s=0.01, heartbeats=0)
    assert "silent" in reason
    assert (taking.rests, taking.beats) == (1, [])


def test_beats_are_judged_while_the_server_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "SILENCE_S", 0.1)
    monkeypatch.setattr(consumer, "LOOK_AGAIN_S", 0.05)
    taking, _ = outcome_of(beats_s=HANG_S, heartbeats=200)
    assert taking.beats == [BEATEN]
    assert taking.rests == 201


def test_waiting_beats_are_bounded() -> None:
    taking: Any = Taking()

    async def work() -> None:
        messages = StateMessages(taking, taking, "door")
        for _ in range(10 * consumer.MAX_BEATS):
            await messages.hear(beat())
        await messages.put(heartbeat(messages.inbox))
        messages.interrupt()
        with pytest.raises(RestartError, match="interrupted"):
            await messages.run(0)

    asyncio.run(work())
    assert len(taking.beats) == consumer.MAX_BEATS
