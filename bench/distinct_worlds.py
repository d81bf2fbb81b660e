"""Data without repetitions, for bench.distinct: zones of distinct names and records, and the queries for them. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.questions import TTL_S, ZONE, A, query, zone_head

HOT = 10_000  # names that are asked again and again
ZONE_SIZE, YAML_ZONE_SIZE = 100, 10  # records of each of many zones
SHARED_HOSTS = 5_000  # name servers of a TLD's delegations

Lines = Iterator[str]


@dataclass(frozen=True)
class World:
    """Zones with this many names in all. `zones(names)` gives each zone's name and lines; the last one is probed."""

    name: str
    label: str
    zones: Callable[[int], Iterator[tuple[str, Lines]]]
    asked: Callable[[int, int], bytes]  # the query for a name, by its number and the number of all names
    is_yaml: bool = False  # read by dnsd alone
    sizes: tuple[int, ...] = (1_000_000,)
    has_edits: bool = False
    has_pauses: bool = False  # the edits are pauses of the zone

    def once(self, names: int, rng: random.Random) -> Iterator[bytes]:
        """Every name once, in random order."""
        numbers = list(range(names))
        rng.shuffle(numbers)
        return (self.asked(number, names) for number in numbers)

    def hot(self, names: int, rng: random.Random) -> Iterator[bytes]:
        """HOT of the names, in random order."""
        return (self.asked(number, names) for number in rng.sample(range(names), min(HOT, names)))


def address(number: int) -> str:
    """An IPv4 address of its own for each number below 16 million."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def distinct_zone(names: int) -> Lines:
    """A name with one A record for each number."""
    yield _head()
    for number in range(names):
        yield f"h{number} A {address(number)}\n"


SPECIAL: tuple[Callable[[int], str], ...] = (
    lambda n: f"h{n} A {address(n)}\nh{n} AAAA 2001:db8::{n >> 16:x}:{n & 65535:x}\n",
    lambda n: f"h{n} A {address(n)}\nh{n} MX 10 mail{n}.example.net.\n",
    lambda n: f'h{n} A {address(n)}\nh{n} TXT "{_digest(n)}{_digest(n)}"\n',
    lambda n: f"h{n} CNAME h{n - 1}\n",
    lambda n: f"h{n} A {address(n)}\n*.h{n} A {address(n)}\n",
    lambda n: f'h{n} A {address(n)}\nh{n} CAA 0 issue "ca{n}.example.net"\n',
    lambda n: f"h{n} A {address(n)}\n_sip._tcp.h{n} SRV 1 2 5060 sip{n}.example.net.\n",
)


def special_zone(names: int) -> Lines:
    """The same, but every twentieth name is special: more types, a CNAME, a wildcard or a service."""
    yield _head()
    for number in range(names):
        is_special = number % 20 == 1
        yield SPECIAL[number // 20 % len(SPECIAL)](number) if is_special else f"h{number} A {address(number)}\n"


def tld_zone(names: int) -> Lines:
    """Delegations: a third with a DS record, one in twenty with a name server and glue of its own."""
    yield _head()
    for number in range(names):
        if number % 20 == 0:
            yield f"d{number} NS ns.d{number}\nns.d{number} A {address(number)}\n"
        else:
            host = number % SHARED_HOSTS
            yield f"d{number} NS ns1.host{host}.example.net.\nd{number} NS ns2.host{host}.example.net.\n"
        if number % 3 == 0:
            yield f"d{number} DS {number % 65536} 13 2 {_digest(number)}\n"


def yaml_zone(names: int, first: int = 0) -> Lines:
    """The distinct zone, or the part of it from a number on, as a YAML file."""
    yield "nameservers: [ns1.example.net]\nrecords:\n"
    for number in range(first, names):
        yield f"- {{name: h{number}, type: A, content: {address(number)}, ttl: {TTL_S}}}\n"


def proxied_zone(names: int) -> Lines:
    """Proxied names in a YAML file, each with an origin of its own."""
    yield "nameservers: [ns1.example.net]\nrecords:\n"
    for number in range(names):
        yield f"- {{name: h{number}, type: A, content: {address(number)}, proxied: true}}\n"


def many_yaml_zones(names: int) -> Iterator[tuple[str, Lines]]:
    """Zones of YAML_ZONE_SIZE records, below one name, as YAML files."""
    for first in range(0, names, YAML_ZONE_SIZE):
        yield f"z{first // YAML_ZONE_SIZE}.{ZONE}", yaml_zone(min(names, first + YAML_ZONE_SIZE), first)


def many_zones(names: int) -> Iterator[tuple[str, Lines]]:
    """Zones of ZONE_SIZE records, below one name."""
    for first in range(0, names, ZONE_SIZE):
        yield f"z{first // ZONE_SIZE}.{ZONE}", _small_zone(first, min(names, first + ZONE_SIZE))


def _small_zone(first: int, end: int) -> Lines:
    yield _head(f"z{first // ZONE_SIZE}.{ZONE}")
    for number in range(first, end):
        yield f"h{number} A {address(number)}\n"


def _head(zone: str = ZONE) -> str:
    return "\n".join([f"$ORIGIN {zone}.", *zone_head()[1:], ""])


def _digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _alone(lines: Callable[[int], Lines]) -> Callable[[int], Iterator[tuple[str, Lines]]]:
    return lambda names: iter([(ZONE, lines(names))])


def _asked_host(number: int, names: int) -> bytes:
    return query(f"h{number}", A)


WORLDS = (
    World(
        "distinct",
        "distinct A records",
        _alone(distinct_zone),
        _asked_host,
        sizes=(1_000_000, 100_000, 10_000),
        has_edits=True,
    ),
    World("tld", "delegations of a TLD", _alone(tld_zone), lambda number, names: query(f"www.d{number}", A)),
    World(
        "zones",
        f"distinct records in zones of {ZONE_SIZE}",
        many_zones,
        lambda number, names: query(f"h{number}.z{number // ZONE_SIZE}", A),
    ),
    World("special", "distinct A records, 5 % special names", _alone(special_zone), _asked_host),
    World(
        "yaml",
        "distinct A records in YAML",
        _alone(yaml_zone),
        _asked_host,
        is_yaml=True,
        sizes=(1_000_000, 20_000),
        has_edits=True,
    ),
    World(
        "proxied",
        "proxied names in YAML, paused",
        _alone(proxied_zone),
        _asked_host,
        is_yaml=True,
        has_edits=True,
        has_pauses=True,
    ),
    World(
        "yaml-zones",
        f"distinct records in YAML zones of {YAML_ZONE_SIZE}",
        many_yaml_zones,
        lambda number, names: query(f"h{number}.z{number // YAML_ZONE_SIZE}", A),
        is_yaml=True,
    ),
)
