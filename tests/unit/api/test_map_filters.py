"""The filters of the list of address maps: by address and by network."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dnsd.api import maps
from dnsd.api.request import Call
from tests.models import resolved

MAPS = {
    "a1/both": {"ips": ["203.0.113.7", "2001:db8:100::7"]},
    "a1/four": {"ips": ["203.0.113.8", "203.0.113.200"]},
    "a1/six": {"ips": ["2001:db8:100::7"]},
    "a1/none": {"ips": []},
}
FOUND: dict[str, tuple[dict[str, str], list[str]]] = {
    "all": ({}, ["both", "four", "six", "none"]),
    "an address": ({"ip": "203.0.113.8"}, ["four"]),
    "an address in another form": ({"ip": "2001:DB8:0100:0::7"}, ["both", "six"]),
    "no address": ({"ip": "x"}, []),
    "a network": ({"cidr": "203.0.113.0/28"}, ["both", "four"]),
    "an IPv6 network": ({"cidr": "2001:db8:100::/40"}, ["both", "six"]),
    "all IPv4": ({"cidr": "0.0.0.0/0"}, ["both", "four"]),
    "both filters": ({"cidr": "203.0.113.0/24", "ip": "2001:db8:100::7"}, ["both"]),
    "no network": ({"cidr": "203.0.113.9/24"}, []),
}


def listed(query: dict[str, str]) -> list[str]:
    """The names of the maps that the route lists."""
    data, _ = resolved({"a1": {"prefixes": []}}, [], MAPS)
    account_id = next(iter(data.accounts))
    found: list[Any] = []
    call = SimpleNamespace(
        service=SimpleNamespace(loaded=SimpleNamespace(dataset=data)),
        path={"account_id": account_id},
        query=query,
        listed=lambda items, shape: found.extend(items),
    )
    asyncio.run(maps.list_maps(cast(Call, call)))
    return [one.key.rpartition("/")[2] for one in found]


@pytest.mark.parametrize("case", FOUND)
def test_filters(case: str) -> None:
    query, expected = FOUND[case]
    assert listed(query) == expected


def test_network_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = maps.ip_network
    monkeypatch.setattr(maps, "ip_network", lambda text: (parsed.append(text), parse(text))[1])
    assert listed({"cidr": "203.0.113.0/24"}) == ["both", "four"]
    assert parsed == ["203.0.113.0/24"]
