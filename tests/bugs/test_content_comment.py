"""An unquoted semicolon begins a comment in master files; in a record's content, the text after it must not vanish."""

from __future__ import annotations

import pytest

from dnsd.model.records import RecordError, build_record
from dnsd.wire.names import parse_name_text
from tests.models import record


@pytest.mark.parametrize("text", ["@ CAA 0 issue ca.example.net; policy=ev", "a CNAME b.example.org ; why"])
def test_text_behind_a_semicolon_is_not_dropped_silently(text: str) -> None:
    with pytest.raises(RecordError):
        build_record(record(text), parse_name_text("example.com"))
