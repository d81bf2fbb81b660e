"""Whether a commit is stored, for good: asked once its writer has given up, or was killed.

That its marker is missing proves nothing, as its batch may still be on its way. But a marker is stored only where it is
new: so the one who asks stores one in its place. If that succeeds, the servers refuse the batch whenever it comes.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable

from dnsd.fleet.link import EngineRefusedError, Link, NoAnswerError, json_answer
from dnsd.fleet.stream import STREAM
from dnsd.fleet.subjects import op_subject
from dnsd.fleet.writer import NO_MESSAGE, OP_LIVES

REFUSAL = b'{"is_refused":true}'  # in the place of a marker
AGAIN_S = 0.1


async def is_stored(link: Callable[[], Awaitable[Link]], op: str) -> bool:
    """Whether a commit, or its first batch, is stored; if not, it never will be.

    Servers know it for a day (`OP_LIVES`) after the commit. Its writer must have ended: it would take a marker stored
    here for its own. Asks until the servers answer: the caller limits the time.
    """
    while True:
        try:
            connection = await link()
            if await _is_refused_now(connection, op):
                return False
            if marker := await _marker(connection, op):
                return marker != REFUSAL  # of an earlier question, whose answer was lost
        except (NoAnswerError, EngineRefusedError):
            pass
        await asyncio.sleep(AGAIN_S)  # also while the batch is being stored: the servers then refuse another marker


async def _is_refused_now(link: Link, op: str) -> bool:
    """Whether the marker of a refusal could be stored. Raises NoAnswerError."""
    headers = {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": OP_LIVES}
    answer = json_answer((await link.request(op_subject(op), REFUSAL, headers=headers)).data)
    return "error" not in answer and "seq" in answer


async def _marker(link: Link, op: str) -> bytes | None:
    """What the leader has at a marker's subject; None without a message. Raises NoAnswerError, EngineRefusedError."""
    try:
        answer = await link.ask(f"$JS.API.STREAM.MSG.GET.{STREAM}", {"last_by_subj": op_subject(op)})
        return base64.b64decode(answer["message"].get("data", ""))
    except EngineRefusedError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    except (KeyError, TypeError, AttributeError, binascii.Error):
        raise NoAnswerError("the answer of the fleet's servers has no message") from None
