"""Public suffixes, as wire names."""

from __future__ import annotations

import re

import pytest

from dnsd.model.public_suffixes import is_public_suffix
from dnsd.model.suffix_list_date import list_date
from dnsd.wire.names import parse_name_text

CASES = {
    "co.uk": True,
    "gov.uk": True,
    "github.io": True,
    "in-addr.arpa": True,
    "ip6.arpa": True,
    "anything.ck": True,  # by the wildcard *.ck
    "www.ck": False,  # its exception
    "xn--55qx5d.cn": True,
    "shop.co.uk": False,
    "me.github.io": False,
    "2.0.192.in-addr.arpa": False,
    "example.com": False,
    "a.test": False,
    "test": True,  # top-level domains are suffixes, listed or not
    r"co\.uk": True,  # one label
    r"a.co\.uk": False,
    r"a\255.test": False,
}


@pytest.mark.parametrize(("name", "expected"), CASES.items())
def test_public_suffix(name: str, expected: bool) -> None:
    assert is_public_suffix(parse_name_text(name).lower()) is expected


def test_date_of_the_list_is_known() -> None:
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", list_date())
