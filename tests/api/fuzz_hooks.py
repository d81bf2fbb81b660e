"""Hooks for schemathesis, loaded by its command line: existing ids and meaningful values."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import schemathesis

from tests.api.test_access import A1, A3, M_OLD, PREFIX_OLD, RECORD, RECORD_OLD, USUAL, Z1, Z2, Z_OLD, M

TYPES = (
    *("A", "AAAA", "CAA", "CERT", "CNAME", "DNSKEY", "DS", "HTTPS", "LOC", "MX", "NAPTR", "NS", "PTR", "SMIMEA", "SPF"),
    *("SRV", "SSHFP", "SVCB", "TLSA", "TXT", "URI", "TYPE65400"),
)
IPS = ("203.0.113.1", "203.0.113.2", "2001:db8:100::1", "192.0.2.200", "203.0.113.0%2F24", "fe80::1%25eth0")
RECORD_VALUES: dict[str, tuple[Any, ...]] = {
    "type": TYPES,
    "name": ("@", "www", "*", "a.b", "x.example.com.", "new", "txt"),
    "content": ("192.0.2.1", "2001:db8::1", "t.example.", '"text"', "10 20 30 t.example", "\\# 1 00", '0 issue "ca"'),
    "ttl": (1, 60, 3600.0),
    "settings": ({}, {"flatten_cname": True}),
    "priority": (10,),
    "proxied": (True, False),
    "tags": (["team:shop"],),
    "id": (RECORD, RECORD_OLD),
}
VALUES: dict[str, tuple[Any, ...]] = {
    "ips": (["203.0.113.1"], []),
    "memberships": ([], [{"kind": "zone", "identifier": Z1}], [{"kind": "account", "identifier": A1}]),
    "id": (M, M_OLD),
    "cidr": ("203.0.113.64/26", "198.51.100.128/25", "2001:db8:5::/48"),
    "account": ({"id": A1},),
    "delegated_account_id": (A3, A1),
    "ip": ("192.0.2.209",),
}
WHOLE = {"account_id": A3, "zone_id": Z_OLD, "map_id": M_OLD, "prefix_id": PREFIX_OLD, "record_id": RECORD_OLD}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Replace most generated values by known ones; rarely delete whole objects, which ends their use."""
    choice = crc32(repr((case.method, case.path, case.path_parameters, case.body)).encode())
    known = USUAL | {"member_id": A1 if "accounts/{member_id}" in case.path else Z2, "ip": IPS[choice % len(IPS)]}
    if case.method == "DELETE":
        known |= WHOLE
    for name in case.path_parameters or {}:
        if name in known and (choice % 8 or case.method == "DELETE"):
            case.path_parameters[name] = known[name]
    if isinstance(case.body, dict):
        items = [one for value in case.body.values() if isinstance(value, list) for one in value]
        for record in [case.body, *items]:
            if isinstance(record, dict):
                _make_sensible(record, RECORD_VALUES if "dns_records" in case.path else VALUES)


def _make_sensible(body: dict[str, Any], known: dict[str, tuple[Any, ...]]) -> None:
    choice = crc32(repr(body).encode())
    for name in body.keys() & known.keys():
        if crc32(name.encode(), choice) % 8:
            body[name] = known[name][choice % len(known[name])]
    if body.keys() == {"id"}:  # to delete
        body["id"] = RECORD_OLD
    if "type" in body and choice % 4:
        body.setdefault("content", RECORD_VALUES["content"][choice % 5])
