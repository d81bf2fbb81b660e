"""A query with an OPT record gets one, also in replies that report an error."""

from __future__ import annotations

import pathlib

import dns.message
import dns.rcode
import pytest

from dnsd.app import load
from dnsd.engine.respond import respond
from tests.bugs.files import write
from tests.packets import opt


@pytest.mark.parametrize("head", ["0000 0000 0000 0000 0001", "2000 0001 0000 0000 0001"], ids=["QDCOUNT 0", "NOTIFY"])
def test_opt_is_answered_with_opt_in_errors_too(tmp_path: pathlib.Path, head: str) -> None:
    """RFC 6891 §6.1.1."""
    loaded = load(write(tmp_path, {"accounts/a/account.yaml": "name: A\n"}), {})
    question = b"\x03www\x07example\x03com\x00\x00\x01\x00\x01" if head.split()[1] == "0001" else b""
    reply = respond(loaded.snapshot, b"\x00\x07" + bytes.fromhex(head) + question + opt(size=1232))
    assert reply is not None
    message = dns.message.from_wire(reply)
    assert message.edns == 0
    assert message.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP)
