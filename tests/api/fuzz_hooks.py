"""What schemathesis cannot know: ids that are there, and words that mean something. Loaded by its command line."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import schemathesis

from tests.api.test_access import A1, A3, M_OLD, PREFIX_OLD, RECORD, RECORD_OLD, USUAL, Z1, Z2, Z_OLD, M

TYPES = ["A", "AAAA", "CAA", "CERT", "CNAME", "DNSKEY", "DS", "HTTPS", "LOC", "MX", "NAPTR", "NS", "PTR", "SMIMEA", "SRV", "SSHFP", "SVCB", "TLSA", "TXT", "URI", "TYPE65400"]
NAMES = ["@", "www", "*", "a.b", "x.example.com.", "example.org"]
CONTENTS = [
    "192.0.2.1",
    "2001:db8::1",
    "t.example.",
    '"text"',
    "10 20 30 t.example",
    "\\# 1 00",
    '0 issue "ca.example"',
]
RECORD_VALUES = {
    "type": TYPES,
    "name": NAMES,
    "content": CONTENTS,
    "ttl": [1, 60, 3600.0],
    "data": [None],
    "settings": [{}, {"flatten_cname": True}],
    "priority": [10],
    "proxied": [True, False],
    "tags": [["team:shop"]],
    "id": [RECORD, RECORD_OLD],
}
VALUES = {
    "ips": [["203.0.113.1"], []],
    "memberships": [[], [{"kind": "zone", "identifier": Z1}], [{"kind": "account", "identifier": A1}]],
    "id": [M, M_OLD],
    "cidr": ["203.0.113.64/26", "198.51.100.128/25", "2001:db8:5::/48"],
    "account": [{"id": A1}],
    "delegated_account_id": [A3, A1],
    "ip": ["192.0.2.209"],
}
IPS = ["203.0.113.1", "203.0.113.2", "2001:db8:100::1", "192.0.2.200", "203.0.113.0%2F24", "fe80::1%25eth0"]
DOOMED = {"account_id": A3, "zone_id": Z_OLD, "map_id": M_OLD, "prefix_id": PREFIX_OLD, "record_id": RECORD_OLD}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> Any:
    """Mostly ids that are there; what can be deleted as a whole is of little worth."""
    if path_parameters is None:
        return None
    known = USUAL | {"member_id": Z2, "ip": IPS[crc32(repr(path_parameters).encode()) % len(IPS)]}
    last = context.operation.path.rpartition("{")[2].rstrip("}")
    if context.operation.method.upper() == "DELETE" and last in DOOMED:
        known |= {last: DOOMED[last]}
    keep = crc32(repr(path_parameters).encode(), 1) % 4 == 0
    return {
        name: value if keep and name not in ("account_id", "zone_id") else known.get(name, value)
        for name, value in path_parameters.items()
    }


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Values that mean something, here and there."""
    if not isinstance(body, dict):
        return body
    if "dns_records" in context.operation.path:
        items = [one for value in body.values() if isinstance(value, list) for one in value]
        for record in [body, *items]:
            if isinstance(record, dict):
                _make_sensible(record, RECORD_VALUES)
    else:
        _make_sensible(body, VALUES)
    return body


def _make_sensible(body: dict[str, Any], known: dict[str, list[Any]]) -> None:
    choice = crc32(repr(body).encode())
    for number, name in enumerate(body):
        if name in known and (choice >> number) % 4:
            body[name] = known[name][choice % len(known[name])]
