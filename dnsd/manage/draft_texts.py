"""The texts of the files that a change edits: a large one is read once, and not while the changes of others wait."""

from __future__ import annotations

from dnsd.errors import LongChangeError
from dnsd.store.directory import SourceFile
from dnsd.store.text_file import BYTE_ORDER_MARK

LARGE = 4 * 1024**2  # octets of a text that is not read while the changes of others wait


def is_large(size: int) -> bool:
    """Whether a text of so many octets takes so long that nobody else should wait for it."""
    return size > LARGE


class DraftTexts:
    """The texts last read for a change."""

    def __init__(self) -> None:
        self.is_hurried = False  # whether others wait for it, so that it must not be long
        self._last_text: tuple[SourceFile, str] | None = None
        self._last_octets: tuple[SourceFile, bytes] | None = None

    def check_length(self, size: int) -> None:
        """Raise LongChangeError if a text of so many octets is not read while others wait, and they do."""
        if self.is_hurried and is_large(size):
            raise LongChangeError

    def text(self, file: SourceFile) -> str:
        """The text of a file to edit. Raises LongChangeError if it is large, and others wait."""
        self.check_length(file.content.size)
        if self._last_text is None or self._last_text[0] is not file:
            self._last_text = file, file.text()
        return self._last_text[1]

    def octets(self, file: SourceFile) -> bytes:
        """The same, as octets without a byte order mark."""
        self.check_length(file.content.size)
        if self._last_octets is None or self._last_octets[0] is not file:
            self._last_octets = file, file.octets().removeprefix(BYTE_ORDER_MARK)
        return self._last_octets[1]

    def forget_texts(self) -> None:
        """Let the texts go: loading a change needs as much memory again."""
        self._last_text = self._last_octets = None
