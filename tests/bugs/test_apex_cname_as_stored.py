"""A proxied CNAME at the apex of a zone that is answered as stored is a CNAME, not flattened."""

from __future__ import annotations

import pathlib

import pytest

from dnsd.app import load
from tests.bugs.files import answers, write

APEX = 'records: [{name: "@", type: CNAME, content: origin.hosting.test, proxied: true}]\n'


@pytest.mark.parametrize("state", ["paused: true", "status: pending", "status: moved"])
def test_proxied_apex_cname_answered_as_stored_is_a_cname(tmp_path: pathlib.Path, state: str) -> None:
    """Only a DNS-only CNAME is flattened at the apex."""
    loaded = load(write(tmp_path, {"accounts/a/zones/example.com.yaml": f"{APEX}{state}\n"}), {})
    assert not loaded.warnings
    assert answers(loaded, "example.com", "A") == ["example.com. 300 IN CNAME origin.hosting.test."]
