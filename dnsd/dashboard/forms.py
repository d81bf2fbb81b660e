"""Forms: the values that a browser sends, and the errors shown at their fields."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from dnsd.api.codes import ShownFault, shown_faults, status_of
from dnsd.manage.refusal import Reason, RefusedError, refused

MAX_FIELDS = 30_000  # in a form: it may list all zones of an account


class FormValues:
    """The values of a form or a query: texts by name; names may repeat."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self._pairs = [(name, text) for name, text in pairs]

    @classmethod
    def of(cls, encoded: bytes | str) -> FormValues:
        """Parse application/x-www-form-urlencoded. Raises RefusedError."""
        try:
            text = encoded.decode() if isinstance(encoded, bytes) else encoded
            return cls(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
        except ValueError:
            raise refused(Reason.INVALID, "the form cannot be read") from None

    def __contains__(self, name: str) -> bool:
        return any(one == name for one, _ in self._pairs)

    def get(self, name: str, default: str = "") -> str:
        """The first text with a name, as typed."""
        return next((text for one, text in self._pairs if one == name), default)

    def text(self, name: str) -> str:
        """The first text with a name, stripped."""
        return self.get(name).strip()

    def all(self, name: str) -> list[str]:
        """All texts with a name, without empty and repeated ones."""
        return list(dict.fromkeys(text.strip() for one, text in self._pairs if one == name and text.strip()))

    def number(self, name: str, default: int) -> int:
        """A whole number, at least 1."""
        text = self.text(name)
        return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else default

    def pairs(self) -> list[tuple[str, str]]:
        """All pairs, in order."""
        return list(self._pairs)


class FormErrors:
    """The errors of a form by field; `others` are the errors outside its fields."""

    def __init__(self, error: RefusedError | None = None, fields: Sequence[str] = ()) -> None:
        self.status = status_of(error) if error else 200  # of the page that shows the form again
        self._by_field: dict[str, list[str]] = {}
        self.others: list[str] = []
        for fault in shown_faults(error) if error else ():
            name = _field(fault, fields)
            (self._by_field.setdefault(name, []) if name else self.others).append(fault.message)

    def __bool__(self) -> bool:
        return bool(self._by_field or self.others)

    def of(self, name: str) -> list[str]:
        """The errors of one field."""
        return self._by_field.get(name, [])


def _field(fault: ShownFault, fields: Sequence[str]) -> str | None:
    """The field of a fault: the last step of its path that names a field."""
    return next((str(step) for step in reversed(fault.path) if step in fields), None)
