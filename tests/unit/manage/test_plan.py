"""Plans: the answers that a change would give, by zone and account."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import pytest

from dnsd.app import Loaded, load
from dnsd.compile import effects
from dnsd.manage.asked import Asked
from dnsd.manage.plan import AnswerSource, Effect, Plan, answering, plan_of
from dnsd.model.record_parts import finished
from dnsd.questions import Question
from dnsd.wire.names import parse_name_text

SETTINGS = "default_addresses: [198.51.100.10, 2001:db8:f::10]\nnameservers: [ns1.example.net]\n"
HERE = "prefixes: [{cidr: 203.0.113.0/24, approved: V}, {cidr: 2001:db8:100::/48, approved: V}]\n"
SHOP = 'enabled: true\nips: [203.0.113.1, "2001:db8:100::1"]\nmemberships: [{kind: zone, identifier: shop.test}]\n'
OFF = SHOP.replace("true", "false")
V4_ONLY = SHOP.replace(', "2001:db8:100::1"', "")
ZONE = """\
records:
- {name: www, type: A, content: 192.0.2.1, proxied: true}
- {name: old, type: A, content: 192.0.2.2, proxied: true, settings: {ipv4_only: true}}
- {name: mail, type: A, content: 192.0.2.3}
"""
FILES = {"ada/account.yaml": HERE, "ada/maps/shop.yaml": SHOP, "ada/zones/shop.test.yaml": ZONE}
ALIASES = {
    "ada/zones/own.test.yaml": """\
