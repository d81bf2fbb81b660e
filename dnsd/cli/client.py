"""The HTTP API as commands use it: where it is, with which token, and what is said where it refuses, or is not there.

httpx is imported with the first request: `dnsd serve`, and all commands that read files, do without.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import click

from dnsd.cli.commands import config_option
from dnsd.cli.show import report, say
from dnsd.errors import DnsdError, InvalidDataError, path_text, printable
from dnsd.errors import Path as ObjectPath
from dnsd.manage.tokens import MAX_NAME, NoSuchTokenError, TokenFile, TokenFileError
from dnsd.net.listen import Address
from dnsd.serve.link import Kind, ask
from dnsd.settings import load_settings, state_folder_of

if TYPE_CHECKING:
    import httpx

URL_VARIABLE, TOKEN_VARIABLE = "DNSD_API_URL", "DNSD_API_TOKEN"
BASE = "/client/v4"
ADD_API = 'api: {listen: "127.0.0.1:8053"}'
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # listened on -> where that is on this machine
CONNECT_S = 5.0
ANSWER_S = 300.0  # a write is answered when all workers serve it: of a million records, that takes a while
ASK_S = 10.0
OWN_TOKEN = "cli "  # what the names of tokens begin with that a command makes for itself
OWN_TOKEN_FOR = timedelta(minutes=5)
PER_PAGE = {"dns_records": 100_000}
PER_PAGE_ELSE = 50  # of accounts and zones the server gives no more
NOT_RUNNING = 3  # exit status

Shape = dict[str, Any]  # an object as the API has it

account_option = click.option(
    "--account", metavar="ACCOUNT", help="Of this account alone: its id or name; without it, of all that the token has."
)
new_account_option = click.option(
    "--account", metavar="ACCOUNT", help="In this account: its id or name; needed where the token is for several."
)


class FailedError(DnsdError):
    """Why a command ends: lines for the operator, and its exit status."""

    def __init__(self, *lines: str, status: int = 1) -> None:
        self.lines = lines
        self.status = status
        super().__init__("; ".join(lines))


class RefusedError(FailedError):
    """What the API said no to; `code` is the first that it gives."""

    def __init__(self, errors: list[Shape]) -> None:
        self.code = errors[0].get("code") if errors else None
        super().__init__(*map(_error_line, errors))


@dataclass(frozen=True, slots=True)
class Client:
    """Asks the API. Every method raises RefusedError, or FailedError where nothing useful came back."""

    http: httpx.Client

    def get(self, path: str, **query: str) -> Any:
        """The result of a GET."""
        return self.send("GET", path, params=query)["result"]

    def post(self, path: str, body: Any = None) -> Any:
        """The result of a POST."""
        return self.send("POST", path, json=body or {})["result"]

    def patch(self, path: str, body: Any) -> Any:
        """The result of a PATCH."""
        return self.send("PATCH", path, json=body)["result"]

    def put(self, path: str) -> Any:
        """The result of a PUT without a body."""
        return self.send("PUT", path)["result"]

    def delete(self, path: str) -> Any:
        """The result of a DELETE."""
        return self.send("DELETE", path)["result"]

    def all(self, path: str, **query: str) -> list[Shape]:
        """The whole of a list, which is asked for page by page."""
        found: list[Shape] = []
        size = PER_PAGE.get(path.rpartition("/")[2], PER_PAGE_ELSE)
        while True:
            page = str(len(found) // size + 1)
            said = self.send("GET", path, params={**query, "per_page": str(size), "page": page})
            found += said["result"]
            if not said["result"] or len(found) >= said["result_info"]["total_count"]:
                return found

    def text(self, path: str) -> str:
        """A result that is no JSON."""
        response = self._response("GET", path)
        if response.headers.get("content-type", "").startswith("application/json") or response.status_code != 200:
            _checked(response)
        return response.text

    def send(self, method: str, path: str, **options: Any) -> Shape:
        """What is said to a request that is carried out: its envelope."""
        return _checked(self._response(method, path, **options))

    def _response(self, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx

        try:
            return self.http.request(method, path, **options)
        except httpx.ConnectError as error:
            raise FailedError(f"no server answers at {self.http.base_url}: {error}", status=NOT_RUNNING) from None
        except httpx.ReadTimeout:
            may = "" if method == "GET" else "; what was asked for may have been done"
            message = f"{self.http.base_url} did not answer within {ANSWER_S:.0f} s{may}"
            raise FailedError(message, status=NOT_RUNNING) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise FailedError(f"{self.http.base_url} cannot be asked: {why}", status=NOT_RUNNING) from None


def _checked(response: httpx.Response) -> Shape:
    """The envelope of a request that was carried out."""
    try:
        said = response.json()
        succeeded, errors = said["success"], said["errors"]
    except (ValueError, TypeError, KeyError):
        message = f"{response.url} is no API of dnsd: it answers {response.status_code} {response.reason_phrase}"
        raise FailedError(message, status=NOT_RUNNING) from None
    if not succeeded:
        raise RefusedError(errors)
    return dict(said)


def _error_line(error: Shape) -> str:
    pointer = (error.get("source") or {}).get("pointer", "")
    steps = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
    path = tuple(int(step) if step.isdecimal() else step for step in steps)
    return fault_line(path, error.get("message", ""), error.get("code", 0))


def fault_line(path: ObjectPath, message: str, code: int) -> str:
    """One thing that is wrong with a request as a line: where in it, what, and the API's code."""
    return f"{path_text(path)}{': ' if path else ''}{message} (code {code})"


def in_path(text: str) -> str:
    """A text as one segment of a path."""
    return quote(text, safe="")


