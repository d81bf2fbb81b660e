"""DNS messages in a TCP stream: two octets of length, then the message (RFC 1035 §4.2.2). No I/O."""

from __future__ import annotations

LENGTH_SIZE = 2  # octets


class FrameReader:
    """Splits a stream, fed in chunks of any size, into messages; holds at most one unfinished message."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages completed by `data`, in order (RFC 7766 §8: a length may arrive before its message)."""
        self._buffer += data
        messages, start = [], 0
        while (end := self._frame_end(start)) <= len(self._buffer):
            messages.append(bytes(self._buffer[start + LENGTH_SIZE : end]))
            start = end
        del self._buffer[:start]
        return messages

    def _frame_end(self, start: int) -> int:
        body = start + LENGTH_SIZE
        if body > len(self._buffer):
            return body
        return body + int.from_bytes(self._buffer[start:body])


def frame(message: bytes) -> bytes:
    """The message preceded by its length."""
    return len(message).to_bytes(LENGTH_SIZE) + message
