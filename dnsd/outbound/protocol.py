"""Questions from control for other servers, and their answers, as the payloads of messages of the control socket.

Each question has a number, which its answer repeats: answers come in any order, or never, if the process ends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum


class AnswerKind(StrEnum):
    """The result of a question to resolvers."""

    DATA = "data"
    NO_DATA = "no data"
    NO_NAME = "no such name"
    NO_ANSWER = "no answer"  # from no resolver, or only failures


@dataclass(frozen=True, slots=True)
class OutsideQuestion:
    """A question for resolvers."""

    name: bytes  # canonical
    rtype: int
    resolvers: tuple[tuple[str, int], ...]  # IP addresses and ports, asked in this order

    def packed(self, number: int) -> bytes:
        """The question as a payload."""
        return json.dumps([number, self.name.hex(), self.rtype, self.resolvers]).encode()


@dataclass(frozen=True, slots=True)
class OutsideAnswer:
    """The answer to a question: the data of the RRset at the name itself, without that of aliases."""

    kind: AnswerKind
    rdatas: tuple[bytes, ...] = ()

    def packed(self, number: int) -> bytes:
        """The answer as a payload."""
        return json.dumps([number, self.kind.value, [rdata.hex() for rdata in self.rdatas]]).encode()


def unpacked_question(payload: bytes) -> tuple[int, OutsideQuestion]:
    """The number and the question in a payload."""
    number, name, rtype, resolvers = json.loads(payload)
    return number, OutsideQuestion(bytes.fromhex(name), rtype, tuple((host, port) for host, port in resolvers))


def unpacked_answer(payload: bytes) -> tuple[int, OutsideAnswer]:
    """The number and the answer in a payload. Raises ValueError for any other payload."""
    try:
        number, kind, rdatas = json.loads(payload)
        return int(number), OutsideAnswer(AnswerKind(kind), tuple(bytes.fromhex(rdata) for rdata in rdatas))
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not an answer: {error}") from None
