"""Networks found by an address in them are those that contain it, in the order given."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from dnsd.model.accounts import contains
from dnsd.model.fields import IPNetwork
from dnsd.model.networks import NetworkIndex

NETWORKS = st.one_of(
    st.tuples(st.integers(0, 255), st.integers(0, 32)).map(lambda one: (f"192.0.2.{one[0]}", one[1])),
    st.tuples(st.integers(0, 255), st.integers(0, 128)).map(lambda one: (f"2001:db8::{one[0]:x}", one[1])),
).map(lambda one: ip_network(f"{one[0]}/{one[1]}", strict=False))
ADDRESSES = st.integers(0, 255).flatmap(
    lambda number: st.sampled_from([f"192.0.2.{number}", f"192.0.3.{number}", f"2001:db8::{number:x}", "::"])
)


@given(st.lists(NETWORKS, max_size=20), ADDRESSES)
def test_networks_around_an_address_are_found_in_order(networks: list[IPNetwork], address: str) -> None:
    ip = ip_address(address)
    expected = [number for number, network in enumerate(networks) if contains(network, ip)]
    assert NetworkIndex((network, number) for number, network in enumerate(networks)).around(ip) == expected
