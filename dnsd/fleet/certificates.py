"""X.509 certificates of a fleet (RFC 5280), all with Ed25519 keys (RFC 8410). No files and no network.

The root signs servers and, for each control, an intermediate authority, which signs the control and edges. Servers'
certificates name their addresses. The intermediate authority and all below it are for clients alone, so that neither
an edge nor a control's stolen authority can pose as a server.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dnsd.errors import DnsdError

BEFORE = timedelta(hours=1)  # validity begins earlier than now, as clocks differ
ROOT_LIFE = timedelta(days=20 * 365)
AUTHORITY_LIFE = timedelta(days=5 * 365)
SERVER_LIFE = timedelta(days=2 * 365)  # renewed with the root folder, which is kept offline
NODE_LIFE = timedelta(days=90)  # of controls and edges
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DIGEST_SIZE = 16  # octets
UNSOUND = (  # what a chain of foreign certificates may raise
    InvalidSignature,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
)


class CertificateError(DnsdError):
    """A key, a certificate or a request that cannot be used."""


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that signs others, with its key; `chain` are the certificates from it up to below the root."""

    certificate: x509.Certificate
    key: Ed25519PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    def issue(
        self,
        name: str,
        key: Ed25519PublicKey,
        *,
        now: datetime,
        life: timedelta,
        uses: Iterable[x509.ObjectIdentifier] = (CLIENT,),
        hosts: Iterable[str] = (),
    ) -> bytes:
        """A certificate with its chain in PEM; it ends with the authority's at the latest.

        `hosts` are DNS names and addresses. Raises CertificateError once the authority has ended.
        """
        builder = self._signed(name, key, now, life)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        if names := [_general_name(host) for host in hosts]:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return b"".join(map(pem, (builder.sign(self.key, None), *self.chain)))

    def issue_authority(self, name: str, *, now: datetime, key: Ed25519PrivateKey | None = None) -> Authority:
        """An intermediate authority that may sign nodes alone (path length 0), and clients alone.

        `key` is that of an authority whose time begins anew; without it, there is a new one. Verifiers demand a
        certificate's use of all authorities above it, too (RFC 5280 §4.2.1.12 leaves it open). Raises CertificateError
        once this authority has ended.
        """
        key = key or Ed25519PrivateKey.generate()
        builder = self._signed(name, key.public_key(), now, AUTHORITY_LIFE)
        builder = builder.add_extension(x509.ExtendedKeyUsage([CLIENT]), critical=True)
        certificate = _of_authority(builder, key.public_key(), 0).sign(self.key, None)
        return Authority(certificate, key, (certificate, *self.chain))

    def _signed(self, name: str, key: Ed25519PublicKey, now: datetime, life: timedelta) -> x509.CertificateBuilder:
        """A certificate's builder with everything that comes from its issuer. Raises CertificateError."""
        last = self.certificate.not_valid_after_utc
        if last <= now:
            end_of_it = f"the authority that signs has ended, {last:%Y-%m-%d %H:%M} UTC"
            raise CertificateError(f"{end_of_it}: run `dnsd fleet renew FOLDER CONTROL`, and copy issuer.pem")
        end = min(now + life, last)
        builder = _builder(_subject(name), self.certificate.subject, key, now, end)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(issuer, critical=False)


def root_authority(now: datetime) -> Authority:
    """A new root, which may have authorities below it, and they none (path length 1)."""
    key, name = Ed25519PrivateKey.generate(), _subject("dnsd fleet root")
    builder = _builder(name, name, key.public_key(), now, now + ROOT_LIFE)
    return Authority(_of_authority(builder, key.public_key(), 1).sign(key, None), key)


def request_of(name: str, key: Ed25519PrivateKey) -> bytes:
    """A request for a certificate in PEM (RFC 2986): it proves that the sender has the key."""
    return (
        x509.CertificateSigningRequestBuilder().subject_name(_subject(name)).sign(key, None).public_bytes(Encoding.PEM)
    )


def parse_request(octets: bytes) -> Ed25519PublicKey:
    """The key in a request, its signature verified; the name in it has no meaning. Raises CertificateError."""
    try:
        request = x509.load_pem_x509_csr(octets)
        key, is_signed = request.public_key(), request.is_signature_valid
    except Exception:  # parsers of foreign octets: ValueError, TypeError, UnsupportedAlgorithm, also Rust's panics
        raise CertificateError("this is not a certificate request in PEM") from None
    if not isinstance(key, Ed25519PublicKey) or not is_signed:
        raise CertificateError("the certificate request needs an Ed25519 key and its signature")
    return key


def pem(certificate: x509.Certificate) -> bytes:
    """A certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM)


def pem_key(key: Ed25519PrivateKey) -> bytes:
    """A private key in PEM, a secret."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def parse_key(octets: bytes) -> Ed25519PrivateKey:
    """The private key in PEM. Raises CertificateError."""
    try:
        key = load_pem_private_key(octets, password=None)
    except (ValueError, TypeError):
        raise CertificateError("this is not a private key in PEM without a passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise CertificateError("this is not an Ed25519 key")
    return key


def parse_chain(octets: bytes) -> list[x509.Certificate]:
    """The certificates in PEM, at least one. Raises CertificateError."""
    try:
        return x509.load_pem_x509_certificates(octets)
    except Exception:  # parsers of foreign octets: ValueError, x509.InvalidVersion, also Rust's panics
        raise CertificateError("this is not a certificate in PEM") from None


def parse_der(octets: bytes) -> x509.Certificate:
    """The certificate in DER, as TLS has it. Raises CertificateError."""
    try:
        return x509.load_der_x509_certificate(octets)
    except Exception:  # as for PEM
        raise CertificateError("this is not a certificate in DER") from None


def root_digest(root: x509.Certificate) -> bytes:
    """The digest by which a code names a root: 16 octets."""
    return root.fingerprint(hashes.SHA256())[:DIGEST_SIZE]


def check_node(
    chain: Sequence[x509.Certificate], root: x509.Certificate, *, use: x509.ObjectIdentifier, now: datetime
) -> x509.Certificate:
    """The certificate of a node, the first in its chain, which leads over a control's authority to the root.

    `use` is the only one that it may have. Unlike TLS, this does not ask for the use of the authority. Raises
    CertificateError.
    """
    try:
        node, authority = chain
        for one, issuer in pairwise((node, authority, root, root)):
            one.verify_directly_issued_by(issuer)
        constraints = [one.extensions.get_extension_for_class(x509.BasicConstraints).value for one in (*chain, root)]
        uses = [*node.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value]
    except UNSOUND:
        raise CertificateError("the certificate does not lead to the fleet's root") from None
    if [one.ca for one in constraints] != [False, True, True] or uses != [use]:
        raise CertificateError("the certificate is of another use")
    if not all(one.not_valid_before_utc <= now <= one.not_valid_after_utc for one in (*chain, root)):
        raise CertificateError("the certificate is not valid now: check the clock of this machine")
    return node


def name_in(certificate: x509.Certificate) -> str:
    """The name of a node in its certificate; empty without one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def issued_at(certificate: x509.Certificate) -> datetime:
    """The time at which this module made a certificate."""
    return certificate.not_valid_before_utc + BEFORE


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PublicKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - BEFORE).not_valid_after(end)


def _of_authority(builder: x509.CertificateBuilder, key: Ed25519PublicKey, below: int) -> x509.CertificateBuilder:
    """With the extensions of an authority with up to `below` authorities in a chain below it."""
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    never = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, **never)


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
