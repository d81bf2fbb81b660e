"""A command's connection to the API: its address, and the token."""

from __future__ import annotations

import getpass
import ipaddress
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import click

from dnsd.cli.api_options import TOKEN_VARIABLE
from dnsd.cli.client import ANSWER_S, BASE, NOT_RUNNING, Client, FailedError
from dnsd.cli.local import STATUS_TIMEOUT_S
from dnsd.cli.show import report, say
from dnsd.cli.token_store import tokens_of
from dnsd.errors import InvalidDataError, printable
from dnsd.manage.brake import COMMANDS
from dnsd.manage.pending import MAX_LATE
from dnsd.manage.token_port import NoSuchTokenError, TokenFileError, Tokens
from dnsd.manage.tokens import MAX_NAME
from dnsd.model.times import time_text
from dnsd.net.listen import Address
from dnsd.net.tls import UnusablePairError, first_certificate
from dnsd.process.link import MessageKind, ask
from dnsd.process.state_folder import UnsafeFolderError, folder_of_command
from dnsd.settings.file import load_settings
from dnsd.settings.written import state_folder_of

ADD_API = 'api: {listen: "127.0.0.1:8053"}'
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # wildcard address -> loopback address
CONNECT_S = 5.0
OWN_TOKEN_LIFETIME = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Api:
    """The API's URL. `is_ours`: it comes from the settings file, not from --url; so does `certificate`, a file."""

    url: str
    is_ours: bool
    certificate: Path | None = None


@contextmanager
def exit_on_failure() -> Iterator[None]:
    """Print the reason of a failure, and exit."""
    try:
        yield
    except InvalidDataError as error:
        report(error.problems)
        sys.exit(1)
    except FailedError as error:
        for line in error.lines:
            say(printable(line))
        sys.exit(error.status)


def is_api_meant(url: str | None, token_file: Path | None) -> bool:
    """Whether the options or the environment name a server or a token of the API."""
    return bool(url or token_file or os.environ.get(TOKEN_VARIABLE))


@contextmanager
def connected(
    config: Path,
    url: str | None,
    token_file: Path | None,
    ca: Path | None,
    until: datetime | None = None,
    *,
    waits: bool = False,
) -> Iterator[Client]:
    """Open a client of the API. Without a given token, it makes one, which lasts until `until` or the end.

    One that `waits` does so until edges serve each change.
    """
    import httpx

    token = _given_token(token_file)
    api = _Api(url, is_ours=False) if url else _api_of(config)
    with _own_token(config, api, until) if token is None else nullcontext(token) as secret:
        headers = {"Authorization": f"Bearer {secret}", "User-Agent": "dnsd"}
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        may_use_env = token is not None and not api.is_ours  # proxies, and $SSL_CERT_FILE
        trust = _trust(api, ca)
        with httpx.Client(
            base_url=api.url, headers=headers, timeout=timeout, trust_env=may_use_env, verify=trust
        ) as http:
            yield Client(http, waits=waits)


def _trust(api: _Api, ca: Path | None) -> ssl.SSLContext | bool:
    """The certificates to trust: those in a file; for the settings' own server, its certificate alone."""
    try:
        if ca is not None:
            context = ssl.create_default_context(cafile=ca)
        elif api.certificate is not None:
            context = ssl.create_default_context(cadata=first_certificate(api.certificate))
            context.check_hostname = False  # no other server has the key of this certificate
        else:
            return True
    except ssl.SSLError:
        raise click.UsageError(f"{ca} holds no certificate in PEM") from None
    except OSError as error:
        raise click.UsageError(f"{ca} cannot be read: {error.strerror}") from None
    except UnusablePairError as error:
        raise FailedError(f"{error}: use --ca or --url", status=NOT_RUNNING) from None
    # The file may have the server's certificate, not its issuer's.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _api_of(config: Path) -> _Api:
    """The API of the settings file. Raises InvalidDataError."""
    settings = load_settings(config).settings
    if settings.api is None:
        raise FailedError(
            f"{config} has no `api`: the server's HTTP API is off. To turn it on, add: {ADD_API}",
            "and restart the server",
            status=NOT_RUNNING,
        )
    listen = settings.api.listen
    if not listen.port:
        raise click.UsageError("`api.listen` has port 0: use --url with the port that the server printed")
    address = Address(ANY_ADDRESS.get(listen.host, listen.host), listen.port)
    if tls := settings.api.tls:
        return _Api(f"https://{address}{BASE}", is_ours=True, certificate=tls.files(config).certificate)
    return _Api(f"http://{address}{BASE}", is_ours=True)


