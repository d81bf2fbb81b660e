"""The commands' HTTP client: requests, and the errors of a request.

httpx is imported for the first request only: `dnsd serve` and the commands that read files do not need it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from dnsd.cli.show import say
from dnsd.errors import DnsdError, path_text, printable
from dnsd.errors import Path as ObjectPath
from dnsd.manage.fleet_words import FLEET, NOT_EVERYWHERE, WAIT

if TYPE_CHECKING:
    import httpx

BASE = "/client/v4"
ANSWER_S = 300.0  # the API answers a write once all workers serve it: with a million records, that takes a while
PER_PAGE = {"dns_records": 100_000, "edges": 1000}
DEFAULT_PER_PAGE = 50  # the server's limit for accounts and zones
NOT_RUNNING = 3  # exit status

ApiObject = dict[str, Any]  # an object in the API's form

account_option = click.option(
    "--account", metavar="ACCOUNT", help="Only this account (id or name); default: all accounts of the token."
)
new_account_option = click.option(
    "--account", metavar="ACCOUNT", help="Create it in this account (id or name); required if the token covers several."
)


class FailedError(DnsdError):
    """A command's failure: lines for the operator, and the exit status."""

    def __init__(self, *lines: str, status: int = 1) -> None:
        self.lines = lines
        self.status = status
        super().__init__("; ".join(lines))


class ApiRefusedError(FailedError):
    """A request that the API refused; `code` is the code of its first error."""

    def __init__(self, errors: list[ApiObject]) -> None:
        self.code = errors[0].get("code") if errors else None
        self.messages = [str(error.get("message", "")) for error in errors]
        super().__init__(*map(_error_line, errors))


@dataclass(frozen=True, slots=True)
class Client:
    """A client of the API. Every method raises ApiRefusedError, or FailedError without a usable response."""

    http: httpx.Client
    waits: bool = False  # after each change, until every healthy edge of a fleet serves it

    def get(self, path: str, **query: str) -> Any:
        """The result of a GET."""
        return self.send("GET", path, params=query)["result"]

    def post(self, path: str, body: Any = None, **query: str) -> Any:
        """The result of a POST."""
        return self.send("POST", path, json=body or {}, params=query)["result"]

    def patch(self, path: str, body: Any, **query: str) -> Any:
        """The result of a PATCH."""
        return self.send("PATCH", path, json=body, params=query)["result"]

    def put(self, path: str, **query: str) -> Any:
        """The result of a PUT without a body."""
        return self.send("PUT", path, params=query)["result"]

    def delete(self, path: str, **query: str) -> Any:
        """The result of a DELETE."""
        return self.send("DELETE", path, params=query)["result"]

    def all(self, path: str, **query: str) -> list[ApiObject]:
        """A whole list, requested page by page."""
        found: list[ApiObject] = []
        size = PER_PAGE.get(path.rpartition("/")[2], DEFAULT_PER_PAGE)
        while True:
            page = str(len(found) // size + 1)
            envelope = self.send("GET", path, params={**query, "per_page": str(size), "page": page})
            found += envelope["result"]
            if not envelope["result"] or len(found) >= envelope["result_info"]["total_count"]:
                return found

    def text(self, path: str) -> str:
        """A result in plain text, not JSON."""
        response = self._response("GET", path)
        if response.headers.get("content-type", "").startswith("application/json") or response.status_code != 200:
            _checked(response)
        return response.text

    def send(self, method: str, path: str, **options: Any) -> ApiObject:
        """The envelope of a successful response. A client that waits prints the edges that are late."""
        if not self.waits or method == "GET":
            return _checked(self._response(method, path, **options))
        options["params"] = {**(options.get("params") or {}), WAIT: FLEET}
        envelope = _checked(self._response(method, path, **options))
        late = [one for one in envelope["messages"] if one["message"].startswith(NOT_EVERYWHERE)]
        for one in late:
            say(printable(one["message"]))
        return {**envelope, "messages": [one for one in envelope["messages"] if one not in late]}

    def _response(self, method: str, path: str, **options: Any) -> httpx.Response:
        import httpx

        try:
            return self.http.request(method, path, **options)
        except httpx.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                reason = str(error).partition("verify failed: ")[2].partition(" (_ssl")[0]
                message = f"the certificate of {self.http.base_url} is not trusted: {reason}"
                raise FailedError(f"{message}; name its authority with --ca", status=NOT_RUNNING) from None
            raise FailedError(f"no server answers at {self.http.base_url}: {error}", status=NOT_RUNNING) from None
        except httpx.ReadTimeout:
            doubt = "" if method == "GET" else "; the request may still have been carried out"
            message = f"{self.http.base_url} did not answer within {ANSWER_S:.0f} s{doubt}"
            raise FailedError(message, status=NOT_RUNNING) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise FailedError(f"the request to {self.http.base_url} failed: {reason}", status=NOT_RUNNING) from None


def _checked(response: httpx.Response) -> ApiObject:
    """The envelope of a successful response. Raises ApiRefusedError or FailedError."""
    try:
        envelope = response.json()
        succeeded, errors = envelope["success"], envelope["errors"]
    except (ValueError, TypeError, KeyError):
        message = f"{response.url} is not a dnsd API: it answers {response.status_code} {response.reason_phrase}"
        raise FailedError(message, status=NOT_RUNNING) from None
    if not succeeded:
        raise ApiRefusedError(errors)
    return dict(envelope)


def _error_line(error: ApiObject) -> str:
    pointer = (error.get("source") or {}).get("pointer", "")
    steps = (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
    path = tuple(int(step) if step.isdecimal() else step for step in steps)
    return fault_line(path, error.get("message", ""), error.get("code", 0))


def fault_line(path: ObjectPath, message: str, code: int) -> str:
    """One fault of a request as a line: its place in the request, the message, and the API's code."""
    return f"{path_text(path)}{': ' if path else ''}{message} (code {code})"


def in_path(text: str) -> str:
    """A text, quoted as one segment of a URL path."""
    return quote(text, safe="")
