"""Explanations are true: over generated worlds, the explained reply is the actual reply, and its steps are correct.

The steps are compared with those of the reference, which is independent of the answering code; the map named in the
explanation, with the addresses in the packed reply.
"""

from __future__ import annotations

import os
import pathlib
import random
import struct
from collections.abc import Iterator
from ipaddress import ip_address

import dns.message
import dns.name
import dns.rdatatype
import pytest
from dns.name import Name
from dns.rdatatype import AAAA, HTTPS, A, RdataType

from dnsd.app import Loaded, load
from dnsd.compile.explain import Explanation, NameExplained, explain
from dnsd.engine.respond import respond
from tests.property.test_reference import random_questions
from tests.reference import Reference
from tests.worlds import World, random_world, write_world

FIRST, LAST = map(int, os.environ.get("WORLDS", "501-524").split("-"))
TYPES = ("DS", "ANY", "RRSIG", "DNAME", "CNAME", "AXFR")  # asked more often here than elsewhere


def explained(loaded: Loaded, qname: Name, qtype: RdataType) -> Explanation:
    name = qname.to_wire()
    assert name is not None
    return explain(loaded.snapshot, loaded.dataset, name, int(qtype), loaded.settings.missing_family)


def questions(rng: random.Random, reference: Reference) -> Iterator[tuple[Name, RdataType]]:
    for number, (qname, qtype) in enumerate(random_questions(rng, reference)):
        yield qname, dns.rdatatype.from_text(rng.choice(TYPES)) if number % 4 == 0 else qtype
    for zone in reference.zones:  # where two zones meet
        yield from ((zone.name, dns.rdatatype.DS), (dns.name.from_text("ds", zone.name), dns.rdatatype.DS))


@pytest.mark.parametrize("seed", range(FIRST, LAST + 1))
def test_steps_match_the_reference(seed: int, tmp_path: pathlib.Path) -> None:
    rng = random.Random(seed)
    world = random_world(rng)
    reference = Reference(world)
    loaded = load(write_world(world, tmp_path), {})
    for qname, qtype in questions(rng, reference):
        found = explained(loaded, qname, qtype)
        wrong = list(differences(world, reference, loaded, qname, qtype, found))
        assert not wrong, f"seed {seed}: {qname} {dns.rdatatype.to_text(qtype)}: {wrong}\n{found.names}"


def differences(
    world: World, reference: Reference, loaded: Loaded, qname: Name, qtype: RdataType, found: Explanation
) -> Iterator[str]:
    wire = qname.to_wire()
    assert wire is not None
    query = struct.pack("!6H", 0, 0x0100, 1, 0, 0, 0) + wire + struct.pack("!2H", int(qtype), 1)
    for _ in range(2):  # the second may come from the cache
        if respond(loaded.snapshot, query, stream=True) != found.reply:
            yield "the reply is another one"
    if qtype == dns.rdatatype.AXFR:
        return
    steps = [(step.name, step.zone.split()[0] if step.zone else None) for step in found.names]
    expected = [(as_text(name), as_text(zone.name) if zone else None) for name, zone in reference.steps(qname, qtype)]
    heard = [
        (name, zone if is_spoken_for(step) else None) for (name, zone), step in zip(steps, found.names, strict=True)
    ]
    if heard != expected:
        yield f"steps {heard}, expected {expected}"
    yield from differences_of_maps(world, qtype, found)


def as_text(name: Name) -> str:
    return name.to_text(omit_final_dot=True) if name != dns.name.root else "."


def is_spoken_for(step: NameExplained) -> bool:
    return step.served != "refused"


def differences_of_maps(world: World, qtype: RdataType, found: Explanation) -> Iterator[str]:
    """Whether the addresses in a reply are those of the map named in the explanation."""
    last = found.names[-1]
    if qtype not in (A, AAAA, HTTPS) or not last.served.startswith("proxied: addresses"):
        return
    taken = [verdict.map for verdict in last.maps if verdict.taken]
    lists = [world.accounts[key.split("/")[0]].maps[key.split("/")[-1]]["ips"] for key in taken]
    version = 6 if qtype == AAAA else 4
    ips = next((own for own in (of_family(one, version) for one in lists) if own), [])
    if not taken:
        ips = of_family(world.settings["default_addresses"], version)
    shown = [rdata for rrset in dns.message.from_wire(found.reply).answer if rrset.rdtype == qtype for rdata in rrset]
    if qtype == HTTPS:
        hints = [str(shown[-1])] if shown else []
        if ips and not any(ips[0] in hint for hint in hints) and "ipv4hint" in "".join(hints):
            yield f"hints {hints} are not of {ips}"
    elif sorted(map(str, shown)) != sorted(ips):
        yield f"addresses {shown} are not {ips}, of {taken}"


def of_family(ips: list[str], version: int) -> list[str]:
    return [str(ip_address(ip)) for ip in ips if ip_address(ip).version == version]