def _given_token(file: Path | None) -> str | None:
    """The token in a file, else in the environment; None if neither is given."""
    if file is None:
        source, text = f"${TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "")
        if not text:
            return None
    else:
        source = str(file)
        try:
            text = file.read_text()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise click.UsageError(f"{file} cannot be read: {reason}") from None
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise click.UsageError(f"{source} holds no token: a token is one word of letters, digits, - and _")
    return token


@contextmanager
def _own_token(config: Path, api: _Api, until: datetime | None) -> Iterator[str]:
    """A temporary operator's token; requires write access to the running server's state folder.

    It is revoked at the end; given `until`, the time of a pending change, it is only revoked if the command fails. Its
    secret is lost anyway.
    """
    folder, now = _running_state_folder(config, api), datetime.now(UTC)
    try:
        tokens = tokens_of(config, folder)
        _forget_expired(tokens, now)
        expires_at = max(now + OWN_TOKEN_LIFETIME, until + MAX_LATE) if until else now + OWN_TOKEN_LIFETIME
        token, secret = tokens.create(name=_own_token_name(), now=now, expires_at=expires_at)
    except TokenFileError as error:
        raise FailedError(str(error)) from None
    is_needed = False
    try:
        yield secret
        is_needed = until is not None
    finally:
        try:
            if not is_needed:
                tokens.revoke(token.id)
        except (TokenFileError, NoSuchTokenError) as error:
            say(f"could not revoke this command's token {token.id}, which expires at {time_text(expires_at)}: {error}")


def _running_state_folder(config: Path, api: _Api) -> Path:
    """The state folder of the settings; its server runs and may get a new token. Raises FailedError or UsageError.

    Any process could listen at the API's address. The control socket proves that the server runs: its process belongs
    to the state folder's owner, and already holds the API's address.
    """
    remedy = f"set ${TOKEN_VARIABLE} or use --token-file"
    if not api.is_ours and not _is_loopback(api.url):
        raise click.UsageError(
            f"{api.url} requires a token: {remedy}; this command cannot create a token for another machine"
        )
    folder = state_folder_of(config, load_settings(config).settings.state)
    if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise click.UsageError(f"{api.url} requires a token: {remedy}; creating one requires write access to {folder}")
    try:
        opened = folder_of_command(folder)
        status = ask(opened, MessageKind.STATUS, {}, timeout_s=STATUS_TIMEOUT_S)
    except UnsafeFolderError as error:
        raise FailedError(str(error)) from None
    except OSError as error:
        message = f"no server can be reached in {folder}: {error.strerror or error}; is it running with {config}?"
        raise FailedError(message, status=NOT_RUNNING) from None
    parts = urlsplit(api.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not api.is_ours and str(port) != status["http"].get("api", "").rpartition(":")[2]:
        raise click.UsageError(f"{api.url} is not the server of {config} and requires its own token: {remedy}")
    return opened


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _forget_expired(tokens: Tokens, now: datetime) -> None:
    """Revoke expired tokens, left over from killed commands."""
    for token in tokens.tokens():
        if token.name.startswith(COMMANDS) and token.is_expired(now):
            tokens.revoke(token.id)


def _own_token_name() -> str:
    """The name of a command's own token, for the audit log: `cli USER`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.geteuid())
    return printable(COMMANDS + user)[:MAX_NAME]
