"""A zone listed as DNS answers it: every RRset of the list is answered, and every answer is in the list."""

from __future__ import annotations

import pathlib
import random
from ipaddress import ip_address
from itertools import pairwise

import pytest

from dnsd.app import load
from dnsd.engine.answer import Answer, Rrset
from dnsd.engine.content import answered_rrsets
from dnsd.engine.entry import CUT, OCCLUDED, in_order
from dnsd.engine.respond import find, parse
from dnsd.engine.snapshot import Snapshot
from dnsd.wire.names import name_text
from dnsd.wire.rdata import AAAA, CNAME, DNAME, DS, HTTPS, MX, NS, SOA, SRV, SVCB, TXT, A
from tests.packets import opt
from tests.reference import Reference
from tests.worlds import random_world, write_world

TYPES = (A, AAAA, CNAME, DNAME, DS, HTTPS, MX, NS, SOA, SRV, SVCB, TXT, 257, 65280)
SEEDS = range(701, 731)


def answer_to(snapshot: Snapshot, name: bytes, rtype: int) -> Answer:
    asked = parse(snapshot, bytes((0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1)) + name + rtype.to_bytes(2) + b"\0\1" + opt())
    assert asked is not None
    return find(snapshot, asked)


def own(answer: Answer, name: bytes, rtype: int) -> list[Rrset]:
    """The RRset of the question itself."""
    return [one._replace(owner=name) for one in answer.answer if one.owner is None and one.rtype == rtype]


@pytest.mark.parametrize("seed", SEEDS)
def test_list_is_what_dns_answers(seed: int, tmp_path: pathlib.Path) -> None:
    world = random_world(random.Random(seed))
    origins = {ip_address(ip).packed for ip in Reference(world).origins()}
    snapshot = load(write_world(world, tmp_path)).snapshot
    assert snapshot is not None
    listed = {}
    for built in snapshot.zones.values():
        zone = built.apex.name
        rrsets = list(answered_rrsets(snapshot, zone))
        glue: set[Rrset] = set()
        names = [rrset.owner or b"" for rrset in rrsets]
        assert all(in_order(one) <= in_order(other) for one, other in pairwise(names))
        assert len({(one.owner, one.rtype) for one in rrsets}) == len(rrsets)
        for name, rrset in zip(names, rrsets, strict=True):
            entry = snapshot.names.table.find_in(zone, name)
            assert entry is not None
            answer = answer_to(snapshot, name, rrset.rtype)
            if entry.flags & CUT and rrset.rtype == NS:
                is_served = snapshot.names[name].apex is not built.apex  # the child zone answers
                assert is_served or rrset in answer.authority
                servers = {host.lower() for host in rrset.rdatas}
                glue |= {one for one in answer.additional if not is_served and one.owner in servers}
            if entry.flags & OCCLUDED or (entry.flags & CUT and rrset.rtype != DS):
                continue  # perhaps glue, but never an answer
            assert own(answer, name, rrset.rtype) == [rrset], (name_text(name), rrset)
            listed[name, rrset.rtype] = rrset
        assert glue <= {*rrsets}
    assert listed
    assert not origins & {rdata for rrset in listed.values() for rdata in rrset.rdatas}
    for name in snapshot.names:
        for rtype in TYPES:
            for rrset in own(answer_to(snapshot, name, rtype), name, rtype):
                assert listed.get((name, rtype)) == rrset, (name_text(name), rtype)
