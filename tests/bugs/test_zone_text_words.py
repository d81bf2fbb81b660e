"""A problem in a master file is reported at the wrong word, not at an equal text before it; TTLs have a limit."""

from __future__ import annotations

import pytest

from dnsd.formats.zone_text import parse_zone_text
from dnsd.wire.names import parse_name_text

EXAMPLE = parse_name_text("example.com")


@pytest.mark.parametrize(
    ("text", "column"),
    [("xx 60 xx 1", 7), ("3x.b 3x A 192.0.2.1", 6), ("ch 60 CH TXT a", 7), ("zzz.a 60 zzz 1", 10)],
)
def test_column_of_the_wrong_word(text: str, column: int) -> None:
    [problem] = parse_zone_text(text, EXAMPLE).problems
    assert (problem.line, problem.column) == (1, column)


@pytest.mark.parametrize(
    "text", ["a 2147483648 A 192.0.2.1", "$TTL 4294967295\na A 192.0.2.1", "a 9999999w A 192.0.2.1"]
)
def test_ttl_over_31_bits_is_refused(text: str) -> None:
    """RFC 2181 §8: resolvers take such a TTL as 0; in YAML it is refused."""
    assert parse_zone_text(text, EXAMPLE).problems
