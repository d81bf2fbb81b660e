"""A node's papers, renewed in time, while it runs: an edge asks any control, a control asks its own issuer.

New papers are for the same key, and are checked before they are written. Then the node goes on over a new connection,
as servers end one whose papers have expired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dnsd.errors import DnsdError, shown
from dnsd.fleet.certificates import request_of
from dnsd.fleet.identity import (
    CERTIFICATE_FILE,
    NodeIdentity,
    Papers,
    check_papers,
    load_identity,
    renew_identity,
    root_of,
)
from dnsd.fleet.issuer import load_issuer
from dnsd.fleet.link import NoAnswerError
from dnsd.fleet.node import FleetNode
from dnsd.fleet.papers_talk import RenewalQuestion, parse_papers
from dnsd.process.tasks import in_thread

LOOK_S = 5.0
ANSWER_S = 5.0
LONGEST_S = 600.0  # between attempts

NewPapers = Callable[[FleetNode, NodeIdentity], Awaitable[Papers]]
IsListed = Callable[[NodeIdentity], bool]


class RenewalError(DnsdError):
    """New papers that are of no use; the message says why."""


def everybody(identity: NodeIdentity) -> bool:
    """That a node is listed: of controls, there is no list."""
    return True


async def asked_papers(node: FleetNode, identity: NodeIdentity) -> Papers:
    """New papers of an edge, from any control.

    Raises PapersRefusedError, ValueFormatError, OSError, and as the line does.
    """
    chain = await in_thread((identity.folder / CERTIFICATE_FILE).read_bytes)
    question = RenewalQuestion(request_of(identity.name, identity.key.private), chain)
    link = await node.line.link()
    reply = await link.request(f"hub.ask.{identity.name}", question.packed(), within_s=ANSWER_S)
    return parse_papers(reply.data)


async def own_papers(node: FleetNode, identity: NodeIdentity) -> Papers:
    """New papers of a control, from its own issuer. Raises IdentityError."""
    issuer = await in_thread(partial(load_issuer, identity.folder))
    return issuer.control_papers(identity.name, identity.key.private.public_key(), now=datetime.now(UTC))


class PapersKeeper:
    """Renews the papers in a folder while `run` runs: from two thirds of their time on, or if the node is not listed.

    `note` gets what prevents it, and an empty text once nothing does.
    """

    def __init__(
        self,
        folder: Path,
        new_papers: NewPapers,
        note: Callable[[str], None],
        *,
        is_listed: IsListed = everybody,
    ) -> None:
        """`is_listed` tells whether the fleet knows the node by its key: it does once a control has given it papers."""
        self._folder = folder
        self._new_papers = new_papers
        self._note = note
        self._is_listed = is_listed

    async def run(self, node: FleetNode) -> None:
        """Keep the papers valid until cancelled."""
        failures = 0
        while True:
            identity: NodeIdentity | None = None
            try:
                identity = await in_thread(partial(load_identity, self._folder))
                if _is_due(identity) or not self._is_listed(identity):
                    await self._renew(node, identity)
                self._note("")
                failures = 0
            except (DnsdError, OSError) as error:
                self._note(_words(identity, error) if identity else "")  # without one, the store says why
                failures += 1
            await asyncio.sleep(_pause_s(identity, failures))

    async def _renew(self, node: FleetNode, identity: NodeIdentity) -> None:
        papers = await self._new_papers(node, identity)
        await in_thread(partial(self._write, identity, papers))
        await node.line.renew()

    def _write(self, identity: NodeIdentity, papers: Papers) -> None:
        """Write papers that are of use. Raises IdentityError, RenewalError and OSError."""
        check_papers(papers, identity.name, identity.key.private, root_of(self._folder), now=datetime.now(UTC))
        if _is_due(identity) and papers.expires() <= identity.expires:
            raise RenewalError("new ones would end then, too, with the authority of the control")
        renew_identity(self._folder, papers)


def _is_due(identity: NodeIdentity) -> bool:
    return datetime.now(UTC) >= identity.renew_at()


def _words(identity: NodeIdentity, error: Exception) -> str:
    """What an operator must know of a renewal that failed."""
    end = f"{identity.expires:%Y-%m-%d %H:%M} UTC"
    if datetime.now(UTC) >= identity.expires:
        return f"the papers in {shown(identity.folder)} have expired, {end}: {error}"
    if _is_due(identity):
        return f"the papers in {shown(identity.folder)} are valid until {end}, and are not renewed: {error}"
    return "" if isinstance(error, NoAnswerError) else f"the fleet does not list this node: {error}"


def _pause_s(identity: NodeIdentity | None, failures: int) -> float:
    """The time until papers are looked at again; short before they end."""
    now = datetime.now(UTC)
    if identity is None:
        return LOOK_S
    if not failures:
        return min(LOOK_S, max(0.1, (identity.renew_at() - now).total_seconds()))
    left_s = (identity.expires - now).total_seconds()
    return min(LONGEST_S, LOOK_S * (1 << min(failures - 1, 10)), max(1.0, left_s / 20))
