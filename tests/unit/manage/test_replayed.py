"""Recent questions in a plan: their figures by zone and map, the verdict, and what a tenant sees of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from dnsd.api.plans import plan_shape
from dnsd.app import load
from dnsd.engine.replay import AnswerChange
from dnsd.engine.verdict import NAME_TYPES
from dnsd.manage import replayed as module
from dnsd.manage.asked import Asked
from dnsd.manage.plan import Plan, plan_of
from dnsd.manage.recent import RecentQuestions
from dnsd.manage.replayed import MAX_ALIKE, MAX_ROWS, ReplayPlan
from dnsd.model.record_parts import finished
from dnsd.questions import Question, QuestionSample
from dnsd.wire.names import parse_name_text
from dnsd.wire.rdata import AAAA, A
from tests.unit.manage.test_plan import ALIASES, FILES, HERE, OFF, V4_ONLY, ZONE, Texts, account_id, planned, write

ALL = FILES | ALIASES
DISABLED, LESS = ALL | {"ada/maps/shop.yaml": OFF}, ALL | {"ada/maps/shop.yaml": V4_ONLY}


def recent(*asked: tuple[str, int, int], silent: Iterable[str] = ()) -> Asked:
    """A sample of questions: the name, type and number of each."""
    sample = QuestionSample()
    sample.begin(1)
    for name, qtype, count in asked:
        qname, apex = (parse_name_text(text) for text in (name, ".".join(name.split(".")[-2:])))
        sample.add([Question(qname, qtype, apex, qname, 1.0)] * count, 1)
    return Asked(RecentQuestions(sample), silent=tuple(silent))


def replay(folder: Path, new: Texts, asked: Asked, account: str = "ada", old: Texts = ALL) -> ReplayPlan:
    found = planned(folder, old, new, account, asked).replay
    assert found
    return found


def changes(found: ReplayPlan) -> dict[AnswerChange, int]:
    return {change: count for change, count in found.changes.items() if count}


def test_figures_by_zone_and_map(tmp_path: Path) -> None:
    asked = recent(("www.shop.test", A, 30), ("mail.shop.test", A, 10), ("app.own.test", A, 5), ("mail.own.test", A, 7))
    found = replay(tmp_path, DISABLED, asked)
    assert (found.questions, changes(found)) == (52, {AnswerChange.ONTO_POOL: 35})
    assert [(row.name, row.questions, row.changed) for row in found.zones] == [
        ("shop.test", 40, 30),
        ("own.test", 12, 5),
    ]
    ((_, _, questions, changed, unmeant),) = [
        (row.id, row.name, row.questions, row.changed, row.unmeant) for row in found.maps
    ]
    assert (questions, changed, unmeant) == (35, 35, 0)
    assert found.reasons == ()
    first = found.examples[0]
    assert (first.name, first.rtype, first.questions, first.old, first.new) == (
        "www.shop.test",
        "A",
        30,
        "A 203.0.113.1",
        "A 198.51.100.10",
    )
    assert next(found.lines) == (
        "of 52 recent questions for the account's zones, 35 would be answered otherwise: "
        "35 the default pool instead of a map"
    )


def test_data_lost_through_a_map_is_a_warning_with_its_figures(tmp_path: Path) -> None:
    asked = recent(("www.shop.test", A, 60), ("www.shop.test", AAAA, 40))
    plan = planned(tmp_path, ALL, LESS, asked=asked)
    assert plan.replay
    of_map, of_zone = (reason for reason in plan.replay.reasons if "recent questions" in reason)
    assert "40 of 100 recent questions for shop.test (40 %) would be answered otherwise" in of_zone
    assert "recent questions answered by the map" in of_map
    assert of_map.endswith(": 40 no data any more")
    assert all(reason in plan_shape(plan)["warnings"] for reason in plan.replay.reasons)


CASES = {
    "a record deleted": (ZONE.replace("- {name: mail, type: A, content: 192.0.2.3}\n", ""), "mail.shop.test", False),
    "an alias to it": (
        ZONE.replace("- {name: mail, type: A, content: 192.0.2.3}\n", ""),
        "mail.own.test",
        True,
    ),
    "a zone paused": (f"paused: true\n{ZONE}", "www.shop.test", False),
    "an alias into it": (f"paused: true\n{ZONE}", "app.own.test", False),  # the plan lists it
    "other data": (ZONE.replace("192.0.2.3", "192.0.2.33"), "mail.shop.test", False),
    "a record switched": (ZONE.replace("192.0.2.1, proxied: true", "192.0.2.1"), "www.shop.test", False),
}


@pytest.mark.parametrize(("text", "name", "is_halt"), CASES.values(), ids=CASES.keys())
def test_what_a_change_names_is_meant(tmp_path: Path, text: str, name: str, is_halt: bool) -> None:
    found = replay(tmp_path, ALL | {"ada/zones/shop.test.yaml": text}, recent((name, A, 20)))
    assert sum(found.changes.values()) == 20
    own = [reason for reason in found.reasons if "recent questions" in reason]
    assert bool(own) == is_halt


def test_names_of_the_plan_are_asked_without_questions(tmp_path: Path) -> None:
    found = replay(tmp_path, LESS, recent())
    assert (found.questions, sum(found.changes.values())) == (0, 0)
    assert found.names > 0
    assert found.name_changes[AnswerChange.NO_DATA] > 0
    assert any("questions for names of this plan" in reason for reason in found.reasons)
    assert next(found.lines).startswith("too few recent questions: of ")


def test_edited_records_are_asked_for_without_questions(tmp_path: Path) -> None:
    """A plan lists addresses at the edge alone, but an alias to a name that is missing loses its data, too."""
    files = ALL | {"ada/zones/own.test.yaml": "records:\n- {name: mail, type: CNAME, content: mail.shop.test}\n"}
    edited = {"ada/zones/own.test.yaml": "records:\n- {name: mail, type: CNAME, content: mial.shop.test}\n"}
    found = replay(tmp_path, files | edited, recent(), old=files)
    assert found.name_changes[AnswerChange.NXDOMAIN] == 1
    assert found.reasons


def test_an_account_sees_questions_for_its_zones_alone(tmp_path: Path) -> None:
    asked = recent(("www.shop.test", A, 30), ("www.bob.test", A, 25), ("www.shop.test", AAAA, 30))
    for account, count, zone in (("ada", 60, "shop.test"), ("bob", 25, "bob.test")):
        plan = planned(tmp_path, ALL, DISABLED, account, asked)
        assert plan.replay
        assert plan.replay.questions == count
        assert [row.name for row in plan.replay.zones] == [zone]
        assert {one.name for one in plan.replay.examples if one.questions > 1} == {f"www.{zone}"}
        text = json.dumps(plan_shape(plan)["replay"])
        assert ("bob.test" in text) == (account == "bob")
        assert bool(plan.replay.maps) == (account == "ada"), "the map of another account is not shown"


def test_bob_learns_nothing_of_names_that_ada_loses(tmp_path: Path) -> None:
    files = {**ALL, "bob/zones/bob.test.yaml": "records: [{name: www, type: A, content: 192.0.2.8}]\n"}
    asked = recent(("www.shop.test", AAAA, 30), ("www.bob.test", A, 2))
    found = replay(tmp_path, files | {"ada/maps/shop.yaml": V4_ONLY}, asked, "bob", old=files)
    assert (found.questions, found.names, found.zones, found.maps, found.examples, found.reasons) == (
        *(2, 0),
        *[()] * 4,
    )


def test_a_token_for_one_zone_sees_that_zone_alone(tmp_path: Path) -> None:
    write(tmp_path, ALL)
    before = load(tmp_path / "dnsd.yaml", {})
    write(tmp_path, DISABLED)
    after = load(tmp_path / "dnsd.yaml", {}, previous=before)
    asked = recent(("www.shop.test", A, 30), ("app.own.test", A, 30))
    steps = plan_of(before, after, account_id(before, "ada"), asked, may_name=lambda zone: zone.name_text == "own.test")
    found: Plan = finished(steps)
    assert found.replay
    assert found.replay.questions == 30
    assert "shop.test" not in {row.name for row in found.replay.zones}
    assert {one.name.partition(".")[2] for one in found.replay.examples} <= {"own.test", "below.own.test"}


def test_without_a_sample_or_a_change_there_is_no_replay(tmp_path: Path) -> None:
    assert planned(tmp_path, ALL, DISABLED).replay is None
    assert planned(tmp_path, ALL, DISABLED, asked=Asked()).replay is None
    assert planned(tmp_path, ALL, ALL, asked=recent(("www.shop.test", A, 30))).replay is None


def test_silent_workers_are_named(tmp_path: Path) -> None:
    asked = recent(("mail.shop.test", A, 1), silent=["worker-1"])
    found = replay(tmp_path, DISABLED, asked)
    assert list(found.lines)[-1] == "the last recent questions of worker-1 are missing"
    assert plan_shape(planned(tmp_path, ALL, DISABLED, asked=asked))["replay"]["workers_left_out"] == ["worker-1"]


def test_rows_and_examples_are_bounded(tmp_path: Path) -> None:
    zones = {f"ada/zones/z{number}.test.yaml": ZONE for number in range(30)}
    shop = {
        "ada/maps/shop.yaml": "enabled: true\nips: [203.0.113.1]\nmemberships: [{kind: account, identifier: ada}]\n"
    }
    files = {"ada/account.yaml": HERE, **zones, **shop}
    off = {"ada/maps/shop.yaml": shop["ada/maps/shop.yaml"].replace("true", "false")}
    asked = recent(*((f"www.z{number}.test", A, 20) for number in range(30)))
    found = replay(tmp_path, files | off, asked, old=files)
    assert (len(found.zones), found.zones_total) == (MAX_ROWS, 30)
    assert len(found.examples) == MAX_ALIKE


@pytest.mark.parametrize("end", ["map", "zone"])
@pytest.mark.parametrize("most", [1_000, 10_000])
def test_names_of_a_large_zone_are_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, most: int
) -> None:
    """Those that move with their map, and those that are compared one by one; some of too many."""
    monkeypatch.setattr(module, "MAX_NAMES", most)
    many = "".join(f"- {{name: n{number}, type: A, content: 192.0.2.1, proxied: true}}\n" for number in range(3_000))
    files = FILES | {"ada/zones/shop.test.yaml": f"records:\n{many}"}
    paused = {"ada/zones/shop.test.yaml": f"paused: true\nrecords:\n{many}"}
    found = replay(tmp_path, files | ({"ada/maps/shop.yaml": OFF} if end == "map" else paused), recent(), old=files)
    asked = found.names // len(NAME_TYPES)
    if most > 3_000:
        assert asked in (3_000, 3_001)  # the SOA may have another serial
    else:
        assert 700 < asked <= most
    assert sum(found.name_changes.values()) >= 2 * (asked - 1)
    assert found.reasons == ()
