"""The last message at a subject of the stream, as the leader has it: a direct get may reach a server that lags."""

from __future__ import annotations

import base64
from typing import NamedTuple

from dnsd.fleet.heads import AccountState, parse_head
from dnsd.fleet.link import EngineRefusedError, Link, NoAnswerError
from dnsd.fleet.stream import STREAM
from dnsd.fleet.subjects import SHARED, head_subject
from dnsd.fleet.writer import NO_MESSAGE, REMOVED

MARK = f"\n{REMOVED}:".encode()  # in the headers of a removal


class StoredMessage(NamedTuple):
    """The number of a message, 0 without one; and its value, None without one, or if it marks a removal."""

    seq: int
    value: bytes | None


async def last_message(link: Link, subject: str) -> StoredMessage:
    """The last message at a subject. Raises NoAnswerError and EngineRefusedError."""
    try:
        answer = await link.ask(f"$JS.API.STREAM.MSG.GET.{STREAM}", {"last_by_subj": subject})
        message = answer["message"]
        is_removed = MARK in base64.b64decode(message.get("hdrs", ""))
        value = base64.b64decode(message.get("data", ""))
        return StoredMessage(int(message["seq"]), None if is_removed else value)
    except EngineRefusedError as error:
        if error.code == NO_MESSAGE:
            return StoredMessage(0, None)
        raise
    except (KeyError, TypeError, ValueError, AttributeError):
        raise NoAnswerError("the answer of the fleet's servers has no message") from None


async def shared_state(link: Link) -> AccountState:
    """The state of the objects that belong to no account.

    Read it before the objects that a commit changes: the commit is refused if they have changed since. Raises as
    `last_message` does, and ValueFormatError.
    """
    head = await last_message(link, head_subject(SHARED))
    return AccountState(head.seq, parse_head(head.value).sum) if head.value is not None else AccountState()
