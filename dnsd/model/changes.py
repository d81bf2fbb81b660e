"""The rules on what may become of an address map: those that one dataset alone cannot show.

A file may say anything that a dataset allows, as it is the operator's. These rules are for what somebody asks for.
"""

from __future__ import annotations

from collections.abc import Iterator

from dnsd.errors import Path, Problem
from dnsd.model.dataset import Dataset
from dnsd.model.maps import AddressMap


def change_problems(old: Dataset, new: Dataset, *, by_operator: bool) -> list[Problem]:
    """Why nobody, or nobody but the operator, may make the new dataset of the old one."""
    found: list[Problem] = []
    for map_id in dict.fromkeys((*old.maps, *new.maps)):
        before, after = old.maps.get(map_id), new.maps.get(map_id)
        if before is after:
            continue
        if before is None and after is not None:
            found += _creation(after, by_operator=by_operator)
        elif before is not None and after is None:
            found += _deletion(before)
        elif before is not None and after is not None:
            found += _edit(before, after)
    return found


def _creation(made: AddressMap, *, by_operator: bool) -> Iterator[Problem]:
    if made.immutable and not by_operator:
        yield _problem(made, ("immutable",), "immutable maps are made by the operator")
    if made.memberships and not made.ips:
        yield _problem(made, ("memberships",), "a map without addresses cannot have members: give it an address first")


def _deletion(gone: AddressMap) -> Iterator[Problem]:
    if not gone.can_delete:
        yield _problem(gone, (), "the map is immutable: it cannot be deleted")
    elif gone.enabled:
        yield _problem(gone, (), "the map is enabled: disable it before it is deleted")


def _edit(before: AddressMap, after: AddressMap) -> Iterator[Problem]:
    if before.immutable != after.immutable:
        yield _problem(after, ("immutable",), "whether a map is immutable is decided when it is made")
    if not before.can_modify_ips and before.ips != after.ips:
        yield _problem(after, ("ips",), "the map is immutable: its addresses never change")
    if before.immutable and before.enabled and not after.enabled:
        yield _problem(after, ("enabled",), "the map is immutable: it cannot be disabled")
    if before.immutable and not before.by_member.keys() <= after.by_member.keys():
        yield _problem(after, ("memberships",), "the map is immutable: its membership cannot be removed")
    if after.memberships and not after.ips:
        if before.ips:
            yield _problem(after, ("ips",), "the last address cannot be removed while the map has members")
        elif not after.by_member.keys() <= before.by_member.keys():
            message = "a member cannot be added to a map without addresses: give it an address first"
            yield _problem(after, ("memberships",), message)


def _problem(address_map: AddressMap, path: Path, message: str) -> Problem:
    return Problem(address_map.key, path, message)
