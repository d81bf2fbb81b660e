"""The served zone, in dnsd's form and in the other servers', and the queries of each mix.

Text and bytes only. Names answered by dnsd from an address map are plain records, with the same addresses, in the
other servers' form.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

ZONE = "example.com"
TTL_S = 300
A, AAAA = 1, 28
MAP_IPS = {A: ("203.0.113.10", "203.0.113.11"), AAAA: ("2001:db8:100::10", "2001:db8:100::11")}
EDNS_DO = bytes.fromhex("00 0029 04d0 00008000 0000")  # OPT, 1,232 octets, DO
RECURSION_DESIRED = 0x0100
LEAST_QUERIES = 64  # needed by the load generator, which sends this many at once
SEED = 4
PROXIED = " ; cf_tags=cf-proxied:true"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Mix:
    """One kind of traffic; `queries(names, rng)` makes it."""

    name: str
    label: str
    queries: Callable[[int, random.Random], list[bytes]]
    tcp: bool = False
    simple: bool = False  # also answered by the small Python servers


def zone_head(serial: int = 1) -> list[str]:
    """The apex records; the name servers are in another zone."""
    return [
        f"$ORIGIN {ZONE}.",
        f"$TTL {TTL_S}",
        f"@ SOA ns1.example.net. hostmaster.example.net. {serial} 10000 2400 604800 {TTL_S}",
        "@ NS ns1.example.net.",
        "@ NS ns2.example.net.",
    ]


def zone_text(names: int, *, proxied: bool) -> str:
    """Proxied names, DNS-only ones of four types, as many delegations, and a wildcard; `proxied`: in dnsd's form."""
    lines = zone_head()
    for owner in (*(f"h{number}" for number in range(names)), "*.w"):
        lines += proxied_lines(owner) if proxied else plain_lines(owner)
    for number in range(names):
        lines += [f"{_data_name(number)} {_data_text(number)}"]
        lines += [f"s{number} NS ns1.s{number}", f"s{number} NS ns2.s{number}"]
        lines += [f"ns1.s{number} A 192.0.2.1", f"ns2.s{number} A 192.0.2.2"]
    return "\n".join(lines) + "\n"


def proxied_lines(owner: str) -> list[str]:
    """The records in dnsd's form, with the origin's address, which is never answered."""
    return [f"{owner} A 192.0.2.80{PROXIED}"]


def plain_lines(owner: str) -> list[str]:
    """The records in the other servers' form."""
    return [f"{owner} {kind} {ip}" for kind, key in (("A", A), ("AAAA", AAAA)) for ip in MAP_IPS[key]]


DATA_TYPES = (
    (A, "A 192.0.2.7"),
    (AAAA, "AAAA 2001:db8::7"),
    (15, "MX 10 mail.example.net."),
    (16, 'TXT "v=spf1 -all"'),
)


def _data_name(number: int) -> str:
    return f"d{number}"


def _data_text(number: int) -> str:
    return DATA_TYPES[number % len(DATA_TYPES)][1]


def query(labels: str, qtype: int, opt: bytes = b"") -> bytes:
    """A query like a resolver's for a name in the zone; the load generator sets the id."""
    return struct.pack("!6H", 0, RECURSION_DESIRED, 1, 0, 0, bool(opt)) + wire_name(labels, qtype) + opt


def wire_name(labels: str, qtype: int) -> bytes:
    """A question: a name of ASCII letters, the type, class IN."""
    text = f"{labels}.{ZONE}" if labels else ZONE
    return b"".join(bytes([len(one)]) + one.encode() for one in text.split(".")) + struct.pack("!BHH", 0, qtype, 1)


def random_label(rng: random.Random, size: int = 12) -> str:
    """A name that does not exist in these zones."""
    return "x" + "".join(rng.choices(LETTERS, k=size))


def mixed_case(message: bytes, rng: random.Random) -> bytes:
    """The query with the letters of its name in random case (draft-vixie-dnsext-dns0x20)."""
    end = message.index(0, 12)
    swapped = bytes(octet ^ 0x20 if 97 <= octet <= 122 and rng.random() < 0.5 else octet for octet in message[12:end])
    return message[:12] + swapped + message[end:]


def proxied(names: int, rng: random.Random) -> list[bytes]:
    return _shuffled((query(f"h{number}", qtype) for number in range(names) for qtype in (A, AAAA)), rng)


def proxied_do(names: int, rng: random.Random) -> list[bytes]:
    return _shuffled((query(f"h{number}", qtype, EDNS_DO) for number in range(names) for qtype in (A, AAAA)), rng)


def proxied_0x20(names: int, rng: random.Random) -> list[bytes]:
    """Every name in so many case variants that a case-sensitive cache would not help."""
    return [mixed_case(message, rng) for _ in range(5) for message in proxied(names, rng)]


def data(names: int, rng: random.Random) -> list[bytes]:
    kinds = [qtype for qtype, _ in DATA_TYPES]
    return _shuffled((query(_data_name(number), kinds[number % len(kinds)]) for number in range(names)), rng)


def wildcard(names: int, rng: random.Random) -> list[bytes]:
    """Random names below the wildcard."""
    return [query(f"{random_label(rng)}.w", rng.choice((A, AAAA))) for _ in range(10 * names)]


def referral(names: int, rng: random.Random) -> list[bytes]:
    return _shuffled((query(f"www.s{number}", qtype) for number in range(names) for qtype in (A, AAAA)), rng)


def nxdomain(names: int, rng: random.Random) -> list[bytes]:
    """Random names, so many that repetitions are rare."""
    return [query(random_label(rng), A) for _ in range(20 * names)]


def _shuffled(messages: Iterable[bytes], rng: random.Random) -> list[bytes]:
    found = list(messages)
    rng.shuffle(found)
    return found


MIXES = (
    Mix("proxied", "proxied A and AAAA", proxied, simple=True),
    Mix("edns", "the same with EDNS, DO set", proxied_do),
    Mix("0x20", "the same in random case", proxied_0x20),
    Mix("data", "DNS-only A, AAAA, MX, TXT", data),
    Mix("wildcard", "random names below a proxied wildcard", wildcard),
    Mix("referral", "referrals, with glue", referral),
    Mix("nxdomain", "NXDOMAIN of random names", nxdomain, simple=True),
    Mix("tcp", "proxied A and AAAA over TCP, 1,000 per connection", proxied, tcp=True),
)


def framed(messages: Iterable[bytes]) -> bytes:
    """The load generator's input: each query after two octets of length."""
    found = list(messages)
    found *= -(-LEAST_QUERIES // len(found))
    return b"".join(len(message).to_bytes(2) + message for message in found)


def names_of(mix: Mix, names: int) -> Iterator[bytes]:
    """The queries of a mix, the same in every run."""
    yield from mix.queries(names, random.Random(SEED))


# The scale part: one zone with more and more names, and a record that shows the served edition.

MARKER = "marker"


def scale_zone(names: int, edition: int, *, proxied: bool) -> Iterator[str]:
    """Lines of a zone with this many names of one A record; in the other servers' form, with the edition's address."""
    yield "\n".join([*zone_head(edition + 1), f"{MARKER} A {marker_ip(edition)}", ""])
    content = f"192.0.2.80{PROXIED}" if proxied else scale_ip(edition)
    for number in range(names):
        yield f"h{number} A {content}\n"


def marker_ip(edition: int) -> str:
    """The marker's address in an edition."""
    return f"198.51.100.{100 + edition}"


def scale_ip(edition: int) -> str:
    """The address of all names in an edition: in dnsd's form the map's, in the other servers' form the zone's."""
    return f"203.0.113.{100 + edition}"
