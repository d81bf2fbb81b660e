"""API tokens: the list, the form for a new one, its secret, shown once, and the forms to roll and revoke one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from dnsd.dashboard.forms import FormErrors
from dnsd.dashboard.listing import listing
from dnsd.dashboard.page import HtmlPage, Redirect
from dnsd.dashboard.visit import Visit
from dnsd.manage import token_changes
from dnsd.manage.refusal import Fault, Reason, RefusedError
from dnsd.manage.token_changes import TokenChange, TokenFields, find_token, own_tokens
from dnsd.manage.tokens import AccessLevel, Area, Token, permission_text
from dnsd.model.times import parse_time
from dnsd.wire.names import parse_name_text

PATH = "/tokens"
FIELDS = ("name", "account", "zones", "permissions", "expires_on", "policies")
MAX_SUGGESTED = 200  # accounts offered while typing
AREAS = {  # and their names on pages
    Area.MAPS: "Address maps",
    Area.PREFIXES: "Prefixes and static IPs",
    Area.ZONES: "Zones and their settings",
    Area.DNS: "Records",
    Area.TOKENS: "API tokens",
}


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token in words."""

    token: Token
    scope: tuple[str, ...]  # accounts and zones by name; none: all
    permissions: tuple[str, ...]  # none: all
    is_expired: bool
    is_own: bool  # the visitor's own


def _view(visit: Visit, token: Token) -> TokenView:
    accounts, zones = token.scope
    dataset = visit.dataset
    names = [dataset.accounts[one].name if one in dataset.accounts else one for one in accounts]
    names += [f"zone {dataset.zones[one].name_text if one in dataset.zones else one}" for one in zones]
    return TokenView(
        token,
        tuple(names),
        tuple(map(permission_text, token.granted)),
        token.is_expired(datetime.now(UTC)),
        token.id == visit.token.id,
    )


async def list_tokens(visit: Visit) -> HtmlPage:
    """The tokens that the visitor's token may see: itself, and those made from it."""
    latest = datetime.max.replace(tzinfo=UTC)
    found = listing(
        visit,
        PATH,
        own_tokens(visit.service.tokens, visit.token),
        texts=lambda token: (token.name, token.id),
        orders={
            "name": lambda token: (token.name.lower(), token.created_at),
            "created": lambda token: token.created_at,
            "expires": lambda token: (token.expires or latest, token.created_at),
        },
        order="created",
    )
    rows = [_view(visit, token) for token in found.items]
    return HtmlPage("tokens.html", {"listing": found, "rows": rows, "may_edit": _may_edit(visit)})


def _may_edit(visit: Visit) -> bool:
    return visit.token.grants(Area.TOKENS, AccessLevel.EDIT)


async def show_create(visit: Visit) -> HtmlPage:
    """The form of a new token."""
    return _create_page(visit, FormErrors())


async def create(visit: Visit) -> HtmlPage:
    """Make a token, and show its secret."""
    asks, loaded, now = visit.token, visit.loaded, datetime.now(UTC)
    make = partial(token_changes.create_token, asks=asks, dataset=loaded.dataset, now=now)
    try:
        made = partial(make, fields=_fields(visit), quotas=loaded.settings.quotas)
        done = await _change(visit, "token.create", made)
    except RefusedError as error:
        return _create_page(visit, FormErrors(error, FIELDS))
    return _secret_page(visit, done, "made")


def _fields(visit: Visit) -> TokenFields:
    """The fields in the form. Raises RefusedError with every fault."""
    faults: list[Fault] = []
    granted = visit.token.granted
    permissions = [
        (area, AccessLevel(level)) for area in AREAS if (level := visit.form.get(area.value)) in tuple(AccessLevel)
    ]
    if visit.form.get("all") == "on":
        permissions = [*granted]
    elif not permissions:
        faults.append(Fault(Reason.INVALID, "choose at least one permission", ("permissions",)))
    if not visit.form.text("name"):
        faults.append(Fault(Reason.INVALID, "give the token a name", ("name",)))
    expires_at = None
    try:
        if day := visit.form.text("expires_on"):
            expires_at = parse_time(f"{day}T23:59:59Z")
    except ValueError:
        faults.append(Fault(Reason.INVALID, f"{day!r} is not a date such as 2027-01-31", ("expires_on",)))
    accounts, zones = [*_accounts(visit, faults)], [*_zones(visit, faults)]
    if faults:
        raise RefusedError(*faults)
    return TokenFields(
        name=visit.form.text("name"),
        accounts=() if zones else tuple(accounts),
        zones=tuple(zones),
        permissions=tuple(permissions),
        expires_at=expires_at,
        within=accounts[0] if accounts else None,
    )


