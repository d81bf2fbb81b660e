"""The rate limit: bursts and rates of responses by network, over all workers; the same in C and in Python."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsd.net import limits as module
from dnsd.net import plain_limits, udp
from dnsd.net.limits import RateLimiter, RateLimits, rate_limiter
from dnsd.net.reply import DROP, PASS, SLIP
from dnsd.wire.addresses import packed_ip

START = 1000.0
KIND = b"\7example\3com\0"
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
DEFAULTS: dict[str, Any] = {
    "responses_per_second": 5,
    "slip": 0,
    "ipv4_prefix": 24,
    "ipv6_prefix": 56,
    "exempt": LOOPBACK,
    "log_only": False,
}

needs_compiled = pytest.mark.skipif(not udp.IS_BUILT, reason="the compiled loop was not built: no C compiler")


@pytest.fixture(scope="module", autouse=True, params=[pytest.param("compiled", marks=needs_compiled), "plain"])
def _kind_of_limiter(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "plain":
            patch.setattr(module, "Limiter", plain_limits.Limiter)
        yield


def table(size: int = 1_000_003) -> memoryview[float]:  # so large that no networks share a slot by chance
    return memoryview(bytearray(8 * size)).cast("d")


def limiter(times: memoryview[float] | None = None, **settings: Any) -> RateLimiter:
    times = table() if times is None else times
    made = rate_limiter(RateLimits(**DEFAULTS | settings), times, bytes(range(16)), bytearray(len(times)))
    assert made
    return made


def verdict(limits: RateLimiter, peer: str, kind: bytes = KIND, now: float = START) -> int:
    return limits.verdict(packed_ip(peer), kind, now)


def verdicts(limits: RateLimiter, count: int, now: float = START, peer: str = "192.0.2.1") -> list[int]:
    return [verdict(limits, peer, now=now) for _ in range(count)]


@pytest.mark.parametrize("rate", [1, 2, 3, 5, 7, 49, 200, 1000, 12_345])
@pytest.mark.parametrize("start", [0.0, START, 1e7 + 0.1])
def test_burst_is_a_second_s_worth(rate: int, start: float) -> None:
    limits = limiter(responses_per_second=rate)
    assert verdicts(limits, rate + 3, start) == [PASS] * rate + [DROP] * 3
    assert verdicts(limits, rate + 3, start + 1) == [PASS] * rate + [DROP] * 3


def test_after_a_burst_responses_go_out_at_the_rate() -> None:
    limits = limiter(responses_per_second=5)
    verdicts(limits, 5)
    passed = sum(verdict(limits, "192.0.2.1", now=START + step / 1000) == PASS for step in range(10_000))
    assert passed == pytest.approx(50, abs=1)


def test_steady_load_below_the_rate_passes() -> None:
    limits = limiter(responses_per_second=5)
    assert {verdict(limits, "192.0.2.1", now=START + step / 4.9) for step in range(1000)} == {PASS}


SLIPS = [(0, [DROP] * 6), (1, [SLIP] * 6), (2, [DROP, SLIP] * 3), (3, [DROP, DROP, SLIP] * 2)]


@pytest.mark.parametrize(("slip", "expected"), SLIPS, ids=[str(slip) for slip, _ in SLIPS])
def test_every_slipth_excess_response_is_cut(slip: int, expected: list[int]) -> None:
    limits = limiter(slip=slip, responses_per_second=1)
    assert verdicts(limits, 7) == [PASS, *expected]


def test_slips_of_networks_do_not_mix() -> None:
    limits = limiter(slip=2, responses_per_second=1)
    peers = ("192.0.2.1", "198.51.100.1") * 5
    found = [verdict(limits, peer) for peer in peers]
    assert found == [PASS, PASS, DROP, DROP, SLIP, SLIP, DROP, DROP, SLIP, SLIP]


SHARED = [
    ("192.0.2.1", "192.0.2.255", True),
    ("192.0.2.1", "192.0.3.1", False),
    ("192.0.2.1", "::ffff:192.0.2.7", True),
    ("2001:db8:0:ff::1", "2001:db8:0:1::1", True),
    ("2001:db8:0:ff::1", "2001:db8:0:100::1", False),
    ("fe80::1%lo", "fe80::2%eth0", True),
]


@pytest.mark.parametrize(("one", "other", "is_shared"), SHARED)
def test_network_shares_a_rate(one: str, other: str, is_shared: bool) -> None:
    limits = limiter(responses_per_second=2)
    verdicts(limits, 2, peer=one)
    assert verdicts(limits, 1, peer=other) == [DROP if is_shared else PASS]


def test_each_kind_of_response_has_its_own_rate() -> None:
    limits = limiter(responses_per_second=2)
    verdicts(limits, 3)
    assert verdict(limits, "192.0.2.1", b"\3org\0") == PASS
    assert verdict(limits, "192.0.2.1", b"\x83\3com\0") == PASS


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.255.255.255", "::1", "::1%lo", "::ffff:127.0.0.1"])
def test_exempt_networks_are_not_limited(peer: str) -> None:
    assert set(verdicts(limiter(), 50, peer=peer)) == {PASS}


@pytest.mark.parametrize("peer", ["126.255.255.255", "128.0.0.0", "::", "::2", "::7f00:1"])
def test_neighbours_of_exempt_networks_are_limited(peer: str) -> None:
    assert DROP in verdicts(limiter(), 50, peer=peer)


def test_all_networks_may_be_exempt() -> None:
    limits = limiter(exempt=(ip_network("0.0.0.0/0"), ip_network("::/0"), ip_network("::ffff:192.0.2.0/120")))
    assert set(verdicts(limits, 50) + verdicts(limits, 50, peer="2001:db8::1")) == {PASS}


def test_rate_0_is_no_limit() -> None:
    limits = RateLimits(**DEFAULTS | {"responses_per_second": 0})
    assert rate_limiter(limits, table(1), bytes(16), bytearray(1)) is None


def test_networks_in_one_slot_share_its_rate() -> None:
    """With any number of networks, the table does not grow, and every network is limited."""
    limits = limiter(table(1))
    assert [verdict(limits, f"10.0.{n}.1") for n in range(7)] == [PASS] * 5 + [DROP] * 2


def test_workers_share_rates() -> None:
    times = table()
    one, other = limiter(times), limiter(times)
    assert verdicts(one, 3) + verdicts(other, 3) == [PASS] * 5 + [DROP]


def test_processes_share_rates_and_agree_on_slots() -> None:
    with mmap.mmap(-1, 8 * 1009) as shared:
        times = memoryview(shared).cast("d")
        limits = limiter(times)
        child = os.fork()
        if not child:
            verdicts(limits, 5)
            os._exit(0)
        os.waitpid(child, 0)
        assert verdicts(limits, 1) == [DROP]
        del limits
        times.release()


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200), st.integers(1, 20))
def test_no_period_exceeds_the_rate(gaps: list[float], rate: int) -> None:
    limits = limiter(table(1), responses_per_second=rate)
    now, passed = START, []
    for gap in gaps:
        now += gap / rate
        if verdict(limits, "192.0.2.1", now=now) == PASS:
            passed.append(now)
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= rate + (passed[last] - start) * rate + 1


def test_over_limit_responses_are_counted() -> None:
    limits = limiter(slip=3)
    assert limits.take() == (0, 0, 0, b"")
    verdicts(limits, 5 + 7)
    assert limits.drops(packed_ip("192.0.2.9"), KIND, START)
    assert limits.take() == (6, 2, 0, packed_ip("192.0.2.9"))
    assert limits.take() == (0, 0, 0, b"")


def test_limits_that_only_log_let_all_pass() -> None:
    limits = limiter(slip=1, log_only=True)
    assert set(verdicts(limits, 12, peer="2001:db8::1")) == {PASS}
    assert not limits.drops(packed_ip("2001:db8::1"), KIND, START)
    assert limits.take() == (0, 0, 8, packed_ip("2001:db8::1"))


def test_response_that_cannot_be_shortened_is_dropped() -> None:
    limits = limiter(slip=1)
    verdicts(limits, 5)
    assert limits.drops(packed_ip("192.0.2.1"), KIND, START)
    assert verdicts(limits, 1) == [SLIP]


def test_another_limiter_s_excess_is_taken_over() -> None:
    """After a change of settings, `slip` may be less than the excess so far."""
    excess = bytearray([9])
    limits = rate_limiter(RateLimits(**DEFAULTS | {"slip": 2}), table(1), bytes(16), excess)
    assert limits
    assert verdicts(limits, 8)[5:] == [SLIP, DROP, SLIP]
