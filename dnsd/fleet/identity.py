"""A node's identity: the folder with its key, its certificate, its JWT and the root's certificate.

One Ed25519 key is the key of the certificate and of the JWT. A renewal keeps the key and replaces certificate and JWT,
each as a whole, so that a node may read the folder at any time. NATS clients get everything from here.
"""

from __future__ import annotations

import base64
import ssl
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dnsd.errors import DnsdError
from dnsd.fleet.access import inbox_of
from dnsd.fleet.certificates import CLIENT, CertificateError, check_node, name_in, parse_chain, parse_key, pem_key
from dnsd.fleet.jwt import JwtError, parse_jwt
from dnsd.fleet.nkeys import Nkey, NkeyKind
from dnsd.whole_file import make_folder, replacing

ROOT_FILE, CERTIFICATE_FILE, KEY_FILE, JWT_FILE = "ca.pem", "cert.pem", "key.pem", "user.jwt"
MAX_FILE = 1024 * 1024  # octets
RENEWED_AFTER = 2 / 3  # of its life

T = TypeVar("T")


class IdentityError(DnsdError):
    """An identity that cannot be used; the message has the file, the reason and the remedy."""


class Papers(NamedTuple):
    """What an issuer gives to the holder of a key: a certificate with its chain in PEM, and a JWT."""

    chain: bytes
    jwt: str

    def expires(self) -> datetime:
        """The end of the certificate or of the JWT, whichever is earlier. Raises CertificateError and JwtError."""
        return _end(parse_chain(self.chain)[0], parse_jwt(self.jwt))


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """The identity of a control or an edge, as read from its folder."""

    folder: Path
    name: str
    account: str  # the public key of its account
    key: Nkey
    jwt: str
    issued: datetime
    expires: datetime  # of the certificate or the JWT, whichever is earlier

    def renew_at(self) -> datetime:
        """The time from which the node asks for new papers."""
        return self.issued + (self.expires - self.issued) * RENEWED_AFTER

    def context(self) -> ssl.SSLContext:
        """TLS 1.3 with the node's certificate, for servers that the fleet's root vouches for. Raises IdentityError."""
        try:
            context = ssl.create_default_context(cafile=self.folder / ROOT_FILE)
            context.load_cert_chain(self.folder / CERTIFICATE_FILE, self.folder / KEY_FILE)
        except OSError as error:  # ssl.SSLError, too
            raise IdentityError(f"{self.folder}: certificate and key cannot be used: {error}") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    def connect_options(self) -> dict[str, Any]:
        """What `nats.connect` needs to know of the node. A new client reads renewed papers: make the options anew."""
        jwt: Callable[[], bytes] = self.jwt.encode
        return {
            "tls": self.context(),
            "user_jwt_cb": jwt,
            "signature_cb": self._signature,
            "inbox_prefix": inbox_of(self.name).encode(),
        }

    def _signature(self, nonce: str) -> bytes:
        return base64.b64encode(self.key.sign(nonce.encode()))


def load_identity(folder: Path) -> NodeIdentity:
    """Read an identity, and check that its parts belong together. Raises IdentityError."""
    path = folder / KEY_FILE
    private = _parsed(path, parse_key)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise IdentityError(f"{path} may be read by others than its owner: use chmod 600")
    jwt = _read(folder / JWT_FILE).decode("ascii", "replace").strip()
    claims = _parsed(folder / JWT_FILE, lambda _: parse_jwt(jwt))
    certificate = _parsed(folder / CERTIFICATE_FILE, parse_chain)[0]
    _parsed(folder / ROOT_FILE, parse_chain)
    key = Nkey(NkeyKind.USER, private)
    if claims["sub"] != key.public:
        raise IdentityError(f"{folder / JWT_FILE} is not of the key {path}")
    if certificate.public_key() != private.public_key():
        raise IdentityError(f"{folder / CERTIFICATE_FILE} is not of the key {path}")
    account = claims["nats"].get("issuer_account", claims["iss"])
    issued = datetime.fromtimestamp(claims["iat"], UTC)
    return NodeIdentity(folder, claims["name"], account, key, jwt, issued, _end(certificate, claims))


def root_of(folder: Path) -> x509.Certificate:
    """The fleet's root, as the folder of an identity has it. Raises IdentityError."""
    return _parsed(folder / ROOT_FILE, parse_chain)[0]


def check_papers(papers: Papers, name: str, key: Ed25519PrivateKey, root: x509.Certificate, *, now: datetime) -> None:
    """Raises IdentityError unless these are the papers of a node with this name and key, in the root's fleet."""
    try:
        certificate = check_node(parse_chain(papers.chain), root, use=CLIENT, now=now)
        claims = parse_jwt(papers.jwt)
    except (CertificateError, JwtError) as error:
        raise IdentityError(f"papers came that cannot be used: {error}") from None
    keys = {certificate.public_key() == key.public_key(), claims["sub"] == Nkey(NkeyKind.USER, key).public}
    if keys != {True} or {name_in(certificate), claims["name"]} != {name}:
        raise IdentityError("papers came of another node")


def make_identity(folder: Path, key: Ed25519PrivateKey, root: bytes, papers: Papers) -> None:
    """Write a new identity; the folder must not exist or be empty. Raises IdentityError and OSError."""
    make_folder(folder)
    if any(folder.iterdir()):
        raise IdentityError(f"{folder} has files already: choose a new or an empty folder")
    for name, octets in ((KEY_FILE, pem_key(key)), (ROOT_FILE, root)):
        with replacing(folder / name) as out:
            out.write(octets)
    renew_identity(folder, papers)


def renew_identity(folder: Path, papers: Papers) -> None:
    """Replace certificate and JWT; connections stay, and new ones show the new papers. Raises OSError."""
    for name, octets in ((CERTIFICATE_FILE, papers.chain), (JWT_FILE, f"{papers.jwt}\n".encode())):
        with replacing(folder / name) as out:
            out.write(octets)


def _end(certificate: x509.Certificate, claims: Mapping[str, Any]) -> datetime:
    """The end of a certificate or of a JWT, whichever is earlier."""
    ends = [certificate.not_valid_after_utc]
    if "exp" in claims:
        ends.append(datetime.fromtimestamp(claims["exp"], UTC))
    return min(ends)


def _parsed(path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(_read(path))
    except (CertificateError, JwtError) as error:
        raise IdentityError(f"{path}: {error}") from None


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        raise IdentityError(f"{path} cannot be read: {error.strerror}") from None
