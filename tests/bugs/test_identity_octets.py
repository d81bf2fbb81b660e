"""The server's identity strings are limited in octets, not characters, and never make a reply too long."""

from __future__ import annotations

import pathlib

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.respond import respond
from dnsd.errors import InvalidDataError
from dnsd.model.fields import parse_ip
from dnsd.settings.file import load_settings
from dnsd.settings.values import MAX_NSID
from tests.models import dataset, zone
from tests.packets import NSID_OPTION, opt, query

SETTINGS = "default_addresses: [198.51.100.10]\n"


@pytest.mark.parametrize("key", ["version", "identity", "nsid"])
def test_more_than_255_octets_are_refused(tmp_path: pathlib.Path, key: str) -> None:
    """RFC 1035 §3.3: 200 letters of two octets each do not fit in a character-string."""
    file = tmp_path / "dnsd.yaml"
    file.write_text(f"{SETTINGS}{key}: {'é' * 200}\n", encoding="utf-8")
    with pytest.raises(InvalidDataError, match="255"):
        load_settings(file, {})


@pytest.mark.parametrize("size", [512, 1232])
def test_nsid_leaves_room_for_the_question(size: int) -> None:
    """A client that accepts 512 octets never gets more, even with the longest name and identifier."""
    options = Options((parse_ip("198.51.100.10"),), nsid="n" * MAX_NSID)
    snapshot = build_snapshot(dataset([zone("example.com")], {}), options)
    message = query("a." * 120 + "example.com", after=opt(size=size, options=NSID_OPTION))
    assert len(respond(snapshot, message) or b"") <= size
