"""The port at which a control lets edges in by a code. It shows a certificate of its own authority, for edges alone.

A machine with a code knows the root by its digest, and nothing else of the fleet: so the control shows the certificates
between, and the machine checks them before it asks.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dnsd.errors import DnsdError
from dnsd.fleet.admission import Admission, admission_of
from dnsd.fleet.certificates import NODE_LIFE, CertificateError, name_in, parse_chain, pem
from dnsd.fleet.edge_list import AdmissionError
from dnsd.fleet.identity import KEY_FILE, load_identity
from dnsd.fleet.node import FleetNode
from dnsd.fleet.papers_talk import greeting_line, papers_line, parse_join, refusal_line
from dnsd.fleet.values import ValueFormatError
from dnsd.log import Log
from dnsd.net.listen import Address, address_of, open_stream_listener
from dnsd.net.strangers import StrangersPort
from dnsd.process.tasks import in_thread

CERTIFICATE_S = 24 * 3600.0  # the port begins anew with another certificate
AGAIN_S = 5.0
LOG_EACH_S = 10.0  # refusals
AWAY = "this control does not reach the fleet's servers now: try again"


class _Door(NamedTuple):
    """What the port needs."""

    admission: Admission
    context: ssl.SSLContext
    greeting: bytes


class JoinService:
    """Lets edges in while `run` runs. `note` gets what prevents it, and an empty text once nothing does."""

    def __init__(
        self, identity: Path, listen: Address, note: Callable[[str], None], log: Log, *, life: timedelta = NODE_LIFE
    ) -> None:
        self._identity = identity
        self._listen = listen
        self._note = note
        self._log = log
        self._life = life
        self._has_said = False
        self._may_log_at = 0.0  # on the monotonic clock

    async def run(self, node: FleetNode) -> None:
        """Let edges in until cancelled."""
        while True:
            try:
                async with asyncio.timeout(CERTIFICATE_S):
                    await self._serve(node)
            except TimeoutError:
                continue
            except (DnsdError, OSError) as error:
                self._note(f"no edge can join here: {error}")
            await asyncio.sleep(AGAIN_S)

    async def _serve(self, node: FleetNode) -> None:
        """Serve the port. Raises IdentityError, CertificateError, ListenError and OSError."""
        door = await in_thread(partial(self._door, node))
        listener = open_stream_listener(self._listen)
        try:
            self._note("")
            if not self._has_said:
                self._has_said = True
                self._log.info(f"fleet: edges may join at {address_of(listener)}")
            await StrangersPort(listener, door.context, door.greeting, partial(self._answer, door.admission)).run()
        finally:
            listener.close()

    def _door(self, node: FleetNode) -> _Door:
        identity = load_identity(self._identity)
        admission = admission_of(self._identity, node.name, node.line, self._life)
        key, issuer = identity.key.private, admission.issuer
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        with tempfile.NamedTemporaryFile(prefix="dnsd-join-") as file:  # ssl reads files alone; this one has no secret
            file.write(issuer.join_chain(node.name, key.public_key(), now=datetime.now(UTC)))
            file.flush()
            context.load_cert_chain(file.name, self._identity / KEY_FILE)
        above = pem(issuer.authority.certificate) + pem(admission.root)
        return _Door(admission, context, greeting_line(above))

    async def _answer(self, admission: Admission, line: bytes) -> bytes:
        """The answer to a stranger's line."""
        try:
            question = parse_join(line)
            papers = await admission.join(question, datetime.now(UTC))
        except (AdmissionError, CertificateError, ValueFormatError) as error:
            return self._refusal(str(error))
        except (DnsdError, OSError):
            return self._refusal(AWAY)
        self._log.info(f"fleet: {name_in(parse_chain(papers.chain)[0])} has joined")
        return papers_line(papers)

    def _refusal(self, words: str) -> bytes:
        if time.monotonic() >= self._may_log_at:
            self._may_log_at = time.monotonic() + LOG_EACH_S
            self._log.warning(f"warning: fleet: an edge was not let in: {words}")
        return refusal_line(words)
