"""The names and addresses that a change makes public: names with edge addresses before it, answered as stored after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import islice
from typing import TypeVar

from dnsd.app import Loaded
from dnsd.compile.edge_addresses import is_stored
from dnsd.compile.endings import ending
from dnsd.compile.moves import ZoneMoves, moves
from dnsd.engine.node import Alias, Edge, Flattened
from dnsd.errors import DnsdError
from dnsd.manage.draft import Draft
from dnsd.manage.tags import tag_of
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.wire.names import name_text

T = TypeVar("T")
MAX_NAMES = 100  # listed
ACTIONS = ("record.", "zone.", "account.")  # the beginnings of actions that can make an origin public


@dataclass(frozen=True, slots=True)
class ExposedName:
    """A name, and its answer after the change: the target of an alias, and the addresses."""

    name: str
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} {', '.join(self.addresses)}"


@dataclass(frozen=True, slots=True)
class Exposures:
    """The names that a change takes into the open; the first of them are listed."""

    names: tuple[ExposedName, ...]
    total: int

    def __bool__(self) -> bool:
        return self.total > 0

    @property
    def tag(self) -> str:
        """A digest, to tell whether a person has seen these names and addresses."""
        return tag_of([self.total, *map(str, self.names)])

    @property
    def addresses(self) -> list[str]:
        """The addresses of the listed names, each once."""
        return list(dict.fromkeys(address for one in self.names for address in one.addresses))

    def lines(self) -> list[str]:
        """One sentence for each listed name, and one for the others."""
        lines = [f"{one.name} is answered as stored: {', '.join(one.addresses)} becomes public" for one in self.names]
        more = self.total - len(self.names)
        return [*lines, f"and {more:,} more name{'' if more == 1 else 's'}"] if more else lines


class IntoOpenError(DnsdError):
    """A change that takes names into the open, and was not confirmed; nothing was changed."""

    def __init__(self, exposures: Exposures) -> None:
        self.exposures = exposures
        super().__init__(f"{exposures.total:,} names would be answered as stored")


def exposures(before: Loaded, after: Loaded, token: Token) -> Exposures:
    """The names that a change takes into the open, as far as a token may see them; their number, if it may not."""
    found = [
        one
        for one in moves(before.snapshot, after.snapshot)
        if one.names.opened and token.covers(one.account_id, one.zone_id)
    ]
    shown = [one for one in found if token.grants(Area.DNS, AccessLevel.READ)]
    names = tuple(islice(_names(before, after, shown), MAX_NAMES))
    return Exposures(names, sum(one.names.opened for one in found))


def can_expose(action: str) -> bool:
    """Whether a change of this kind can take names into the open."""
    return action.startswith(ACTIONS)


def unless_exposed(verb: Callable[[Draft], T], token: Token, *, seen: str = "") -> Callable[[Draft], T]:
    """A verb that raises IntoOpenError, and changes nothing, if it would take names into the open.

    It may take those whose tag is `seen`.
    """

    def careful(draft: Draft) -> T:
        result = verb(draft)
        found = exposures(draft.loaded, draft.load(), token)
        if found and found.tag != seen:
            raise IntoOpenError(found)
        return result

    return careful


def _names(before: Loaded, after: Loaded, zones: Iterable[ZoneMoves]) -> Iterator[ExposedName]:
    old, new = before.snapshot, after.snapshot
    for zone in zones:
        for name in old.zones[zone.zone_id].proxied_names:
            now = new.names.get(name) or new.search(name)
            if not isinstance(now.rule, Edge) and is_stored(now):
                end = ending(new, now, name)
                addresses = [str(ip_address(packed)) for packed in (*end.v4, *end.v6)]
                target = [name_text(now.rule.target)] if isinstance(now.rule, Alias | Flattened) else []
                yield ExposedName(name_text(name), (*target, *addresses))
