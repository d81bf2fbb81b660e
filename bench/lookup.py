"""The cost of one lookup in the engine, and of a map edit with many names behind the map.

    python bench/lookup.py

Prints the median of several rounds of `respond`, by kind of query, on the example configuration; then the time to
build the snapshot after an edit of a map with 1,000 and with 100,000 proxied names behind it.
"""

from __future__ import annotations

import dataclasses
import statistics
import struct
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from dnsd.app import load
from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.model.accounts import Account, AccountSettings
from dnsd.model.columns import Records
from dnsd.model.dataset import Dataset, build_dataset
from dnsd.model.maps import AddressMap, MemberKind, Membership
from dnsd.model.records import Record
from dnsd.model.zones import SoaFields, Status, Zone, ZoneSettings, apex_rdatas
from dnsd.wire.names import parse_name_text

CONFIG = Path(__file__).parents[1] / "config" / "dnsd.yaml"
ROUNDS, CALLS = 7, 50_000
OPT = bytes.fromhex("00 0029 04d0 00008000 0000")

QUESTIONS = [
    ("proxied A", "www.example.com", 1, b""),
    ("proxied A, EDNS with DO", "www.example.com", 1, OPT),
    ("proxied AAAA", "www.example.com", 28, b""),
    ("proxied HTTPS", "www.example.com", 65, b""),
    ("mixed case", "wWw.ExAmPlE.CoM", 1, b""),
    ("proxied wildcard", "a.b.tenants.example.com", 1, b""),
    ("DNS-only A", "mail.example.com", 1, b""),
    ("CNAME chain", "app.example.com", 1, b""),
    ("referral", "host.lab.example.com", 1, b""),
    ("NXDOMAIN", "no-such-name.example.com", 1, b""),
    ("not our zone", "www.example.edu", 1, b""),
]


def question(name: str, qtype: int, opt: bytes) -> bytes:
    """A query like a resolver's."""
    return (
        struct.pack("!6H", 4711, 0x0100, 1, 0, 0, bool(opt))
        + parse_name_text(name)
        + struct.pack("!HH", qtype, 1)
        + opt
    )


def microseconds(call: Callable[[], object], calls: int) -> float:
    """The median over the rounds of the mean time of one call."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        rounds.append((time.perf_counter() - start) / calls * 1e6)
    return statistics.median(rounds)


def world(names: int) -> tuple[Dataset, AddressMap]:
    """One zone with this many proxied names, and the map that covers it."""
    apex = parse_name_text("example.com")
    account = Account("acme", "a" * 32, "Acme", (), (), AccountSettings())
    records = [
        Record(parse_name_text(f"h{number}", apex), 1, 1, b"\xc0\x00\x02\x01", proxied=True) for number in range(names)
    ]
    made = apex_rdatas(apex, {}, ("ns1.example.net",), SoaFields(), 1)
    records += [Record(apex, rtype, ttl, rdata) for (rtype, ttl, *_), rdata in made]
    zone = Zone(
        "acme/zones/example.com", "b" * 32, account.id, apex, Status.ACTIVE, False, ZoneSettings(), Records.of(records)
    )
    members = (Membership(MemberKind.ZONE, zone.id),)
    ips = (ip_address("203.0.113.10"), ip_address("2001:db8:100::10"))
    address_map = AddressMap("acme/maps/shop", "c" * 32, account.id, "", True, ips, members, None, False)
    return build_dataset([account], [address_map], [zone])[0], address_map


def edit_milliseconds(names: int) -> float:
    """The median time from an edited dataset to its snapshot."""
    dataset, address_map = world(names)
    options = Options((ip_address("198.51.100.10"),))
    snapshot: Snapshot = build_snapshot(dataset, options)
    times = []
    for number in range(1, 12):
        ips = (ip_address(f"203.0.113.{number}"), *address_map.ips)
        edited = dataclasses.replace(dataset, maps={address_map.id: dataclasses.replace(address_map, ips=ips)})
        start = time.perf_counter()
        snapshot = build_snapshot(edited, options, snapshot)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def main() -> None:
    """Print both tables."""
    snapshot = load(CONFIG, {}).snapshot
    print(f"{'respond':28} {'µs':>6}")
    for label, name, qtype, opt in QUESTIONS:
        query = question(name, qtype, opt)
        assert respond(snapshot, query) is not None
        print(f"{label:28} {microseconds(lambda query=query: respond(snapshot, query), CALLS):6.2f}")
    print(f"\n{'edit of a map, names behind':28} {'ms':>6}")
    for names in (1_000, 100_000):
        print(f"{names:28,} {edit_milliseconds(names):6.2f}")


if __name__ == "__main__":
    main()
