"""Files of a configuration, and answers from them, for tests of former bugs."""

from __future__ import annotations

import pathlib

import dns.message

from dnsd.app import Loaded
from dnsd.engine.respond import respond

SETTINGS = "default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n"


def write(folder: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    for name, text in {"dnsd.yaml": SETTINGS, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "dnsd.yaml"


def answers(loaded: Loaded, name: str, qtype: str) -> list[str]:
    reply = respond(loaded.snapshot, dns.message.make_query(name, qtype).to_wire())
    assert reply is not None
    return [line for rrset in dns.message.from_wire(reply).answer for line in str(rrset).splitlines()]
