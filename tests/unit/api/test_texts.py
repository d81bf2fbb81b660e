"""Control characters in the texts of a body: refused wherever they stand, each with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dnsd.api.request import check_texts
from dnsd.errors import Path
from dnsd.manage.refusal import Reason, RefusedError

REFUSED = [*map(chr, {*range(0x20)} - {9, 10, 13}), *map(chr, range(0x7F, 0xA0))]  # C0, DEL, C1
PLACES: dict[str, tuple[Callable[[str], Any], Path]] = {
    "a comment": (lambda text: {"comment": text}, ("comment",)),
    "a tag": (lambda text: {"tags": ["team:dns", text]}, ("tags", 1)),
    "a description in a list": (lambda text: [{"description": text}], (0, "description")),
    "a key": (lambda text: {text: 1}, ()),
}


@pytest.mark.parametrize("what", PLACES)
def test_control_character_is_refused_in_its_place(what: str) -> None:
    body, path = PLACES[what]
    for character in REFUSED:
        with pytest.raises(RefusedError) as refusal:
            check_texts(body(f"a{character}b"))
        (fault,) = refusal.value.faults
        assert (fault.reason, fault.message) == (Reason.INVALID, "control characters are not allowed")
        assert fault.path == path


@pytest.mark.parametrize("text", ["a\tb", "two\r\nlines", "é – 中", "a\u202eb\u2028"])
def test_other_text_is_taken(text: str) -> None:
    check_texts({"comment": text, "tags": [text]})
