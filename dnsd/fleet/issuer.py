"""The issuer of a control: its intermediate authority and its signing key, with which it makes edges' papers.

Each control has its own, so that the root folder's holder can withdraw one control: without its signing key in the
accounts, servers refuse its JWT and those that it has signed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from dnsd.fleet.access import DNSD, EDGES, check_node_name, control_claims, edge_claims
from dnsd.fleet.certificates import (
    NODE_LIFE,
    SERVER,
    Authority,
    CertificateError,
    parse_chain,
    parse_key,
    parse_request,
    pem,
    pem_key,
)
from dnsd.fleet.identity import IdentityError, Papers
from dnsd.fleet.jwt import signed_jwt
from dnsd.fleet.nkeys import Nkey, NkeyError, NkeyKind, pack_public, parse_public, parse_seed
from dnsd.whole_file import make_folder, replacing

CERTIFICATE_FILE, KEY_FILE, SEED_FILE, ACCOUNTS_FILE = "issuer.pem", "issuer-key.pem", "signing.nk", "accounts.json"


@dataclass(frozen=True, slots=True)
class Issuer:
    """An intermediate authority, a signing key of both accounts, and these accounts' public keys by name."""

    authority: Authority
    signing: Nkey
    accounts: dict[str, str]

    def edge_papers(self, name: str, request: bytes, *, now: datetime, life: timedelta = NODE_LIFE) -> Papers:
        """Papers for an edge from its certificate request. Raises CertificateError, or ValueError for the name."""
        key = parse_request(request)
        chain = self.authority.issue(check_node_name(name), key, now=now, life=life)
        return Papers(chain, self._jwt(key, edge_claims(name, self.accounts[EDGES]), name, now, life))

    def control_papers(self, name: str, key: Ed25519PublicKey, *, now: datetime, life: timedelta = NODE_LIFE) -> Papers:
        """The control's own papers; like its edges, it is a client alone."""
        chain = self.authority.issue(check_node_name(name), key, now=now, life=life)
        return Papers(chain, self._jwt(key, control_claims(name, self.accounts[DNSD]), name, now, life))

    def join_chain(self, name: str, key: Ed25519PublicKey, *, now: datetime) -> bytes:
        """The certificate of the control as a server, with its chain in PEM, for the port at which edges join.

        No client of NATS takes it: TLS wants the same use of the authority. Edges have none of this use.
        """
        return self.authority.issue(check_node_name(name), key, now=now, life=NODE_LIFE, uses=(SERVER,))

    def save(self, folder: Path) -> None:
        """Write the issuer into the folder of the control's identity. Raises OSError."""
        make_folder(folder)
        content = {
            CERTIFICATE_FILE: pem(self.authority.certificate),
            KEY_FILE: pem_key(self.authority.key),
            SEED_FILE: f"{self.signing.seed()}\n".encode(),
            ACCOUNTS_FILE: f"{json.dumps(self.accounts)}\n".encode(),
        }
        for name, octets in content.items():
            with replacing(folder / name) as out:
                out.write(octets)

    def _jwt(self, key: Ed25519PublicKey, claims: dict[str, object], name: str, now: datetime, life: timedelta) -> str:
        subject = pack_public(key, NkeyKind.USER)
        return signed_jwt(self.signing, subject, claims, name=name, issued=now, expires=now + life)


def load_issuer(folder: Path) -> Issuer:
    """Read the issuer in the folder of a control's identity. Raises IdentityError."""
    try:
        certificate = parse_chain((folder / CERTIFICATE_FILE).read_bytes())[0]
        key = parse_key((folder / KEY_FILE).read_bytes())
        signing = parse_seed((folder / SEED_FILE).read_text().strip(), NkeyKind.ACCOUNT)
        accounts = json.loads((folder / ACCOUNTS_FILE).read_text())
        for account in (DNSD, EDGES):
            parse_public(accounts[account], NkeyKind.ACCOUNT)
    except OSError as error:
        raise IdentityError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (CertificateError, NkeyError, ValueError, TypeError, LookupError) as error:
        raise IdentityError(f"{folder}: the control's issuer is damaged: {error}") from None
    if certificate.public_key() != key.public_key():
        raise IdentityError(f"{folder / CERTIFICATE_FILE} is not of the key {folder / KEY_FILE}")
    return Issuer(Authority(certificate, key, (certificate,)), signing, accounts)
