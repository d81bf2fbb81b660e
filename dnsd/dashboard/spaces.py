"""An account's address space: its prefixes, the addresses in use, and a picture of each prefix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass

from dnsd.model.accounts import Account, Approval, Prefix, contains
from dnsd.model.dataset import Dataset
from dnsd.model.fields import IPAddress, IPNetwork
from dnsd.model.maps import AddressMap

CELLS = 256  # of a picture, at most
COLUMNS = 32
MAX_COUNTED = 2**24  # addresses of a prefix; larger numbers are shown as a power of two
MAX_TITLE = 6  # addresses in a cell's tooltip


@dataclass(frozen=True, slots=True)
class Cell:
    """A square in a prefix's picture: `free`, `used` by maps, or `lent`: delegated to another account."""

    column: int
    row: int
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
    cells: tuple[Cell, ...]
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
        return f"{self.size:,}" if self.size <= MAX_COUNTED else f"2^{self.size.bit_length() - 1}"

    @property
    def cell_text(self) -> str:
        """The size of a square in the picture; empty for a single address."""
        return "" if self.size <= CELLS else f"a /{self.cidr.prefixlen + CELLS.bit_length() - 1}"

    @property
    def rows(self) -> int:
        """The number of rows in the picture."""
        return -(-min(CELLS, self.size) // COLUMNS)


def spaces_of(dataset: Dataset, account: Account, typed: Set[IPAddress] = frozenset()) -> list[Space]:
    """The prefixes of an account, and the parts of other accounts' prefixes that are delegated to it.

    `typed` are addresses in the form being edited; they no longer count as free.
    """
    uses = uses_of(dataset, account.id)
    owners = {prefix.id: one for one in dataset.accounts.values() for prefix in one.prefixes}
    return [
        _space(cidr, prefix, owners[prefix.id], uses, typed, is_own=prefix in account.prefixes)
        for cidr, prefix in dataset.usable_space.get(account.id, ())
    ]


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
    return Space(
        cidr=cidr,
        prefix=prefix,
        owner=owner,
        is_own=is_own,
        uses=tuple(used),
        cells=tuple(_cells(cidr, used, lent)),
        next_free=next_free(cidr, {one.ip for one in used} | typed, lent),
    )


def next_free(cidr: IPNetwork, used: set[IPAddress], lent: Sequence[IPNetwork]) -> IPAddress | None:
    """The first free address of a prefix, neither used nor lent; the network address is skipped."""
    number, last = int(cidr.network_address) + (cidr.num_addresses > 1), int(cidr.broadcast_address)
    make = type(cidr.network_address)
    while number <= last:
        ip = make(number)
        part = next((part for part in lent if ip in part), None)
        if part is None and ip not in used:
            return ip
        number = int(part.broadcast_address) + 1 if part else number + 1
    return None


def _cells(cidr: IPNetwork, used: Sequence[Use], lent: Sequence[IPNetwork]) -> list[Cell]:
    count = min(CELLS, cidr.num_addresses)
    each, first = cidr.num_addresses // count, int(cidr.network_address)
    in_cell: dict[int, list[Use]] = defaultdict(list)
    for use in used:
        in_cell[(int(use.ip) - first) // each].append(use)
    lent_to: dict[int, str] = {}
    for part in lent:
        start = (int(part.network_address) - first) // each
        for index in range(start, (int(part.broadcast_address) - first) // each + 1):
            lent_to[index] = f"delegated to another account: {part}"
    cells = []
    for index in range(count):
        if uses := in_cell.get(index):
            state, title = "used", _title(uses)
        elif index in lent_to:
            state, title = "lent", lent_to[index]
        else:
            state, title = (
                "free",
                _free_title(cidr, first + index * each, each),
            )
        cells.append(Cell(index % COLUMNS, index // COLUMNS, state, title))
    return cells


def _free_title(cidr: IPNetwork, start: int, count: int) -> str:
    ip = type(cidr.network_address)(start)
    return f"free: {ip}" if count == 1 else f"free: {ip}/{cidr.max_prefixlen - count.bit_length() + 1}"


def _title(uses: Sequence[Use]) -> str:
    lines = [f"{use.ip}: {', '.join(one.description or one.id for one in use.maps)}" for use in uses[:MAX_TITLE]]
    return "\n".join([*lines, f"and {len(uses) - MAX_TITLE:,} more"] if len(uses) > MAX_TITLE else lines)
