"""An account's address space: its prefixes, the addresses in use, and a picture of each prefix."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from ipaddress import ip_network
from math import ceil

from dnsd.model.accounts import Account, Approval, Prefix, contains
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import AddressMap

CELLS = 256  # of a picture, at most; a larger prefix is a bar
COLUMNS = 32
BAR, TICK = 640, 3  # the width of a bar, and the least width of a part in it
SUBNET = {4: 24, 6: 64}  # prefix lengths of the subnets listed for a larger prefix
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
MAX_COUNTED = 2**24  # addresses of a prefix; larger numbers are shown as a power of two
SMALL = 4  # addresses of a prefix, at most, that has no router of its own
MAX_TITLE = 6  # addresses in a cell's tooltip
PER_PAGE = 20  # prefixes with their pictures


@dataclass(frozen=True, slots=True)
class Cell:
    """A square in a prefix's picture: `free`, `used` by maps, or `lent`: delegated to another account."""

    column: int
    row: int
    state: str
    title: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a prefix drawn as a bar: `used` by maps, or `lent`: delegated to another account."""

    x: float
    width: float
    state: str
    title: str


@dataclass(frozen=True, slots=True)
class Use:
    """An address that maps use."""

    ip: IPAddress
    maps: tuple[AddressMap, ...]


@dataclass(frozen=True, slots=True)
class Space:
    """A prefix of an account, or a part of another account's prefix that is delegated to it."""

    cidr: IPNetwork
    prefix: Prefix
    owner: Account
    is_own: bool
    uses: tuple[Use, ...]
    cells: tuple[Cell, ...]  # of a small prefix
    stretches: tuple[Stretch, ...]  # of a large one
    subnets: tuple[tuple[IPNetwork, int], ...]  # of a large one: the used ones, with the addresses in use
    next_free: IPAddress | None

    @property
    def is_active(self) -> bool:
        """Whether maps may use its addresses."""
        return self.prefix.approved is Approval.ACTIVE

    @property
    def size(self) -> int:
        """The number of addresses."""
        return self.cidr.num_addresses

    @property
    def size_text(self) -> str:
        """The number of addresses as text; a power of two if it is too long to read."""
        return f"{self.size:,}" if self.size <= MAX_COUNTED else f"2{_raised(self.size)}"

    @property
    def rows(self) -> int:
        """The number of rows of squares."""
        return -(-self.size // COLUMNS)


def spaces_of(dataset: Dataset, account: Account, typed: Set[IPAddress] = frozenset(), *, page: int = 1) -> list[Space]:
    """The prefixes of an account, and the parts of other accounts' prefixes that are delegated to it: one page.

    `typed` are addresses in the form being edited; they no longer count as free.
    """
    usable = _shown(dataset, account)[(page - 1) * PER_PAGE : page * PER_PAGE]
    uses = uses_of(dataset, account.id)
    owners = {prefix.id: one for one in dataset.accounts.values() for prefix in one.prefixes}
    return [
        _space(cidr, prefix, owners[prefix.id], uses, typed, is_own=prefix in account.prefixes)
        for cidr, prefix in usable
    ]


def page_of(dataset: Dataset, account: Account, prefix_id: str) -> int:
    """The page with a prefix of the account; the first one without such a prefix."""
    shown = _shown(dataset, account)
    return next((index // PER_PAGE + 1 for index, (_, one) in enumerate(shown) if one.id == prefix_id), 1)


def pages_of(dataset: Dataset, account: Account) -> int:
    """The number of pages, 1 at least."""
    return max(1, ceil(len(_shown(dataset, account)) / PER_PAGE))


def _shown(dataset: Dataset, account: Account) -> list[tuple[IPNetwork, Prefix]]:
    """An account's prefixes, and the parts delegated to it; without those of prefixes that nobody has approved yet."""
    own = {one.id for one in account.prefixes}
    usable = dataset.usable_space.get(account.id, ())
    return [one for one in usable if one[1].approved is Approval.ACTIVE or one[1].id in own]


def uses_of(dataset: Dataset, account_id: str) -> dict[IPAddress, tuple[AddressMap, ...]]:
    """The addresses that an account's maps use."""
    found: dict[IPAddress, list[AddressMap]] = defaultdict(list)
    for one in dataset.maps.values():
        if one.account_id == account_id:
            for ip in one.ips:
                found[ip].append(one)
    return {ip: tuple(maps) for ip, maps in sorted(found.items(), key=lambda pair: (pair[0].version, int(pair[0])))}


def _space(
    cidr: IPNetwork,
    prefix: Prefix,
    owner: Account,
    uses: dict[IPAddress, tuple[AddressMap, ...]],
    typed: Set[IPAddress],
    *,
    is_own: bool,
) -> Space:
    used = [Use(ip, maps) for ip, maps in uses.items() if contains(cidr, ip)]
    lent = [one.cidr for one in prefix.delegations] if is_own else []
    is_large = cidr.num_addresses > CELLS
    return Space(
        cidr=cidr,
        prefix=prefix,
        owner=owner,
        is_own=is_own,
        uses=tuple(used),
        cells=() if is_large else tuple(_cells(cidr, used, lent)),
        stretches=(*_lent(cidr, lent), *_ticks(cidr, used)) if is_large else (),
        subnets=_subnets(cidr, used) if is_large else (),
        next_free=next_free(cidr, {one.ip for one in used} | typed, lent),
    )


def next_free(cidr: IPNetwork, used: set[IPAddress], lent: Sequence[IPNetwork]) -> IPAddress | None:
    """The first free address of a prefix, neither used nor lent.

    The network and broadcast addresses are skipped, and the first address, which often is a router's.
    """
    has_router = cidr.num_addresses > SMALL
    number = int(cidr.network_address) + (2 if has_router else cidr.num_addresses > 1)
    last = int(cidr.broadcast_address) - (has_router and cidr.version == 4)
    make = type(cidr.network_address)
    parts = sorted((int(part.network_address), int(part.broadcast_address)) for part in lent)
    for start, end in (*parts, (last + 1, last + 1)):
        while number < min(start, last + 1):
            if (ip := make(number)) not in used:
                return ip
            number += 1
        number = max(number, end + 1)
    return None


def _raised(size: int) -> str:
    return str(size.bit_length() - 1).translate(SUPERSCRIPTS)


def _lent(cidr: IPNetwork, lent: Sequence[IPNetwork]) -> Iterator[Stretch]:
    """The delegated parts; the first of those that begin at the same place."""
    places = set()
    for part in lent:
        width = max(TICK, BAR * part.num_addresses / cidr.num_addresses)
        x = _x(cidr, part.network_address)
        if int(x) // TICK not in places:
            places.add(int(x) // TICK)
            yield Stretch(x, width, "lent", f"delegated to another account: {part}")


def _ticks(cidr: IPNetwork, used: Sequence[Use]) -> Iterator[Stretch]:
    """The used addresses; neighbours that would overlap are one tick."""
    by_place: dict[int, list[Use]] = defaultdict(list)
    for use in used:
        by_place[int(_x(cidr, use.ip)) // TICK].append(use)
    return (Stretch(place * TICK, TICK, "used", _title(uses)) for place, uses in by_place.items())


def _x(cidr: IPNetwork, ip: IPAddress) -> float:
    return min(BAR - TICK, BAR * (int(ip) - int(cidr.network_address)) / cidr.num_addresses)


def _subnets(cidr: IPNetwork, used: Sequence[Use]) -> tuple[tuple[IPNetwork, int], ...]:
    length = max(SUBNET[cidr.version], cidr.prefixlen)
    counts = Counter(ip_network((use.ip, length), strict=False) for use in used)
    return tuple(counts.items())


def _cells(cidr: IPNetwork, used: Sequence[Use], lent: Sequence[IPNetwork]) -> list[Cell]:
    """A square for each address."""
    uses = {use.ip: use for use in used}
    cells = []
    make, first = type(cidr.network_address), int(cidr.network_address)
    parts: dict[int, IPNetwork] = {}  # by the number of an address
    for part in sorted(set(lent), key=lambda one: one.prefixlen):
        if int(part.network_address) not in parts:
            parts |= dict.fromkeys(range(int(part.network_address), int(part.broadcast_address) + 1), part)
    for index in range(cidr.num_addresses):
        ip = make(first + index)
        found = parts.get(first + index)
        if ip in uses:
            state, title = "used", _title([uses[ip]])
        elif found is not None:
            state, title = "lent", f"delegated to another account: {found}"
        else:
            state, title = "free", f"free: {ip}"
        cells.append(Cell(index % COLUMNS, index // COLUMNS, state, title))
    return cells


def _title(uses: Sequence[Use]) -> str:
    lines = [f"{use.ip}: {', '.join(one.description or one.id for one in use.maps)}" for use in uses[:MAX_TITLE]]
    return "\n".join([*lines, f"and {len(uses) - MAX_TITLE:,} more"] if len(uses) > MAX_TITLE else lines)
