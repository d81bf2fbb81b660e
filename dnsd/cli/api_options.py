"""The options of commands that use the API; the connection itself is imported once a command runs, as it is slow."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from dnsd.cli.client import BASE
from dnsd.cli.options import config_option

URL_VARIABLE, TOKEN_VARIABLE, CA_VARIABLE = "DNSD_API_URL", "DNSD_API_TOKEN", "DNSD_API_CA"


def with_api(command: Callable[..., None]) -> Callable[..., None]:
    """Pass a client of the API to a command, and add the options for the API's address and token.

    An option `at` is the time of a pending change: the command's own token must last until it is made.
    """

    @wraps(command)
    def run(
        *,
        config: Path,
        url: str | None,
        token_file: Path | None,
        ca: Path | None,
        waits_for_edges: bool = False,
        **given: Any,
    ) -> None:
        from dnsd.cli.connection import connected, exit_on_failure

        at = given.get("at")
        with exit_on_failure(), connected(config, url, token_file, ca, at, waits=waits_for_edges) as client:
            command(client, **given)

    return api_options(run)


def with_changing_api(command: Callable[..., None]) -> Callable[..., None]:
    """The same for a command that changes something: it may wait until edges serve that."""
    wait_option = click.option(
        "--wait",
        "waits_for_edges",
        is_flag=True,
        help="In a fleet, return once every healthy edge serves it, and name the late ones.",
    )
    return wait_option(with_api(command))


def api_options(run: Callable[..., None]) -> Callable[..., None]:
    """Add the options for the API's address and token to a command."""
    url_option = click.option(
        "--url",
        envvar=URL_VARIABLE,
        callback=_url,
        help=f"URL of the server; default: ${URL_VARIABLE}, else from the settings file.",
    )
    token_option = click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"File with an API token; default: ${TOKEN_VARIABLE}, else a temporary token for this command.",
    )
    ca_option = click.option(
        "--ca",
        envvar=CA_VARIABLE,
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with the certificates to trust for an https URL; default: "
        f"${CA_VARIABLE}, else the usual authorities, or the certificate in the settings file.",
    )
    return url_option(ca_option(token_option(config_option(run))))


def _url(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """The API's URL; `value` is the server's URL, with or without the API's base path."""
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
        raise click.BadParameter("the URL must not contain a user name or a token", context, option)
    return value.rstrip("/").removesuffix(BASE) + BASE
