"""What edges and controls write to each other about papers: questions and answers in JSON, on one line each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from dnsd.errors import DnsdError
from dnsd.fleet.identity import Papers
from dnsd.fleet.join_code import digest_of, signer_of
from dnsd.fleet.values import ValueFormatError, json_object

VERSION = 1
MAX_TALK = 16 * 1024  # octets
MAX_WORDS = 300  # characters of a refusal
DIGEST = re.compile(r"[0-9a-f]{64}")


class PapersRefusedError(DnsdError):
    """A control gives no papers; the message is its reason."""


class JoinQuestion(NamedTuple):
    """A certificate request in PEM, from a machine that is to become an edge, signed with the secret of its code.

    `code` is the digest of the secret, which stays on the machine: whoever hears the question cannot use it for another
    key.
    """

    code: str
    request: bytes
    signature: bytes

    def packed(self) -> bytes:
        """The question as a line."""
        return _line({"code": self.code, "request": self.request, "signature": self.signature.hex()})


def join_question(secret: bytes, request: bytes) -> JoinQuestion:
    """The question of the holder of a secret."""
    return JoinQuestion(digest_of(secret), request, signer_of(secret).sign(request))


class RenewalQuestion(NamedTuple):
    """A certificate request and the certificate so far, with its chain, in PEM, from an edge."""

    request: bytes
    chain: bytes

    def packed(self) -> bytes:
        """The question as a line."""
        return _line({"request": self.request, "chain": self.chain})


def parse_join(line: bytes) -> JoinQuestion:
    """A question of a machine that is to become an edge. Raises ValueFormatError."""
    found = _content(line)
    code = _text(found, "code")
    try:
        signature = bytes.fromhex(_text(found, "signature"))
    except ValueError:
        raise ValueFormatError("the message's signature is not of hexadecimal digits") from None
    if not DIGEST.fullmatch(code):
        raise ValueFormatError("the message has no digest of a code")
    return JoinQuestion(code, _octets(found, "request"), signature)


def parse_renewal(line: bytes) -> RenewalQuestion:
    """A question of an edge. Raises ValueFormatError."""
    found = _content(line)
    return RenewalQuestion(_octets(found, "request"), _octets(found, "chain"))


def papers_line(papers: Papers) -> bytes:
    """The answer that gives papers."""
    return _line({"chain": papers.chain, "jwt": papers.jwt})


def refusal_line(words: str) -> bytes:
    """The answer that gives none, and says why."""
    return _line({"refused": words[:MAX_WORDS]})


def parse_papers(line: bytes) -> Papers:
    """The papers in an answer. Raises PapersRefusedError, and ValueFormatError."""
    found = _content(line)
    if isinstance(words := found.get("refused"), str):
        raise PapersRefusedError(words[:MAX_WORDS])
    return Papers(_octets(found, "chain"), _text(found, "jwt"))


def greeting_line(authorities: bytes) -> bytes:
    """What a control says first: the certificates above its own, the last of them the root's, in PEM."""
    return _line({"authorities": authorities})


def parse_greeting(line: bytes) -> bytes:
    """The certificates in a greeting. Raises ValueFormatError."""
    return _octets(_content(line), "authorities")


def _line(content: Mapping[str, str | bytes]) -> bytes:
    texts = {
        key: value if isinstance(value, str) else value.decode("ascii", "replace") for key, value in content.items()
    }
    return json.dumps({"v": VERSION, **texts}).encode() + b"\n"


def _content(line: bytes) -> dict[str, object]:
    if len(line) > MAX_TALK:
        raise ValueFormatError(f"a message of more than {MAX_TALK:,} octets")
    found = json_object(line)
    if found.get("v") != VERSION:
        raise ValueFormatError("the message is of another version of dnsd")
    return found


def _text(found: dict[str, object], key: str) -> str:
    value = found.get(key)
    if not isinstance(value, str):
        raise ValueFormatError(f"the message has no {key}")
    return value


def _octets(found: dict[str, object], key: str) -> bytes:
    return _text(found, key).encode("ascii", "replace")