# Where, and with which token


@dataclass(frozen=True, slots=True)
class _Api:
    """Where the API is. `is_ours`: it is that of the settings."""

    url: str
    is_ours: bool


def with_api(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is given a client of the API; with the options that say of which, and who asks."""

    @wraps(command)
    def run(*, config: Path, url: str | None, token_file: Path | None, **given: Any) -> None:
        try:
            with _connected(config, url, token_file) as client:
                command(client, **given)
        except InvalidDataError as error:
            report(error.problems)
            sys.exit(1)
        except FailedError as error:
            for line in error.lines:
                say(printable(line))
            sys.exit(error.status)

    url_option = click.option(
        "--url", envvar=URL_VARIABLE, callback=_url, help=f"Of the server; by default ${URL_VARIABLE}, else as in -c."
    )
    token_option = click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"File with a token of the API; by default ${TOKEN_VARIABLE}, else one is made from -c for this command.",
    )
    return url_option(token_option(config_option(run)))


@contextmanager
def _connected(config: Path, url: str | None, token_file: Path | None) -> Iterator[Client]:
    """A client of the API, for as long as the context lasts."""
    import httpx

    token = _given_token(token_file)
    api = _Api(url, is_ours=False) if url else _api_of(config)
    with _own_token(config, api) if token is None else _kept(token) as secret:
        headers = {"Authorization": f"Bearer {secret}", "User-Agent": "dnsd"}
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        may_use_proxy = token is not None and not api.is_ours
        with httpx.Client(base_url=api.url, headers=headers, timeout=timeout, trust_env=may_use_proxy) as http:
            yield Client(http)


def _url(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """The API's address from that of the server, with or without its base path."""
    if not value:
        return None
    try:
        parts = urlsplit(value)
        is_good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment:
        raise click.BadParameter(f"{value!r} is not a URL such as http://127.0.0.1:8053", context, option)
    if parts.username is not None:
        raise click.BadParameter("a URL is no place for a name or a token", context, option)
    return value.rstrip("/").removesuffix(BASE) + BASE


def _api_of(config: Path) -> _Api:
    """The API of the settings. Raises InvalidDataError."""
    settings = load_settings(config).settings
    if settings.api is None:
        raise FailedError(
            f"{config} has no `api`: its server has no HTTP API. Add, for one, {ADD_API}",
            "and start the server anew",
            status=NOT_RUNNING,
        )
    listen = settings.api.listen
    if not listen.port:
        raise click.UsageError("`api.listen` has port 0: give the port that the server printed, with --url")
    return _Api(f"http://{Address(ANY_ADDRESS.get(listen.host, listen.host), listen.port)}{BASE}", is_ours=True)


def _given_token(file: Path | None) -> str | None:
    """The token of a file, else of the environment; None where there is neither."""
    if file is None:
        source, text = f"${TOKEN_VARIABLE}", os.environ.get(TOKEN_VARIABLE, "")
        if not text:
            return None
    else:
        source = str(file)
        try:
            text = file.read_text()
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise click.UsageError(f"{file} cannot be read: {why}") from None
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise click.UsageError(f"{source} holds no token: a token is one word of letters, digits, - and _")
    return token


@contextmanager
def _kept(token: str) -> Iterator[str]:
    yield token


@contextmanager
def _own_token(config: Path, api: _Api) -> Iterator[str]:
    """An operator's token for whoever may write the state of a server that runs here; it ends with the context."""
    file = TokenFile(_folder_of_running(config, api))
    now = datetime.now(UTC)
    try:
        _forget_expired(file, now)
        token, secret = file.create(name=_own_name(), now=now, expires_at=now + OWN_TOKEN_FOR)
    except TokenFileError as error:
        raise FailedError(str(error)) from None
    try:
        yield secret
    finally:
        try:
            file.revoke(token.id)
        except (TokenFileError, NoSuchTokenError) as error:
            say(f"the token {token.id} of this command could not be revoked, and expires by itself: {error}")


def _folder_of_running(config: Path, api: _Api) -> Path:
    """The state folder of the settings, if its server runs, and a token for it may be made and sent there.

    Who listens at the API's address, nobody knows. So it is asked over the control socket whether the server runs: its
    process is known to be the state folder's owner's, and to hold the address of the API since before.
    """
    how = f"set ${TOKEN_VARIABLE}, or give --token-file"
    if not api.is_ours and not _is_loopback(api.url):
        raise click.UsageError(f"{api.url} takes a token: {how}; none is made here for another machine")
    folder = state_folder_of(config, load_settings(config).settings.state)
    if folder.exists() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise click.UsageError(f"{api.url} takes a token: {how}; to make one takes the right to write {folder}")
    try:
        status = ask(folder, Kind.STATUS, {}, timeout_s=ASK_S)
    except OSError as error:
        message = f"no server can be reached in {folder}: {error.strerror or error}; is it running, with {config}?"
        raise FailedError(message, status=NOT_RUNNING) from None
    if not api.is_ours and str(urlsplit(api.url).port or 80) != status["http"].get("api", "").rpartition(":")[2]:
        raise click.UsageError(f"{api.url} is not the server of {config}, and takes a token of its own: {how}")
    return folder


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _forget_expired(file: TokenFile, now: datetime) -> None:
    """Revoke the tokens of commands that were killed."""
    for token in file.tokens():
        if token.name.startswith(OWN_TOKEN) and token.is_expired(now):
            file.revoke(token.id)


def _own_name() -> str:
    """What the audit log is to say."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.geteuid())
    return printable(OWN_TOKEN + user)[:MAX_NAME]
