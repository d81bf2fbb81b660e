"""A machine with a code becomes an edge: it makes its key, checks whom it talks to, and gets its papers.

The question goes only to a control whose certificate leads to the root that the code names. The folder of the identity
comes whole, or stays as it was.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dnsd.errors import DnsdError
from dnsd.fleet.certificates import (
    SERVER,
    CertificateError,
    check_node,
    parse_chain,
    parse_der,
    pem,
    request_of,
    root_digest,
)
from dnsd.fleet.identity import Papers, check_papers, make_identity
from dnsd.fleet.identity_place import IdentityPlace, give_folder
from dnsd.fleet.join_code import JoinCode, place_of
from dnsd.fleet.papers_talk import MAX_TALK, PapersRefusedError, join_question, parse_greeting, parse_papers
from dnsd.fleet.values import ValueFormatError

WITHIN_S = 10.0  # with one control
CLOSE_S = 1.0
NO_ANSWER = (
    "no answer came to the code, which may be used up now: try it again; if it is not known any more, run "
    "`dnsd fleet leave {}` and `dnsd fleet code {}` at a control"
)


class NotJoinedError(DnsdError):
    """The machine is no edge; the message says why, and nothing has changed on it."""


class NoControlError(NotJoinedError):
    """No control of the code answers."""


def join_fleet(code: JoinCode, folder: Path, *, is_again: bool, owner: tuple[int, int] | None = None) -> None:
    """Become the edge of a code: write its identity to a folder, in place of another one of this edge if `is_again`.

    As root, gives it to `owner`, user and group; without it, to the owner of the folder that is there, else of the one
    above. Raises NotJoinedError, IdentityError and OSError: then the folder is as it was.
    """
    place = IdentityPlace(folder, is_again=is_again)
    place.check(code.name)
    with place.new_folder() as (new, fd):
        key = Ed25519PrivateKey.generate()
        root, papers = asyncio.run(_papers(code, request_of(code.name, key)))
        check_papers(papers, code.name, key, root, now=datetime.now(UTC))
        make_identity(new, key, pem(root), papers)
        give_folder(fd, owner or place.owner())
        place.put(new)


async def _papers(code: JoinCode, request: bytes) -> tuple[x509.Certificate, Papers]:
    """The root and the papers, from the first control that answers. Raises NotJoinedError."""
    said = []
    for url in code.urls:
        talk = _Talk(code, request)
        try:
            async with asyncio.timeout(WITHIN_S):
                return await talk.with_control(*place_of(url))
        except PapersRefusedError as error:
            raise NotJoinedError(str(error)) from None
        except (OSError, TimeoutError, ValueError, ValueFormatError, CertificateError) as error:
            if talk.has_sent:
                raise NotJoinedError(NO_ANSWER.format(code.name, code.name)) from None
            said.append(f"{url}: {error or type(error).__name__}")
    raise NoControlError("no control of the code's fleet answers: " + "; ".join(said))


class _Talk:
    """The talk with one control."""

    def __init__(self, code: JoinCode, request: bytes) -> None:
        self._code = code
        self._request = request
        self.has_sent = False  # the question

    async def with_control(self, host: str, port: int) -> tuple[x509.Certificate, Papers]:
        """The root and the papers. Raises PapersRefusedError, and much else that means no answer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # `_root` checks the certificate
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, limit=MAX_TALK, ssl_handshake_timeout=WITHIN_S, ssl_shutdown_timeout=CLOSE_S
        )
        try:
            shown_one = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            root = _root(shown_one, parse_greeting(await reader.readline()), self._code.root)
            self.has_sent = True
            writer.write(join_question(self._code.secret, self._request).packed())
            return root, parse_papers(await reader.readline())
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _root(octets: bytes, above: bytes, digest: bytes) -> x509.Certificate:
    """The root above the certificate that TLS has shown, if it is the one of a digest. Raises CertificateError."""
    *between, root = parse_chain(above)
    if root_digest(root) != digest:
        raise CertificateError("this is not a control of the fleet that the code is for")
    check_node([parse_der(octets), *between], root, use=SERVER, now=datetime.now(UTC))
    return root
