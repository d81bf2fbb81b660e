"""The rate limiter in C and the one in Python: the same verdicts, counts and table, and the limits that were meant."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.net import limits as module
from dnsd.net import plain_limits, udp
from dnsd.net.limits import RateLimiter, RateLimits, rate_limiter
from dnsd.wire.addresses import MAPPED, ip_text, packed_ip

pytestmark = pytest.mark.skipif(not udp.IS_BUILT, reason="the compiled loop was not built: no C compiler")

START = 1000.0
PEERS = ("127.0.0.1", "192.0.2.1", "192.0.2.128", "192.0.3.1", "::1", "2001:db8::7", "2001:db8:0:100::")
ADDRESSES = st.one_of(
    st.sampled_from([packed_ip(peer) for peer in PEERS]),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=16, max_size=16).map(lambda ip: ip.removeprefix(MAPPED)),
)
KINDS = st.sampled_from([b"", b"\7example\3com\0", b"\xff", b"\x83\3com\0", bytes(300)])


def network(ip: bytes, length: int) -> IPv4Network | IPv6Network:
    return ip_network(f"{ip_text(ip)}/{min(length, 8 * len(ip))}", strict=False)


SETTINGS = st.builds(
    RateLimits,
    responses_per_second=st.integers(1, 20),
    slip=st.integers(0, 10),
    ipv4_prefix=st.integers(1, 32),
    ipv6_prefix=st.integers(1, 128),
    exempt=st.lists(st.builds(network, ADDRESSES, st.integers(0, 128)), max_size=6).map(tuple),
    log_only=st.booleans(),
)
RESPONSES = st.lists(st.tuples(ADDRESSES, KINDS, st.floats(0, 0.3), st.booleans()), max_size=150)


def made_by(kind: Callable[..., Any], settings: RateLimits, times: memoryview[float]) -> RateLimiter:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Limiter", kind)
        made = rate_limiter(settings, times, bytes(range(16)), bytearray(len(times)))
    assert made
    return made


@given(SETTINGS, st.integers(1, 50), RESPONSES)
def test_both_decide_alike(settings: RateLimits, slots: int, responses: list[tuple[bytes, bytes, float, bool]]) -> None:
    tables = [memoryview(bytearray(8 * slots)).cast("d") for _ in range(2)]
    compiled = made_by(importlib.import_module("dnsd.net._batch").Limiter, settings, tables[0])
    plain = made_by(plain_limits.Limiter, settings, tables[1])
    now = START
    for ip, kind, gap_s, may_slip in responses:
        now += gap_s
        if may_slip:
            assert compiled.verdict(ip, kind, now) == plain.verdict(ip, kind, now)
        else:
            assert compiled.drops(ip, kind, now) == plain.drops(ip, kind, now)
    assert tables[0].tolist() == tables[1].tolist()
    assert compiled.take() == plain.take()


@given(SETTINGS, st.lists(ADDRESSES, max_size=20))
def test_exempt_are_the_addresses_in_exempt_networks(settings: RateLimits, addresses: list[bytes]) -> None:
    for kind in (importlib.import_module("dnsd.net._batch").Limiter, plain_limits.Limiter):
        for ip in addresses:
            limits = made_by(kind, settings, memoryview(bytearray(8)).cast("d"))
            over = [limits.drops(ip, b"", START) for _ in range(21)]
            is_exempt = any(ip_address(ip) in one for one in settings.exempt)
            assert any(over) == (not is_exempt and not settings.log_only)


BAD: dict[str, dict[str, Any]] = {
    "no table": {"times": bytearray()},
    "a table of odd size": {"times": bytearray(9)},
    "too few octets of excess": {"times": bytearray(16), "excess": bytearray(1)},
    "a short key": {"key": bytes(15)},
    "a slip over an octet": {"slip": 256},
    "a negative slip": {"slip": -1},
    "an IPv4 prefix of 33 bits": {"prefixes": (33, 56)},
    "an IPv6 prefix of 129 bits": {"prefixes": (24, 129)},
    "half a range": {"exempt": (bytes(12), b"")},
}


def good() -> dict[str, Any]:
    return {
        "times": bytearray(8),
        "excess": bytearray(1),
        "key": bytes(16),
        "interval_s": 1.0,
        "ahead_s": 1.0,
        "slip": 2,
        "log_only": False,
        "prefixes": (24, 56),
        "exempt": (bytes(8), bytes(32)),
    }


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_compiled_limiter_refuses_bad_arguments(bad: dict[str, Any]) -> None:
    make = importlib.import_module("dnsd.net._batch").Limiter
    assert make(**good()).verdict(bytes([9, 9, 9, 9]), b"kind", 1.0) == 0
    with pytest.raises(ValueError):
        make(**good() | bad)


@pytest.mark.parametrize("ip", [b"", bytes(3), bytes(5), bytes(15), bytes(17)])
def test_compiled_limiter_refuses_other_sizes_of_addresses(ip: bytes) -> None:
    limits = importlib.import_module("dnsd.net._batch").Limiter(**good())
    with pytest.raises(ValueError, match="4 or 16 octets"):
        limits.verdict(ip, b"kind", 1.0)