def _accounts(visit: Visit, faults: list[Fault]) -> Iterable[str]:
    """The id of the account in the form, if there is one."""
    if text := visit.form.text("account"):
        found = [one.id for one in visit.accounts() if text.lower() in (one.id, one.key, one.name.lower())]
        if len(found) != 1:
            what = (
                "several accounts have this name; give the id" if found else "there is no account with this name or id"
            )
            faults.append(Fault(Reason.INVALID, what, ("account",)))
        yield from found[:1]


def _zones(visit: Visit, faults: list[Fault]) -> Iterable[str]:
    """The ids of the zones in the form."""
    for text in visit.form.text("zones").replace(",", " ").split():
        try:
            called = visit.dataset.zones_called(parse_name_text(text).lower())
        except ValueError:
            called = []
        called += filter(None, [visit.dataset.zones.get(text.lower())])
        found = [zone.id for zone in called if visit.token.covers(zone.account_id, zone.id)]
        if len(found) != 1:
            what = f"several accounts have a zone {text!r}; give the id" if found else f"there is no zone {text!r}"
            faults.append(Fault(Reason.INVALID, what, ("zones",)))
        yield from found[:1]


def _create_page(visit: Visit, errors: FormErrors) -> HtmlPage:
    data = {
        "form": visit.form,
        "errors": errors,
        "areas": [(area.value, label, _levels(visit.token, area)) for area, label in AREAS.items()],
        "has_all": not visit.token.granted,
        "suggested": visit.accounts()[:MAX_SUGGESTED],
        "latest": visit.token.expires,
    }
    return HtmlPage("token_create.html", data, errors.status)


def _levels(token: Token, area: Area) -> list[str]:
    """The levels of a permission that a token can give."""
    return [level.value for level in AccessLevel if token.grants(area, level)]


async def ask_roll(visit: Visit) -> HtmlPage:
    """Ask whether to give a token another secret."""
    return _action_page(visit, "roll", FormErrors())


async def roll(visit: Visit) -> HtmlPage:
    """Give a token another secret, and show it."""
    verb = partial(token_changes.roll_token, asks=visit.token, token_id=visit.path["token_id"], now=datetime.now(UTC))
    try:
        done = await _change(visit, "token.roll", verb)
    except RefusedError as error:
        return _action_page(visit, "roll", FormErrors(error))
    return _secret_page(visit, done, "rolled")


async def ask_revoke(visit: Visit) -> HtmlPage:
    """Ask whether to revoke a token, and show the tokens that would be revoked with it."""
    return _action_page(visit, "revoke", FormErrors())


async def revoke(visit: Visit) -> HtmlPage | Redirect:
    """Revoke a token and all made from it."""
    verb = partial(token_changes.revoke_token, asks=visit.token, token_id=visit.path["token_id"], now=datetime.now(UTC))
    try:
        done = await _change(visit, "token.revoke", verb)
    except RefusedError as error:
        return _action_page(visit, "revoke", FormErrors(error))
    total = 1 + len(done.also_revoked)
    return Redirect(PATH, "The token is revoked." if total == 1 else f"{total} tokens are revoked.")


async def _change(visit: Visit, action: str, verb: partial[TokenChange]) -> TokenChange:
    return await visit.service.change_tokens(visit.actor, action, verb)


def _action_page(visit: Visit, action: str, errors: FormErrors) -> HtmlPage:
    token = find_token(visit.service.tokens, visit.token, visit.path["token_id"])
    tokens = visit.service.tokens.tokens() if action == "revoke" else []
    made_from_it = [_view(visit, one) for one in tokens if one.descends_from(token) and one.id != token.id]
    data = {"row": _view(visit, token), "action": action, "made_from_it": made_from_it, "errors": errors}
    return HtmlPage("token_action.html", data, errors.status)


def _secret_page(visit: Visit, done: TokenChange, what: str) -> HtmlPage:
    return HtmlPage("token_secret.html", {"row": _view(visit, done.token), "secret": done.secret, "what": what})
