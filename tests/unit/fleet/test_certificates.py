"""Certificates of a fleet: their chains, uses and ends."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dnsd.fleet.certificates import (
    CLIENT,
    NODE_LIFE,
    SERVER,
    Authority,
    CertificateError,
    check_node,
    issued_at,
    name_in,
    parse_chain,
    parse_der,
    parse_key,
    parse_request,
    pem_key,
    request_of,
    root_authority,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = root_authority(NOW)
CONTROL = ROOT.issue_authority("c1", now=NOW)
KEY = Ed25519PrivateKey.generate()
VERSION = b"\xa0\x03\x02\x01\x02"  # the field, in DER
OF_ANOTHER_VERSION = ROOT.certificate.public_bytes(Encoding.DER).replace(VERSION, VERSION[:-1] + b"\x05", 1)


def test_the_root_allows_one_authority_below_it_and_that_one_none() -> None:
    lengths = [one.certificate.extensions.get_extension_for_class(x509.BasicConstraints) for one in (ROOT, CONTROL)]
    assert [(one.critical, one.value.ca, one.value.path_length) for one in lengths] == [
        (True, True, 1),
        (True, True, 0),
    ]


def test_an_authority_of_a_control_is_for_clients_alone() -> None:
    found = CONTROL.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert (found.critical, [*found.value]) == (True, [CLIENT])


def test_an_edge_has_a_chain_to_the_root_and_is_a_client_alone() -> None:
    leaf, issuer = parse_chain(CONTROL.issue("e1", KEY.public_key(), now=NOW, life=NODE_LIFE))
    leaf.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(ROOT.certificate)
    assert leaf.public_key() == KEY.public_key()
    assert leaf.not_valid_after_utc == NOW + NODE_LIFE
    assert [*leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value] == [CLIENT]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    with pytest.raises(x509.ExtensionNotFound):
        leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_a_server_has_its_names_and_addresses() -> None:
    hosts = ("192.0.2.1", "2001:db8::1", "n1.example.net")
    octets = ROOT.issue("n1", KEY.public_key(), now=NOW, life=NODE_LIFE, uses=(SERVER, CLIENT), hosts=hosts)
    (leaf,) = parse_chain(octets)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert (*map(str, names.get_values_for_type(x509.IPAddress)), *names.get_values_for_type(x509.DNSName)) == hosts


def test_a_certificate_ends_with_its_issuer() -> None:
    late = CONTROL.certificate.not_valid_after_utc - timedelta(days=1)
    (leaf, issuer) = parse_chain(CONTROL.issue("e1", KEY.public_key(), now=late, life=NODE_LIFE))
    assert leaf.not_valid_after_utc == issuer.not_valid_after_utc


def test_an_authority_that_has_ended_signs_nothing() -> None:
    end = CONTROL.certificate.not_valid_after_utc
    for now in (end, end + timedelta(days=1)):
        with pytest.raises(CertificateError, match="the authority that signs has ended, 2030-12-31 00:00 UTC"):
            CONTROL.issue("e1", KEY.public_key(), now=now, life=NODE_LIFE)


@pytest.mark.parametrize("octets", [b"", b"x", OF_ANOTHER_VERSION])
def test_other_certificates_are_refused(octets: bytes) -> None:
    with pytest.raises(CertificateError, match="not a certificate in DER"):
        parse_der(octets)
    armoured = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(octets) + b"-----END CERTIFICATE-----\n"
    with pytest.raises(CertificateError, match="not a certificate in PEM"):
        parse_chain(armoured)


def test_a_request_gives_the_key_that_signed_it() -> None:
    assert parse_request(request_of("e1", KEY)) == KEY.public_key()


def of_another_kind() -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), SHA256()).public_bytes(Encoding.PEM)


def with_another_signature() -> bytes:
    request = bytearray(x509.load_pem_x509_csr(request_of("e1", KEY)).public_bytes(Encoding.DER))
    request[-1] ^= 1
    return x509.load_der_x509_csr(bytes(request)).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    "octets", [b"", b"x", request_of("e1", KEY)[:-40], pem_key(KEY), of_another_kind(), with_another_signature()]
)
def test_other_requests_are_refused(octets: bytes) -> None:
    with pytest.raises(CertificateError, match="certificate request"):
        parse_request(octets)


def test_keys_of_another_kind_are_refused() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    octets = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(CertificateError, match="not an Ed25519 key"):
        parse_key(octets)
    with pytest.raises(CertificateError, match="not a private key"):
        parse_key(b"x")
    assert parse_key(pem_key(KEY)).public_key() == KEY.public_key()


OTHER_ROOT = root_authority(NOW)
OTHER = OTHER_ROOT.issue_authority("c1", now=NOW)


def shown(authority: Authority, *uses: x509.ObjectIdentifier) -> list[x509.Certificate]:
    return parse_chain(authority.issue("e1", KEY.public_key(), now=NOW, life=NODE_LIFE, uses=uses))


def test_a_node_is_known_by_a_chain_to_the_root() -> None:
    for use in (CLIENT, SERVER):
        node = check_node(shown(CONTROL, use), ROOT.certificate, use=use, now=NOW + timedelta(days=1))
        assert (name_in(node), issued_at(node)) == ("e1", NOW)


@pytest.mark.parametrize(
    ("chain", "days", "words"),
    [
        (shown(OTHER, CLIENT), 1, "does not lead to the fleet's root"),
        ([shown(OTHER, CLIENT)[0], shown(CONTROL, CLIENT)[1]], 1, "does not lead to the fleet's root"),
        ([*shown(CONTROL, CLIENT), ROOT.certificate], 1, "does not lead to the fleet's root"),
        (shown(CONTROL, CLIENT)[:1], 1, "does not lead to the fleet's root"),
        (shown(ROOT, CLIENT), 1, "does not lead to the fleet's root"),
        (shown(CONTROL, SERVER), 1, "of another use"),
        (shown(CONTROL, CLIENT, SERVER), 1, "of another use"),
        ([CONTROL.certificate, ROOT.certificate], 1, "of another use"),
        (shown(CONTROL, CLIENT), 91, "not valid now"),
        (shown(CONTROL, CLIENT), -1, "not valid now"),
    ],
)
def test_another_chain_is_refused(chain: list[x509.Certificate], days: int, words: str) -> None:
    with pytest.raises(CertificateError, match=words):
        check_node(chain, ROOT.certificate, use=CLIENT, now=NOW + timedelta(days=days))


def test_an_edge_signs_nothing() -> None:
    edge = Authority(shown(CONTROL, CLIENT)[0], KEY)
    for chain in (shown(edge, CLIENT), [*shown(edge, CLIENT), edge.certificate]):
        with pytest.raises(CertificateError):
            check_node(chain, ROOT.certificate, use=CLIENT, now=NOW + timedelta(days=1))
