"""`dnsd token`: the API's tokens. Edits the file in the state folder, with or without a running server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from dnsd.app import load
from dnsd.cli.commands import main
from dnsd.cli.options import config_option, json_option
from dnsd.cli.show import print_json, print_table, report, say
from dnsd.cli.token_store import NO_ANSWER, tokens_of
from dnsd.errors import DnsdError, InvalidDataError
from dnsd.manage.token_changes import token_data
from dnsd.manage.token_port import NoSuchTokenError, TokenFileError, Tokens, TokensAwayError
from dnsd.manage.tokens import ID, AccessLevel, Area, Token, parse_permission, permission_text
from dnsd.model.dataset import Dataset
from dnsd.model.times import parse_time
from dnsd.process.state_folder import UnsafeFolderError, folder_of_command
from dnsd.progress import progress_on
from dnsd.settings.written import state_folder
from dnsd.wire.names import parse_name_text

T = TypeVar("T")

FOR_EVERYTHING = (
    "warning: this token may change everything and never expires; limit it with --account, --zone, --permission or "
    "--expires, or give --operator to make it without this warning"
)


@main.group("token")
def token_commands() -> None:
    """Manage the tokens of the API.

    The server's state folder holds the tokens' hashes. The server need not be running; a running server applies a
    change from the next request on. On a control's machine, the tokens are those of its fleet, at all controls. Exit
    status 3: no server of the fleet answers.
    """


def _parse_each(parse: Callable[[str], T]) -> Callable[..., tuple[T, ...]]:
    """A click callback that parses each value of a repeatable option."""

    def parsed(context: click.Context, option: click.Parameter, values: Iterable[str]) -> tuple[T, ...]:
        try:
            return tuple(map(parse, values))
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return parsed


def _expiry(context: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        time = parse_time(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from None
    if time <= datetime.now(UTC):
        raise click.BadParameter(f"{value} is in the past", context, option)
    return time


@token_commands.command("create")
@config_option
@click.option("--name", default="", help="Name of the token.")
@click.option("--account", "accounts", multiple=True, metavar="ID", help="Limit to this account (id or folder).")
@click.option("--zone", "zones", multiple=True, metavar="ID", help="Limit to this zone (id or name).")
@click.option(
    "--permission",
    "permissions",
    multiple=True,
    metavar=f"AREA:{'|'.join(AccessLevel)}",
    callback=_parse_each(parse_permission),
    help=f"Limit to this permission; AREA is one of {', '.join(Area)}; edit includes read.",
)
@click.option("--expires", metavar="RFC3339", callback=_expiry, help="Expiry time; default: never.")
@click.option("--operator", is_flag=True, help="Make an operator's token, with full access, without a warning.")
def create_command(
    config: Path,
    *,
    name: str,
    accounts: tuple[str, ...],
    zones: tuple[str, ...],
    permissions: tuple[tuple[Area, AccessLevel], ...],
    expires: datetime | None,
    operator: bool,
) -> None:
    """Create a token and print it.

    The token is printed once and cannot be shown again. By default it is an operator's token, with full access, and a
    warning says so on standard error.
    --account and --zone limit it to those accounts and zones, --permission limits its permissions; all three are
    repeatable. A token for a zone does not cover the zone's account. Folders and names are looked up in the files; ids
    are used as given.
    """
    if operator and (accounts or zones or permissions):
        raise click.UsageError("--operator is full access: leave out --account, --zone and --permission, or --operator")
    tokens = _tokens(config)
    account_ids, zone_ids = _ids(config, accounts, zones)
    try:
        token, secret = tokens.create(
            name=name,
            now=datetime.now(UTC),
            expires_at=expires,
            accounts=account_ids,
            zones=zone_ids,
            permissions=permissions,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except TokenFileError as error:
        _fail(error)
    if not (operator or accounts or zones or permissions or expires):
        say(FOR_EVERYTHING)
    if sys.stderr.isatty():
        say(f"token {token.id} for {_scope(token)}: {_permissions(token)}; expires: {_time(token.expires_at)}")
        say("it cannot be shown again:")
    click.echo(secret)


@token_commands.command("list")
@config_option
@json_option
def list_command(config: Path, *, as_json: bool) -> None:
    """List all tokens with scope, permissions and expiry.

    The tokens themselves cannot be shown: only their hashes are stored.
    """
    try:
        tokens = _tokens(config).tokens()
    except TokenFileError as error:
        _fail(error)
    now = datetime.now(UTC)
    if as_json:
        print_json([_data(token, now) for token in tokens])
    elif tokens:
        columns = ("id", "name", "scope", "permissions", "expires", "created", "made with")
        print_table(columns, [_row(token, now) for token in tokens], words=len(columns))
    else:
        say("there are no tokens")


@token_commands.command("revoke")
@click.argument("id_or_name")
@config_option
def revoke_command(id_or_name: str, config: Path) -> None:
    """Revoke a token by its id or name, and all tokens made from it.

    The API rejects them from the next request on.
    """
    try:
        tokens = _tokens(config).revoke(id_or_name)
    except (TokenFileError, NoSuchTokenError) as error:
        _fail(error)
    for token in tokens:
        click.echo(f"revoked {token.id}{token.name and f' ({token.name})'}")


def _tokens(config: Path, *, may_make: bool = False) -> Tokens:
    """The tokens; `may_make` makes the state folder if it is missing."""
    try:
        return tokens_of(config, folder_of_command(state_folder(config), may_make=may_make))
    except (InvalidDataError, UnsafeFolderError, TokenFileError) as error:
        _fail(error)


def _ids(config: Path, accounts: tuple[str, ...], zones: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The ids of accounts and zones; the files are read only if one is given by folder or name."""
    if all(ID.fullmatch(text.lower()) for text in (*accounts, *zones)):
        dataset = Dataset({}, {}, {})
    else:
        dataset = _load(config)
    by_key = {account.key: account.id for account in dataset.accounts.values()}
    return (
        [_id(text, by_key.get(text), "account in the folder") for text in accounts],
        [_id(text, _zone_id(dataset, text), "zone with the name") for text in zones],
    )


