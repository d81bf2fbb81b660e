"""Observed routes: which news counts, for how long, and which addresses are then left out of answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_network
from typing import Any

import pytest

from dnsd.compile.build import Options, build_snapshot
from dnsd.engine.snapshot import Snapshot
from dnsd.model.advertisement import Routes
from dnsd.model.fields import parse_ip
from dnsd.model.maps import MissingFamily
from dnsd.model.observed import KEPT, MAX_OBSERVED, FeedError, FeedFields, Observed, RouteFields, changed_networks
from tests.models import SPACE, proxied, resolved, zone

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AGE = timedelta(minutes=5)


def feed(at: datetime | None = None, **states: bool) -> FeedFields:
    names = {"whole": "203.0.113.0/24", "half": "203.0.113.0/25", "six": "2001:db8:100::/48"}
    routes = [{"cidr": names[name], "advertised": state} for name, state in states.items()]
    return FeedFields.model_validate({"observed_at": at, "routes": routes})


def test_news_counts_until_it_is_too_old() -> None:
    observed = Observed().with_feed(feed(whole=False), "t", NOW)
    assert observed.routes(NOW + AGE, AGE).states == {ip_network("203.0.113.0/24"): False}
    assert observed.routes(NOW + AGE + timedelta(seconds=1), AGE).states == {}


def test_routes_that_a_feed_does_not_name_stay() -> None:
    observed = Observed().with_feed(feed(whole=False, six=True), "t", NOW).with_feed(feed(six=False), "u", NOW)
    states = {network: (one.advertised, one.source) for network, one in observed.by_network.items()}
    assert states == {ip_network("203.0.113.0/24"): (False, "t"), ip_network("2001:db8:100::/48"): (False, "u")}
    assert observed.with_feed(feed(), "t", NOW) == observed  # no news is not "all withdrawn"


def test_older_news_does_not_replace_newer() -> None:
    newer = Observed().with_feed(feed(NOW, whole=True), "t", NOW)
    assert newer.with_feed(feed(NOW - timedelta(seconds=1), whole=False), "u", NOW) == newer


def test_clock_of_a_sender_may_be_ahead_by_a_little() -> None:
    (one,) = Observed().with_feed(feed(NOW + timedelta(seconds=30), whole=True), "t", NOW).by_network.values()
    assert one.at == NOW
    with pytest.raises(FeedError, match="in the future"):
        Observed().with_feed(feed(NOW + timedelta(minutes=2), whole=True), "t", NOW)


def test_news_older_than_is_kept_is_refused() -> None:
    Observed().with_feed(feed(NOW - KEPT, whole=True), "t", NOW)
    for old in (NOW - KEPT - timedelta(seconds=1), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))):
        with pytest.raises(FeedError, match="more than 24 hours ago") as error:
            Observed().with_feed(feed(old, whole=True), "t", NOW)
        assert error.value.path == ("observed_at",)


def test_contradiction_within_a_feed_is_refused() -> None:
    network = ip_network("203.0.113.0/24")
    both = FeedFields(routes=tuple(RouteFields(cidr=network, advertised=state) for state in (True, False)))
    with pytest.raises(FeedError, match="listed twice") as error:
        Observed().with_feed(both, "t", NOW)
    assert error.value.path == ("routes", 1)


def test_number_of_known_routes_is_bounded() -> None:
    def many(start: int) -> FeedFields:
        cidrs = (ip_network((start + 256 * number, 24)) for number in range(10_000))
        return FeedFields(routes=tuple(RouteFields(cidr=cidr, advertised=False) for cidr in cidrs))

    observed = Observed().with_feed(many(0), "t", NOW).with_feed(many(2**24), "t", NOW)
    full = observed.with_feed(many(2**25), "t", NOW) if len(observed.by_network) < MAX_OBSERVED else observed
    with pytest.raises(FeedError, match="the limit is 20,000"):
        full.with_feed(many(2**26), "t", NOW)
    later = full.with_feed(many(2**26), "t", NOW + timedelta(days=2))  # outdated ones make room
    assert len(later.by_network) == 10_000


def test_changes_of_withdrawn_networks() -> None:
    a, b = ip_network("203.0.113.0/24"), ip_network("198.51.100.0/24")
    assert changed_networks(Routes({a: True}), Routes({a: False, b: True})) == [(a, True)]
    assert changed_networks(Routes({a: False}), Routes({})) == [(a, False)]
    assert changed_networks(Routes({a: False}), Routes({a: False})) == []


BAD: dict[str, Any] = {
    "no state": {"routes": [{"cidr": "203.0.113.0/24"}]},
    "an empty state": {"routes": [{"cidr": "203.0.113.0/24", "advertised": None}]},
    "a state as text": {"routes": [{"cidr": "203.0.113.0/24", "advertised": "false"}]},
    "a number": {"routes": [{"cidr": "203.0.113.0/24", "advertised": 0}]},
    "an unknown key": {"routes": [], "withdrawn": "all"},
    "no routes": {},
    "host bits": {"routes": [{"cidr": "203.0.113.1/24", "advertised": True}]},
    "too many": {"routes": [{"cidr": "203.0.113.0/24", "advertised": True}] * 10_001},
    "a time without zone": {"observed_at": "2026-03-01T12:00:00", "routes": []},
}


@pytest.mark.parametrize("case", BAD)
def test_vague_feed_is_refused(case: str) -> None:
    with pytest.raises(ValueError):
        FeedFields.model_validate(BAD[case])


V4, V6 = "203.0.113.0/24", "2001:db8:100::/48"
OPTIONS = Options((parse_ip("198.51.100.10"),))
IPS = ("203.0.113.1", "203.0.113.201", "2001:db8:100::1")
ANSWERS: dict[str, tuple[str, dict[str, bool], tuple[str, ...]]] = {
    "nothing observed": ("skip", {}, IPS),
    "all advertised": ("skip", {V4: True, V6: True}, IPS),
    "half of the IPv4 addresses withdrawn": ("skip", {"203.0.113.0/25": False}, ("203.0.113.201", "2001:db8:100::1")),
    "all IPv4 addresses withdrawn": ("skip", {V4: False}, IPS),
    "the only IPv6 address withdrawn": ("skip", {V6: False}, IPS),
    "half of IPv4 and all of IPv6 withdrawn": (
        "skip",
        {"203.0.113.128/25": False, V6: False},
        ("203.0.113.1", "2001:db8:100::1"),
    ),
    "withdrawn, but a larger route is there": ("skip", {"203.0.113.0/25": False, V4: True}, IPS),
    "an account that answers them": ("answer", {"203.0.113.0/25": False}, IPS),
}


def built(action: str, states: dict[str, bool], previous: Snapshot | None = None) -> Snapshot:
    account = {**SPACE, "withdrawn": action}
    maps = {
        "a1/shop": {"enabled": True, "ips": list(IPS), "memberships": [{"kind": "zone", "identifier": "a.example"}]},
        "a1/all": {"enabled": True, "ips": list(IPS), "memberships": [{"kind": "account", "identifier": "a1"}]},
    }
    zones = [zone("a.example", [proxied("www A 192.0.2.1")]), zone("b.example", [proxied("www A 192.0.2.1")])]
    data, problems = resolved({"a1": account}, zones, maps)
    assert all(problem.warning for problem in problems)
    routes = Routes({ip_network(network): state for network, state in states.items()})
    return build_snapshot(data, OPTIONS, previous, observed=routes)


@pytest.mark.parametrize("case", ANSWERS)
def test_skip_leaves_out_withdrawn_addresses_and_never_empties_a_family(case: str) -> None:
    action, states, expected = ANSWERS[case]
    snapshot = built(action, states)
    for zone_built in snapshot.zones.values():
        addresses = snapshot.addresses(zone_built.zone.id, zone_built.zone.account_id)
        assert tuple(map(str, addresses.ips)) == expected, zone_built.zone.name_text


@pytest.mark.parametrize("case", ANSWERS)
def test_incremental_snapshot_follows_observations_in_both_directions(case: str) -> None:
    action, states, expected = ANSWERS[case]
    there = built(action, states, built(action, {}))
    back = built(action, {}, there)
    for snapshot, ips in ((there, expected), (back, IPS)):
        for addresses in (*snapshot.by_zone.values(), *snapshot.by_account.values()):
            assert tuple(map(str, addresses.ips)) == ips


def test_answers_with_withdrawn_addresses_are_marked_by_family() -> None:
    sources = next(iter(built("answer", {"203.0.113.0/25": False}).by_zone.values())).sources
    assert [source.is_unadvertised for source in sources] == [True, False]
    sources = next(iter(built("skip", {"203.0.113.0/25": False}).by_zone.values())).sources
    assert [source.is_unadvertised for source in sources] == [False, False]  # those left are reachable
    sources = next(iter(built("skip", {V4: False}).by_zone.values())).sources
    assert [source.is_unadvertised for source in sources] == [True, False]


def test_skipping_does_not_fall_back_to_another_map() -> None:
    """With `fallback`, a family is taken from the first map that has it, withdrawn or not."""
    from dataclasses import replace

    options = replace(OPTIONS, missing_family=MissingFamily.FALLBACK)
    maps = {
        "a1/shop": {
            "enabled": True,
            "ips": ["203.0.113.1"],
            "memberships": [{"kind": "zone", "identifier": "a.example"}],
        },
        "a1/all": {
            "enabled": True,
            "ips": ["203.0.113.201"],
            "memberships": [{"kind": "account", "identifier": "a1"}],
        },
    }
    data, _ = resolved({"a1": {**SPACE, "withdrawn": "skip"}}, [zone("a.example", [proxied("www A 192.0.2.1")])], maps)
    snapshot = build_snapshot(data, options, observed=Routes({ip_network("203.0.113.0/25"): False}))
    (addresses,) = snapshot.by_zone.values()
    assert [*map(str, addresses.ips)] == ["203.0.113.1"]
