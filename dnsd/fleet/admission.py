"""The papers that a control gives to edges: to the holder of a code, and new ones to an edge that asks in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from dnsd.fleet.certificates import (
    CLIENT,
    NODE_LIFE,
    check_node,
    issued_at,
    name_in,
    parse_chain,
    parse_request,
)
from dnsd.fleet.edge_list import AdmissionError, EdgeList
from dnsd.fleet.identity import Papers, root_of
from dnsd.fleet.issuer import Issuer, load_issuer
from dnsd.fleet.link import Line
from dnsd.fleet.nkeys import NkeyKind, pack_public
from dnsd.fleet.papers_talk import JoinQuestion


@dataclass(frozen=True, slots=True)
class Admission:
    """Gives papers by the list of edges, from a control's issuer. Its methods raise as those of `EdgeList`."""

    edges: EdgeList
    issuer: Issuer
    root: x509.Certificate
    life: timedelta = NODE_LIFE  # of papers

    async def join(self, question: JoinQuestion, now: datetime) -> Papers:
        """Papers for the holder of a code, who becomes an edge. Raises CertificateError, too."""
        key = pack_public(parse_request(question.request), NkeyKind.USER)
        name = await self.edges.redeem(question, key)
        return self.issuer.edge_papers(name, question.request, now=now, life=self.life)

    async def renew(self, name: str, request: bytes, chain: bytes, now: datetime) -> Papers:
        """New papers for the edge of this name, by its request and the certificate that it has.

        The request shows that the asker has the key. The certificate shows that the key is the edge's: else whoever
        has got hold of an edge could get papers for a key of his own, which no withdrawal of the edge's key would end.
        Raises CertificateError, too.
        """
        key = parse_request(request)
        certificate = check_node(parse_chain(chain), self.root, use=CLIENT, now=now)
        if certificate.public_key() != key or name_in(certificate) != name:
            raise AdmissionError(f"the certificate is not one of {name} with the key of the request")
        await self.edges.know(name, pack_public(key, NkeyKind.USER), issued_at(certificate))
        return self.issuer.edge_papers(name, request, now=now, life=self.life)


def admission_of(identity: Path, control: str, line: Line, life: timedelta) -> Admission:
    """The admission of a control, by the folder of its identity. Raises IdentityError and CertificateError."""
    return Admission(EdgeList(line, control), load_issuer(identity), root_of(identity), life)
