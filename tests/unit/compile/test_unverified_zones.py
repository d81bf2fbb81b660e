"""Unverified zones: they answer for their own names, but not for other accounts' aliases into them."""

from __future__ import annotations

import dataclasses

import dns.message
import pytest
from dns.edns import EDECode, EDEOption

from dnsd.compile.build import Options, build_snapshot, flattening_problems
from dnsd.compile.explain import explain
from dnsd.engine.respond import respond
from dnsd.engine.snapshot import Snapshot
from dnsd.model.dataset import Dataset
from dnsd.model.fields import parse_ip
from dnsd.model.maps import MissingFamily
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import parse_type_text
from tests.models import SPACE, Fields, account_map, dataset, proxied, record, zone
from tests.packets import query, rcode_text, shown

OPTIONS = Options((parse_ip("198.51.100.10"),))
ACCOUNTS: dict[str, Fields] = {"bakery": SPACE, "cafe": {}, "deli": {}}
DIGEST = "ab" * 32
ZONES = [
    zone(
        "bread.example",
        [
            record("ext CNAME host.cakes.test", ttl=900),
            record("two CNAME ext.bread.example", ttl=900),
            record("* CNAME any.cakes.test", ttl=900),
            record("d DNAME cakes.test", ttl=900),
            record("flat CNAME host.cakes.test", settings={"flatten_cname": True}),
            record("flat2 CNAME ext.bread.example", settings={"flatten_cname": True}),
            record("via CNAME through.rolls.example", ttl=900),
            record("good CNAME host.tarts.test", ttl=900),
            record("far CNAME x.elsewhere.example", ttl=900),
            record("mail MX host.cakes.test", priority=10),
            record("sub NS host.cakes.test", ttl=900),
            record("dsof CNAME kid.cakes.test", ttl=900),
        ],
        account="bakery",
    ),
    zone("rolls.example", [record("through CNAME host.cakes.test", ttl=900)], account="bakery"),
    zone(
        "cakes.test",
        [
            record("host A 198.18.2.66", ttl=60),
            proxied("any A 192.0.2.1"),
            record("alias CNAME host.cakes.test", ttl=60),
            record("back CNAME good.bread.example", ttl=60),
            record("cross CNAME host.pies.test", ttl=60),
            record("x.d A 198.18.2.67", ttl=60),
            record(f"kid DS 1 13 2 {DIGEST}", ttl=60),
            record("kid NS ns1.kid.cakes.test", ttl=60),
        ],
        account="cafe",
        verified=False,
    ),
    zone("kid.cakes.test", [], account="deli"),
    zone("pies.test", [record("host A 198.18.3.1", ttl=60)], account="cafe", verified=False),
    zone(
        "tarts.test",
        [record("host CNAME host.pies.test", ttl=60), record("own CNAME host.cakes.test", ttl=60)],
        account="cafe",
    ),
]
MAPS = {"cafe/all": account_map(account="cafe"), "bakery/all": account_map("203.0.113.9", account="bakery")}
DATA = dataset(ZONES, MAPS, ACCOUNTS)
SNAPSHOT = build_snapshot(DATA, OPTIONS)
HOST = "host.cakes.test. 60 IN A 198.18.2.66"

# question -> its answer section, and the rcode
NOT_FOLLOWED: dict[str, tuple[list[str], str]] = {
    "ext.bread.example A": (["ext.bread.example. 900 IN CNAME host.cakes.test."], "NOERROR"),
    "two.bread.example A": (
        ["two.bread.example. 900 IN CNAME ext.bread.example.", "ext.bread.example. 900 IN CNAME host.cakes.test."],
        "NOERROR",
    ),
    "w.bread.example AAAA": (["w.bread.example. 900 IN CNAME any.cakes.test."], "NOERROR"),
    "host.d.bread.example A": (
        ["d.bread.example. 900 IN DNAME cakes.test.", "host.d.bread.example. 900 IN CNAME host.cakes.test."],
        "NOERROR",
    ),
    "nothing.d.bread.example TXT": (
        ["d.bread.example. 900 IN DNAME cakes.test.", "nothing.d.bread.example. 900 IN CNAME nothing.cakes.test."],
        "NOERROR",
    ),
    "flat.bread.example A": ([], "SERVFAIL"),
    "flat2.bread.example A": ([], "SERVFAIL"),
    "via.bread.example A": (
        [
            "via.bread.example. 900 IN CNAME through.rolls.example.",
            "through.rolls.example. 900 IN CNAME host.cakes.test.",
        ],
        "NOERROR",
    ),
}
FOLLOWED: dict[str, list[str]] = {
    "host.cakes.test A": [HOST],
    "any.cakes.test A": ["any.cakes.test. 300 IN A 198.51.100.10"],
    "alias.cakes.test A": ["alias.cakes.test. 60 IN CNAME host.cakes.test.", HOST],
    "cross.cakes.test A": ["cross.cakes.test. 60 IN CNAME host.pies.test.", "host.pies.test. 60 IN A 198.18.3.1"],
    "own.tarts.test A": ["own.tarts.test. 60 IN CNAME host.cakes.test.", HOST],
    "back.cakes.test A": [
        "back.cakes.test. 60 IN CNAME good.bread.example.",
        "good.bread.example. 900 IN CNAME host.tarts.test.",
        "host.tarts.test. 60 IN CNAME host.pies.test.",
        "host.pies.test. 60 IN A 198.18.3.1",
    ],
    "good.bread.example A": [
        "good.bread.example. 900 IN CNAME host.tarts.test.",
        "host.tarts.test. 60 IN CNAME host.pies.test.",
        "host.pies.test. 60 IN A 198.18.3.1",
    ],
}