def _load(config: Path) -> Dataset:
    try:
        with progress_on(sys.stderr) as progress:
            return load(config, progress=progress).dataset
    except InvalidDataError as error:
        report(error.problems)
        say("accounts and zones cannot be looked up in these files; use their ids")
        sys.exit(1)


def _id(text: str, found: str | None, what: str) -> str:
    """`text` if it is an id, else the id `found` for it; exits if that is None."""
    if ID.fullmatch(text.lower()):
        return text.lower()
    if found is None:
        say(f"there is no {what} {text!r}")
        sys.exit(1)
    return found


def _zone_id(dataset: Dataset, name_text: str) -> str | None:
    try:
        found = dataset.zones_called(parse_name_text(name_text).lower())
    except ValueError:
        return None
    if len(found) > 1:
        ids = ", ".join(zone.id for zone in found)
        say(f"{len(found)} accounts have a zone {name_text!r}; choose one by its id: {ids}")
        sys.exit(1)
    return found[0].id if found else None


def _data(token: Token, now: datetime) -> Mapping[str, Any]:
    return token_data(token) | {"is_expired": token.is_expired(now)}


def _row(token: Token, now: datetime) -> tuple[str, ...]:
    expires = f"{_time(token.expires)}{' (expired)' if token.is_expired(now) else ''}"
    parent = (token.parent.name or token.parent.id) if token.parent else "-"
    return token.id, token.name or "-", _scope(token), _permissions(token), expires, _time(token.created_at), parent


def _scope(token: Token) -> str:
    words = [*(f"account {one}" for one in token.accounts), *(f"zone {one}" for one in token.zones)]
    return ", ".join(words) or "all accounts"


def _permissions(token: Token) -> str:
    return ", ".join(map(permission_text, token.permissions)) or "everything"


def _time(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else "never"


def _fail(error: DnsdError) -> NoReturn:
    if isinstance(error, InvalidDataError):
        report(error.problems)
    else:
        say(str(error))
    sys.exit(NO_ANSWER if isinstance(error, TokensAwayError) else 1)
