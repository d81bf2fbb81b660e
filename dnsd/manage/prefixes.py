"""The verbs on the parts of a prefix: BGP prefixes and service bindings, as edits of its account's file."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from dnsd.manage.draft import Document, Draft
from dnsd.manage.find import find_account, find_bgp_prefix, find_binding, find_prefix
from dnsd.manage.refusal import Reason, refused
from dnsd.model.accounts import MAX_ROUTES, Account, Approval, EdgeService, Prefix
from dnsd.model.fields import IPNetwork, derived_id
from dnsd.store.directory import FileKind


class BgpChange(TypedDict, total=False):
    """The fields of a BGP prefix to set; absent fields stay."""

    advertised: bool
    locked: bool
    asn_prepend_count: int
    auto_advertise_withdraw: bool


class ServiceId(NamedTuple):
    """A service with its id."""

    id: str
    service: EdgeService


SERVICES = tuple(ServiceId(derived_id("service", service.value), service) for service in EdgeService)


def service_id(service: EdgeService) -> str:
    """The id of a service, the same on every server."""
    return next(one.id for one in SERVICES if one.service is service)


def ownership_token(account: Account, prefix: Prefix) -> str:
    """The token that the holder of a prefix publishes in its reverse zone.

    It needs no secrecy: only the holder can publish it, and it names one account.
    """
    return f"dnsd-{derived_id('ownership', account.id, prefix.id, str(prefix.cidr))}"


def create_bgp_prefix(
    draft: Draft, account_id: str, prefix_id: str, cidr: IPNetwork, *, advertised: bool = False
) -> str:
    """Create a BGP prefix, withdrawn unless stated otherwise, and return its id."""
    _, prefix, _ = find_prefix(draft.dataset, account_id, prefix_id)
    _check_room(prefix.bgp_prefixes, "BGP prefixes")
    bgp_id = secrets.token_hex(16)
    made = {"id": bgp_id, "cidr": str(cidr), "advertised": advertised}
    edit_document(draft, account_id, prefix_id, lambda document: _append(document, "bgp_prefixes", made))
    return bgp_id


def edit_bgp_prefix(draft: Draft, account_id: str, prefix_id: str, bgp_id: str, change: BgpChange) -> None:
    """Change fields of a BGP prefix."""
    prefix, bgp, index = find_bgp_prefix(draft.dataset, account_id, prefix_id, bgp_id)
    if all(getattr(bgp, name) == value for name, value in change.items()):
        return

    def edit(document: Document) -> None:
        document["bgp_prefixes"][index] = _with_id({**document["bgp_prefixes"][index], **change}, bgp.id)

    edit_document(draft, account_id, prefix.id, edit)


def delete_bgp_prefix(draft: Draft, account_id: str, prefix_id: str, bgp_id: str) -> None:
    """Delete a BGP prefix, which must be withdrawn."""
    prefix, bgp, index = find_bgp_prefix(draft.dataset, account_id, prefix_id, bgp_id)
    if bgp.advertised:
        raise refused(Reason.FORBIDDEN, f"{bgp.cidr} is advertised: withdraw it before you delete it")
    edit_document(draft, account_id, prefix.id, lambda document: _remove(document, "bgp_prefixes", index))


def set_advertised(draft: Draft, account_id: str, prefix_id: str, *, advertised: bool) -> None:
    """Declare all BGP prefixes of a prefix advertised, or withdrawn; without any, make one of the whole prefix.

    Raises RefusedError for a prefix without any that is not approved, also by this draft.
    """
    account, prefix, index = find_prefix(draft.dataset, account_id, prefix_id)
    if not prefix.bgp_prefixes:
        if draft.document(account.key)["prefixes"][index].get("approved") != Approval.ACTIVE.value:
            raise refused(Reason.FORBIDDEN, f"{prefix.cidr} is not approved yet: it has no routes to declare")
        create_bgp_prefix(draft, account_id, prefix_id, prefix.cidr, advertised=advertised)
    elif any(one.advertised != advertised for one in prefix.bgp_prefixes):

        def edit(document: Document) -> None:
            written = zip(document["bgp_prefixes"], prefix.bgp_prefixes, strict=True)
            document["bgp_prefixes"] = [
                _with_id({**one, "advertised": advertised}, bgp.id) if bgp.advertised != advertised else one
                for one, bgp in written
            ]

        edit_document(draft, account_id, prefix_id, edit)


def create_binding(draft: Draft, account_id: str, prefix_id: str, cidr: IPNetwork, wanted: str) -> str:
    """Bind traffic to a service, named by its id, and return the binding's id."""
    service = next((one.service for one in SERVICES if one.id == wanted.lower()), None)
    if service is None:
        raise refused(Reason.NOT_FOUND, "not_found: there is no service with this id", "service_id")
    _, prefix, _ = find_prefix(draft.dataset, account_id, prefix_id)
    _check_room(prefix.bindings, "bindings")
    binding_id = secrets.token_hex(16)
    made = {"id": binding_id, "cidr": str(cidr), "service": service.value}
    edit_document(draft, account_id, prefix_id, lambda document: _append(document, "bindings", made))
    return binding_id


def delete_binding(draft: Draft, account_id: str, prefix_id: str, binding_id: str) -> None:
    """Delete a binding."""
    prefix, _, index = find_binding(draft.dataset, account_id, prefix_id, binding_id)
    edit_document(draft, account_id, prefix.id, lambda document: _remove(document, "bindings", index))


def edit_document(draft: Draft, account_id: str, prefix_id: str, edit: Callable[[Document], None]) -> None:
    """Apply an edit to the document of a prefix, and write it to the account's file."""
    account, _, index = find_prefix(draft.dataset, account_id, prefix_id)
    document = draft.document(account.key)
    written = dict(document["prefixes"][index])
    edit(written)
    document["prefixes"][index] = _with_id(written, prefix_id)
    draft.write(find_account(draft.dataset, account_id).key, FileKind.ACCOUNT, document)


def _append(document: Document, name: str, made: Document) -> None:
    document[name] = [*(document.get(name) or ()), made]


def _remove(document: Document, name: str, index: int) -> None:
    left = [one for place, one in enumerate(document[name]) if place != index]
    document[name] = left
    if not left:
        del document[name]


def _check_room(parts: tuple[Any, ...], what: str) -> None:
    if len(parts) >= MAX_ROUTES:
        raise refused(Reason.FORBIDDEN, f"the prefix has {len(parts)} {what}; the limit is {MAX_ROUTES}")


def _with_id(document: Document, part_id: str) -> Document:
    return document if "id" in document else {"id": part_id, **document}