records:
- {name: app, type: CNAME, content: www.shop.test, ttl: 60}
- {name: flat, type: CNAME, content: app.own.test, settings: {flatten_cname: true}}
- {name: below, type: DNAME, content: shop.test}
- {name: deep, type: CNAME, content: old.below.own.test}
- {name: mail, type: CNAME, content: mail.shop.test}
""",
    "bob/account.yaml": "name: Bob\n",
    "bob/zones/bob.test.yaml": "records:\n- {name: www, type: CNAME, content: app.own.test, ttl: 86400}\n",
}

Texts = dict[str, str]


def write(folder: Path, files: Texts) -> None:
    for path in sorted(folder.rglob("*.yaml")):
        path.unlink()
    for name, text in {"dnsd.yaml": SETTINGS, **{f"accounts/{name}": text for name, text in files.items()}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def planned(folder: Path, old: Texts, new: Texts, account: str = "ada", asked: Asked | None = None) -> Plan:
    write(folder, old)
    before = load(folder / "dnsd.yaml", {})
    write(folder, new)
    after = load(folder / "dnsd.yaml", {}, previous=before)
    return finished(plan_of(before, after, account_id(before, account), asked))


def account_id(loaded: Loaded, key: str) -> str:
    return next(one.id for one in loaded.dataset.accounts.values() if one.key == key)


def shown(plan: Plan) -> dict[str, str]:
    """Each name, with its new addresses or the kind of its end."""
    found = {}
    for zone in plan.zones:
        for one in zone.answers:
            end = " ".join((*one.new.v4, *one.new.v6)) or one.new.source
            found |= {name.name: f"{name.via}: {end}" if name.via else end for name in one.names}
    return found


POOL = "198.51.100.10 2001:db8:f::10"
CHANGES: dict[str, tuple[Texts, Texts, dict[str, str]]] = {
    "a map is disabled": (
        FILES,
        FILES | {"ada/maps/shop.yaml": OFF},
        {"www.shop.test": POOL, "old.shop.test": "198.51.100.10"},
    ),
    "a map loses IPv6": (FILES, FILES | {"ada/maps/shop.yaml": V4_ONLY}, {"www.shop.test": "203.0.113.1"}),
    "a map's addresses in another order": (FILES, FILES | {"ada/maps/shop.yaml": f"description: x\n{SHOP}"}, {}),
    "a zone without IPv6": (
        FILES | {"ada/zones/shop.test.yaml": f"settings: {{ipv6: false}}\n{ZONE}"},
        FILES | {"ada/zones/shop.test.yaml": f"settings: {{ipv6: false}}\n{ZONE}", "ada/maps/shop.yaml": OFF},
        {"www.shop.test": "198.51.100.10", "old.shop.test": "198.51.100.10"},
    ),
    "aliases of every kind": (
        FILES | ALIASES,
        FILES | ALIASES | {"ada/maps/shop.yaml": OFF},
        {
            "www.shop.test": POOL,
            "old.shop.test": "198.51.100.10",
            "app.own.test": f"CNAME: {POOL}",
            "flat.own.test": f"flattened CNAME: {POOL}",
            "*.below.own.test": f"DNAME: {POOL}",
            "deep.own.test": "CNAME: 198.51.100.10",
        },
    ),
    "a paused zone": (
        FILES,
        FILES | {"ada/zones/shop.test.yaml": f"paused: true\n{ZONE}"},
        {"www.shop.test": "192.0.2.1", "old.shop.test": "192.0.2.2"},
    ),
    "a record that leads elsewhere": (
        FILES,
        FILES
        | {
            "ada/zones/shop.test.yaml": ZONE.replace(
                "type: A, content: 192.0.2.1, proxied: true", "type: CNAME, content: x.example"
            )
        },
        {"www.shop.test": "CNAME: stored"},
    ),
    "a removed zone": (
        FILES,
        {"ada/account.yaml": HERE},
        {"www.shop.test": "none", "old.shop.test": "none"},
    ),
    "a new zone": (
        {"ada/account.yaml": HERE},
        FILES,
        {"www.shop.test": "203.0.113.1 2001:db8:100::1", "old.shop.test": "203.0.113.1"},
    ),
    "another record": (FILES, FILES | {"ada/zones/shop.test.yaml": ZONE.replace("192.0.2.3", "192.0.2.4")}, {}),
}


@pytest.mark.parametrize(("old", "new", "expected"), CHANGES.values(), ids=CHANGES.keys())
def test_changed_answers(tmp_path: Path, old: Texts, new: Texts, expected: dict[str, str]) -> None:
    plan = planned(tmp_path, old, new)
    assert shown(plan) == expected
    assert plan.names_total == len(expected)


def test_names_of_other_accounts_are_a_number(tmp_path: Path) -> None:
    old, new = FILES | ALIASES, FILES | ALIASES | {"ada/maps/shop.yaml": OFF}
    assert planned(tmp_path, old, new).others_total == 1
    plan = planned(tmp_path, old, new, "bob")
    assert (shown(plan), plan.others_total) == ({"www.bob.test": f"CNAME: {POOL}"}, 6)
    assert plan.zones[0].old.source is AnswerSource.OTHER_ACCOUNT
    assert plan.zones[0].old.map_id is None
    assert "ada" not in repr(plan)
    assert "shop.test" not in repr(plan)


def test_zones_that_may_not_be_named_are_a_number(tmp_path: Path) -> None:
    old, new = FILES | ALIASES, FILES | ALIASES | {"ada/maps/shop.yaml": OFF}
    write(tmp_path, old)
    before = load(tmp_path / "dnsd.yaml", {})
    write(tmp_path, new)
    after = load(tmp_path / "dnsd.yaml", {}, previous=before)
    plan = finished(
        plan_of(before, after, account_id(before, "ada"), may_name=lambda zone: zone.name_text == "shop.test")
    )
    assert {*shown(plan)} == {"www.shop.test", "old.shop.test"}
    assert plan.others_total == 5


def test_warnings_about_other_accounts_are_left_out(tmp_path: Path) -> None:
    flat = "records:\n- {name: www, type: CNAME, content: mail.shop.test, settings: {flatten_cname: true}}\n"
    old = FILES | {"bob/account.yaml": "name: Bob\n", "bob/zones/bob.test.yaml": flat}
    new = {**old, "ada/zones/shop.test.yaml": ZONE.replace("mail", "post").replace("192.0.2.3", "192.0.2.3")}
    new.pop("ada/zones/shop.test.yaml")
    new.pop("ada/maps/shop.yaml")
    assert [problem.source for problem in planned(tmp_path, old, new, "bob").warnings] == ["bob/zones/bob.test"]
    assert planned(tmp_path, old, new, "ada").warnings == ()


EFFECTS = {
    "onto another map": (SHOP.replace("203.0.113.1", "203.0.113.2"), ZONE, Effect.READDRESSED),
    "onto the pool": (OFF, ZONE, Effect.ONTO_POOL),
    "into the open": (
        SHOP,
        ZONE.replace("proxied: true", "proxied: false").replace(", settings: {ipv4_only: true}", ""),
        Effect.INTO_OPEN,
    ),
    "no longer answered": (SHOP, "records:\n- {name: mail, type: A, content: 192.0.2.3}\n", Effect.UNANSWERED),
}


@pytest.mark.parametrize(("address_map", "zone", "effect"), EFFECTS.values(), ids=EFFECTS.keys())
def test_effects_are_counted(tmp_path: Path, address_map: str, zone: str, effect: Effect) -> None:
    files = {"ada/maps/shop.yaml": address_map, "ada/zones/shop.test.yaml": zone}
    found = planned(tmp_path, FILES, FILES | files).effects
    assert {one: count for one, count in found.items() if count} == {effect: 2}
    back = planned(tmp_path, FILES | files, FILES).effects
    assert back[Effect.READDRESSED if effect in (Effect.READDRESSED, Effect.ONTO_POOL) else Effect.ONTO_EDGE] == 2


def test_old_answers_are_forgotten_by_the_ttl_of_what_changed(tmp_path: Path) -> None:
    """A CNAME that stays is in caches anyway; only the addresses that it leads to change."""
    old, new = FILES | ALIASES, FILES | ALIASES | {"ada/maps/shop.yaml": OFF}
    assert planned(tmp_path, old, new).forgotten_s == 300
    assert planned(tmp_path, old, {**old, "bob/zones/bob.test.yaml": "records: []\n"}, "bob").forgotten_s == 86_400
    assert planned(tmp_path, new, new).forgotten_s == 0
    assert planned(tmp_path, {"ada/account.yaml": HERE}, FILES).forgotten_s == 0


class Sample:
    """Questions for owner names."""

    def __init__(self, *names: str) -> None:
        self.names = [parse_name_text(name) for name in names]

    def share_of(self, owners: Container[bytes], *, zones: Container[bytes] | None = None) -> float | None:
        asked = [name for name in self.names if zones is None or any(name.endswith(zone) for zone in zones)]  # type: ignore[attr-defined]
        return sum(name in owners for name in asked) / len(asked) if asked else None

    def of(self, zones: Container[bytes]) -> list[Question]:
        return []


class MissingNames(Sample):
    """Questions for names that do not exist."""

    def share_of(self, owners: Container[bytes], *, zones: Container[bytes] | None = None) -> float | None:
        return float(b"" in owners)


SHARES: dict[str, tuple[Asked | None, tuple[float, bool] | None]] = {
    "unknown": (None, None),
    "no questions": (Asked(Sample()), None),
    "missing names": (Asked(MissingNames()), (0.0, True)),
    "names": (Asked(Sample("www.shop.test", "mail.shop.test", "app.own.test", "below.own.test")), (0.75, True)),
    "other accounts' names": (Asked(Sample("www.bob.test", "mail.shop.test")), (0.0, True)),
    "zones": (Asked(Sample(), {"shop.test": 3, "bob.test": 5}), (1.0, False)),
    "no zone of the account": (Asked(None, {"bob.test": 5}), None),
}


@pytest.mark.parametrize(("asked", "expected"), SHARES.values(), ids=SHARES.keys())
def test_share_of_recent_questions(tmp_path: Path, asked: Asked | None, expected: tuple[float, bool] | None) -> None:
    old, new = FILES | ALIASES, FILES | ALIASES | {"ada/maps/shop.yaml": OFF}
    share = planned(tmp_path, old, new, asked=asked).share
    assert (share and (share.share, share.is_sampled)) == expected


def test_many_names_are_counted_and_sampled(tmp_path: Path) -> None:
    many = "".join(f"- {{name: n{number}, type: A, content: 192.0.2.1, proxied: true}}\n" for number in range(3_000))
    new = FILES | {"ada/zones/shop.test.yaml": f"records:\n{many}"}
    plan = planned(tmp_path, new, new | {"ada/maps/shop.yaml": OFF})
    (answers,) = plan.zones[0].answers
    assert (answers.names_total, len(answers.names), plan.names_total) == (3_000, effects.MAX_SAMPLE, 3_000)
    plan = planned(tmp_path, new, new | {"ada/zones/shop.test.yaml": f"paused: true\nrecords:\n{many}"})
    assert (plan.names_total, len(plan.zones[0].answers[0].names)) == (3_000, effects.MAX_SAMPLE)


def test_many_different_answers_of_a_zone_are_put_together(tmp_path: Path) -> None:
    many = "".join(
        f"- {{name: n{number}, type: A, content: 192.0.{number // 250}.{number % 250}, proxied: true}}\n"
        for number in range(1_500)
    )
    open_zone = f"paused: true\nrecords:\n{many}"
    plan = planned(
        tmp_path,
        FILES | {"ada/zones/shop.test.yaml": f"records:\n{many}"},
        FILES | {"ada/zones/shop.test.yaml": open_zone},
    )
    answers = plan.zones[0].answers
    assert (plan.names_total, len(answers)) == (1_500, effects.MAX_GROUPS + 1)
    assert [one.is_mixed for one in answers].count(True) == 1
    assert plan.effects[Effect.INTO_OPEN] == 1_500


def test_addresses_of_a_zone_are_those_of_its_families(tmp_path: Path) -> None:
    for settings, v6 in (("", ("2001:db8:100::1",)), ("settings: {ipv6: false}\n", ())):
        write(tmp_path, FILES | {"ada/zones/shop.test.yaml": settings + ZONE})
        loaded = load(tmp_path / "dnsd.yaml", {})
        (zone,) = loaded.dataset.zones.values()
        found = answering(loaded, zone)
        assert (found.v4, found.v6, found.source) == (("203.0.113.1",), v6, AnswerSource.MAP)


def test_hostile_dnames_do_not_multiply_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "MAX_QUESTIONS", 500)
    many = "".join(f"- {{name: d{number}, type: DNAME, content: evil.test}}\n" for number in range(40))
    files = FILES | {
        "ada/zones/evil.test.yaml": f"records:\n- {{name: x, type: CNAME, content: www.shop.test}}\n{many}"
    }
    plan = planned(tmp_path, files, files | {"ada/maps/shop.yaml": OFF})
    assert "x.evil.test" in shown(plan)
