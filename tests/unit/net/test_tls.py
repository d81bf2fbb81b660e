"""Certificates with their keys: the files that can be used, and the words about the others."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from dnsd.net.tls import PairFiles, UnusablePairError, first_certificate, load_pair
from tests.certificates import DAY, Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def test_pair_is_read_with_its_names_and_dates(authority: Authority) -> None:
    pair = load_pair(PairFiles(*authority.issue("DNS.example.com", "*.example.net", "192.0.2.1", end=30 * DAY)))
    now = datetime.now(UTC)
    assert pair.names == ("dns.example.com", "*.example.net")
    assert pair.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert pair.context.options & ssl.OP_NO_RENEGOTIATION
    assert pair.fault(now) == pair.warning(now) == ""
    hosts = ["dns.example.com", "x.example.net", "x.y.example.net", "example.net", "other.example"]
    assert pair.missing(hosts) == ["x.y.example.net", "example.net", "other.example"]


# Time from now on; a part of the fault, a part of the warning
TIMES = {
    "long before its end": (timedelta(days=15), "", ""),
    "two weeks before its end": (timedelta(days=16, hours=12), "", "expires in 13 days"),
    "a day before its end": (timedelta(days=28, hours=20), "", "expires in 1 day,"),
    "in its last hours": (timedelta(days=29, hours=20), "", "expires in 3 h"),
    "after its end": (timedelta(days=31), "expired on", ""),
    "before its start": (timedelta(days=-2), "not valid before", ""),
}


@pytest.mark.parametrize(("after", "fault", "warning"), TIMES.values(), ids=TIMES.keys())
def test_dates_are_judged(authority: Authority, after: timedelta, fault: str, warning: str) -> None:
    pair = load_pair(PairFiles(*authority.issue("dns.example.com", end=30 * DAY)))
    now = datetime.now(UTC)
    assert (fault in pair.fault(now + after)) is True
    assert bool(pair.fault(now + after)) is bool(fault)
    assert warning in pair.warning(now + after)
    assert bool(pair.warning(now + after)) is bool(warning)


def another_key(authority: Authority) -> PairFiles:
    certificate, _ = authority.issue("a.example", stem="one")
    _, key = authority.issue("a.example", stem="two")
    return PairFiles(certificate, key)


def with_passphrase(authority: Authority) -> PairFiles:
    return PairFiles(*authority.issue("a.example", stem="locked", passphrase=b"secret"))


def written(certificate: bytes | None, key: bytes | None) -> Callable[[Authority], PairFiles]:
    def write(authority: Authority) -> PairFiles:
        files = PairFiles(*authority.issue("a.example", stem="written"))
        for file, octets in ((files.certificate, certificate), (files.key, key)):
            if octets is not None:
                file.write_bytes(octets)
        return files

    return write


UNUSABLE: dict[str, tuple[Callable[[Authority], PairFiles], str]] = {
    "the key of another certificate": (another_key, "two.key is not the key of the certificate"),
    "a key with a passphrase": (with_passphrase, "has a passphrase"),
    "an empty certificate": (written(b"", None), "written.pem is not a certificate in PEM"),
    "a certificate cut short": (
        written(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", None),
        "written.pem is not a certificate in PEM",
    ),
    "an empty key": (written(None, b""), "written.key is not a private key in PEM"),
    "octets for a key": (written(None, bytes(range(256))), "written.key is not a private key in PEM"),
    "no certificate": (lambda one: PairFiles(one.folder / "none.pem", one.folder / "none.key"), "No such file"),
    "a folder": (lambda one: PairFiles(one.folder, one.folder), "Is a directory"),
    "no key": (
        lambda one: PairFiles(one.issue("a.example", stem="alone")[0], one.folder / "none.key"),
        "none.key cannot be read: No such file",
    ),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_unusable_files_are_named_with_the_reason(authority: Authority, what: str) -> None:
    files_of, said = UNUSABLE[what]
    with pytest.raises(UnusablePairError) as caught:
        load_pair(files_of(authority))
    assert said in str(caught.value)


def test_change_of_either_file_changes_the_stamp(authority: Authority) -> None:
    files = PairFiles(*authority.issue("a.example", stem="stamp"))
    first = files.stamp()
    assert files.stamp() == first
    os.chmod(files.key, 0o640)
    second = files.stamp()
    assert second != first
    files.certificate.unlink()
    assert files.stamp() not in (first, second)


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_key_that_others_can_read_is_noticed(authority: Authority, mode: int, is_open: bool) -> None:
    files = PairFiles(*authority.issue("a.example", stem="mode"))
    os.chmod(files.key, mode)
    assert files.is_open_key() is is_open


def test_first_certificate_is_the_servers_own(authority: Authority) -> None:
    certificate, _ = authority.issue("a.example", stem="chain")
    assert certificate.read_text().startswith(first_certificate(certificate))
    assert certificate.read_text().count("BEGIN CERTIFICATE") == 2
    assert first_certificate(certificate).count("BEGIN CERTIFICATE") == 1