def reply(snapshot: Snapshot, question: str) -> bytes:
    name, qtype = question.split()
    found = respond(snapshot, query(name, qtype))
    assert found is not None
    return found


def answer(snapshot: Snapshot, question: str) -> tuple[list[str], str]:
    found = reply(snapshot, question)
    return shown(found)["answer"], rcode_text(found)


def verified_now(data: Dataset, name: str, *, verified: bool) -> Dataset:
    zones = {
        key: dataclasses.replace(one, verified=verified) if one.name_text == name else one
        for key, one in data.zones.items()
    }
    return dataclasses.replace(data, zones=zones)


@pytest.mark.parametrize("question", NOT_FOLLOWED)
def test_another_account_s_alias_ends_like_an_alias_out_of_our_zones(question: str) -> None:
    assert answer(SNAPSHOT, question) == NOT_FOLLOWED[question]
    message = dns.message.from_wire(reply(SNAPSHOT, question))
    assert message.authority == []
    assert message.additional == []


@pytest.mark.parametrize("question", FOLLOWED)
def test_own_names_and_those_of_the_same_account_are_answered_in_full(question: str) -> None:
    assert answer(SNAPSHOT, question) == (FOLLOWED[question], "NOERROR")


def test_flattened_cname_to_an_outside_target_is_reported() -> None:
    for name in ("flat.bread.example", "flat2.bread.example"):
        found = respond(SNAPSHOT, dns.message.make_query(name, "A", use_edns=True).to_wire())
        options = dns.message.from_wire(found or b"").options
        assert [option.code for option in options if isinstance(option, EDEOption)] == [EDECode.NETWORK_ERROR]
    targets = [problem.message.rpartition("; ")[2] for problem in flattening_problems(SNAPSHOT)]
    why = "leads outside: the zone of host.cakes.test belongs to another account and is not verified"
    assert targets == [f"host.cakes.test {why}", f"ext.bread.example {why}"]


@pytest.mark.parametrize("order", [("own", "other"), ("other", "own")])
def test_memory_of_chains_is_not_shared_between_accounts(order: tuple[str, str]) -> None:
    """The same target, reached from its own account and from another account, in either order, asked twice."""
    snapshot = build_snapshot(DATA, OPTIONS)
    questions = {"own": "own.tarts.test A", "other": "ext.bread.example A"}
    expected = {"own": (FOLLOWED["own.tarts.test A"], "NOERROR"), "other": NOT_FOLLOWED["ext.bread.example A"]}
    for who in (*order, *order):
        assert answer(snapshot, questions[who]) == expected[who]


def test_no_address_of_it_is_in_an_additional_section() -> None:
    for question in ("mail.bread.example MX", "w.sub.bread.example A"):
        assert shown(reply(SNAPSHOT, question))["additional"] == []


def test_ds_is_not_answered_from_another_account_s_parent_zone() -> None:
    found = shown(reply(SNAPSHOT, "kid.cakes.test DS"))
    assert found["answer"] == []
    assert found["authority"][0].startswith("kid.cakes.test. ")
    led = shown(reply(SNAPSHOT, "dsof.bread.example DS"))
    assert led["answer"] == ["dsof.bread.example. 900 IN CNAME kid.cakes.test."]
    assert led["authority"] == found["authority"]
    for verified in (True, False):
        snapshot = build_snapshot(verified_now(DATA, "cakes.test", verified=verified), OPTIONS, SNAPSHOT)
        assert bool(shown(reply(snapshot, "kid.cakes.test DS"))["answer"]) is verified
        assert shown(reply(snapshot, "host.kid.cakes.test A"))["answer"] == []  # the parent zone never answers there
        assert shown(reply(snapshot, "host.kid.cakes.test A"))["authority"][0].startswith("kid.cakes.test. ")


def test_verification_and_its_withdrawal_take_effect_at_once() -> None:
    opened = build_snapshot(verified_now(DATA, "cakes.test", verified=True), OPTIONS, SNAPSHOT)
    assert answer(opened, "ext.bread.example A")[0][1:] == [HOST]
    assert answer(opened, "flat.bread.example A") == (["flat.bread.example. 60 IN A 198.18.2.66"], "NOERROR")
    closed = build_snapshot(DATA, OPTIONS, opened)
    for question, expected in NOT_FOLLOWED.items():
        assert answer(closed, question) == expected


def test_explain_names_unfollowed_targets_and_the_reason() -> None:
    def explained(question: str) -> list[tuple[str, str, str]]:
        name, qtype = question.split()
        found = explain(SNAPSHOT, DATA, parse_name_text(name), parse_type_text(qtype), MissingFamily.NODATA)
        return [(step.name, str(step.zone), step.served) for step in found.names]

    for question in ("ext.bread.example A", "flat.bread.example A", "host.d.bread.example A"):
        first, second = explained(question)
        assert "not followed: the zone cakes.test belongs to another account and is not verified" in first[2]
        assert second == ("host.cakes.test", "cakes.test (active, not verified)", "refused")
    assert explained("own.tarts.test A")[-1][2] == "as stored"
