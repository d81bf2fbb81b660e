"""TLS for listeners: a certificate with its key, read from files and judged before it is used."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dnsd.errors import DnsdError

WARN_BEFORE = timedelta(days=14)
MAX_FILE = 1024 * 1024  # octets
WRONG_KEY = "KEY_VALUES_MISMATCH"  # OpenSSL's name of the error
ALPN = ["http/1.1"]

FileStamp = tuple[int, ...]  # equal while a file stays unchanged


class UnusablePairError(DnsdError):
    """A certificate and a key that cannot be used; the message has the file and the reason."""


@dataclass(frozen=True, slots=True)
class PairFiles:
    """The files, in PEM: a certificate with those that lead to its issuer, and its private key."""

    certificate: Path
    key: Path

    def stamp(self) -> tuple[FileStamp, FileStamp]:
        """Equal while both files stay unchanged; links are followed."""
        return _stamp(self.certificate), _stamp(self.key)

    def is_open_key(self) -> bool:
        """Whether users other than the key's owner and group may read it."""
        try:
            return bool(os.stat(self.key).st_mode & stat.S_IROTH)
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its key, ready for connections."""

    context: ssl.SSLContext
    names: tuple[str, ...]  # DNS names in lower case, perhaps with a wildcard
    not_before: datetime
    not_after: datetime

    def fault(self, now: datetime) -> str:
        """The reason why clients refuse the certificate now; "" if its dates are good."""
        if now >= self.not_after:
            return f"the certificate expired on {self.not_after:%Y-%m-%d %H:%M} UTC: renew it"
        if now < self.not_before:
            return f"the certificate is not valid before {self.not_before:%Y-%m-%d %H:%M} UTC"
        return ""

    def warning(self, now: datetime) -> str:
        """A warning in the last days before the certificate expires, else ""."""
        left = self.not_after - now
        if not timedelta(0) < left < WARN_BEFORE:
            return ""
        days = f"{left.days} day{'' if left.days == 1 else 's'}" if left.days else f"{left.seconds // 3600} h"
        return f"the certificate expires in {days}, on {self.not_after:%Y-%m-%d %H:%M} UTC: renew it"

    def missing(self, hosts: Iterable[str]) -> list[str]:
        """The hosts that the certificate does not name."""
        return [host for host in hosts if not {host, f"*.{host.partition('.')[2]}"}.intersection(self.names)]


def load_pair(files: PairFiles) -> KeyPair:
    """Read a certificate and its key. Raises UnusablePairError."""
    certificate = _parsed(files.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325 §3.1.1
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(ALPN)
    _read(files.key)
    try:
        # Without a function, OpenSSL would ask for the passphrase on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    except ssl.SSLError as error:
        if error.reason == WRONG_KEY:
            message = f"{files.key} is not the key of the certificate {files.certificate}"
        else:
            message = f"{files.key} is not a private key in PEM"
        raise UnusablePairError(message) from None
    except OSError as error:
        raise UnusablePairError(f"{files.key} cannot be read: {error.strerror}") from None
    return KeyPair(
        context, tuple(_names(certificate)), certificate.not_valid_before_utc, certificate.not_valid_after_utc
    )


def first_certificate(file: Path) -> str:
    """The server's own certificate in a file, without those of its issuers, in PEM. Raises UnusablePairError."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return str(_parsed(file).public_bytes(Encoding.PEM), "ascii")


def _parsed(file: Path) -> Any:
    """The first certificate in a file, as a `cryptography.x509.Certificate`; imported late, as few servers need it."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_read(file))[0]
    except ValueError:
        raise UnusablePairError(f"{file} is not a certificate in PEM") from None


def _names(certificate: Any) -> Iterator[str]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return
    yield from (name.lower() for name in found.get_values_for_type(x509.DNSName))


def _read(file: Path) -> bytes:
    """The content of a file. Raises UnusablePairError."""
    try:
        with open(file, "rb") as opened:
            return opened.read(MAX_FILE)
    except PermissionError:
        who = _user()
        raise UnusablePairError(f"{file} cannot be read by the user {who}: use chgrp and chmod g+r") from None
    except OSError as error:
        raise UnusablePairError(f"{file} cannot be read: {error.strerror}") from None


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _no_passphrase() -> bytes:
    raise UnusablePairError("the private key has a passphrase: the server cannot ask for it, so store it without")


def _stamp(file: Path) -> FileStamp:
    try:
        found = os.stat(file)
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
