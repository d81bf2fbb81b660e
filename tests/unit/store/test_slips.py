"""No slip in files takes an account off its bar from the pool: at reloads with or without --force, and at starts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from dnsd.app import Loaded
from dnsd.errors import InvalidDataError
from dnsd.settings.sections import OnError
from tests.unit.store.test_hold import edit, reload, start

SETTINGS = "default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n"
CAVE = "accounts/cave/account.yaml"
FALLBACK = "accounts/cave/maps/fallback.yaml"
OTHER = "accounts/cave/maps/other.yaml"
ZONE = "accounts/cave/zones/cavern.example.yaml"
SPACE = 'static_ips: [192.0.2.7, "2001:db8::7"]\n'
BARRED, ALLOWED = f"{SPACE}pool: never\n", f"{SPACE}pool: allowed\n"
WIDE = 'enabled: true\nips: [192.0.2.7, "2001:db8::7"]\nmemberships: [{kind: account, identifier: cave}]\n'
IMMUTABLE = f"{WIDE}immutable: true\n"
WWW = "records:\n- {name: www, type: A, content: 192.0.2.90, proxied: true}\n"
NOT_IN_EFFECT = {
    "disabled": IMMUTABLE.replace("enabled: true", "enabled: false"),
    "without addresses": IMMUTABLE.replace('ips: [192.0.2.7, "2001:db8::7"]', "ips: []"),
    "without its member": IMMUTABLE.replace("memberships: [{kind: account, identifier: cave}]", "memberships: []"),
    "no longer immutable": WIDE,
}

Edits = Mapping[str, str | None]
GONE: Edits = {CAVE: None, FALLBACK: None, ZONE: None}


@dataclass(frozen=True)
class Case:
    """Files of the account `cave` before, edits of them, and whether they are taken."""

    account: str
    fallback: str
    edits: Edits
    is_held: bool
    is_held_if_forced: bool | None = None  # None: the same


CASES = {
    **{f"an immutable map {how}": Case(SPACE, IMMUTABLE, {FALLBACK: now}, True) for how, now in NOT_IN_EFFECT.items()},
    "the immutable map's file is gone": Case(SPACE, IMMUTABLE, {FALLBACK: None}, True),
    "both the key and the immutable map's file are gone": Case(BARRED, IMMUTABLE, {FALLBACK: None, CAVE: SPACE}, True),
    "the immutable map's file is gone, an ordinary one comes": Case(
        BARRED, IMMUTABLE, {FALLBACK: None, OTHER: WIDE}, True
    ),
    "the key of an account with an ordinary map is gone": Case(BARRED, WIDE, {CAVE: SPACE}, True),
    "the key is gone, the immutable map stays": Case(BARRED, IMMUTABLE, {CAVE: SPACE}, False),
    "the ordinary map's file is gone": Case(BARRED, WIDE, {FALLBACK: None}, True),
    "the ordinary map is disabled": Case(BARRED, WIDE, {FALLBACK: NOT_IN_EFFECT["disabled"]}, True),
    "the immutable map's file is renamed": Case(SPACE, IMMUTABLE, {FALLBACK: None, OTHER: IMMUTABLE}, False),
    "the ordinary map's file is renamed": Case(BARRED, WIDE, {FALLBACK: None, OTHER: WIDE}, False),
    "the immutable map's addresses change": Case(
        SPACE, IMMUTABLE, {FALLBACK: IMMUTABLE.replace('192.0.2.7, "2001', '"2001')}, False
    ),
    "the operator allows the pool": Case(BARRED, IMMUTABLE, {CAVE: ALLOWED}, False),
    "the operator allows the pool, the map is gone": Case(BARRED, IMMUTABLE, {CAVE: ALLOWED, FALLBACK: None}, False),
    "the pool was allowed, the map is gone": Case(ALLOWED, IMMUTABLE, {FALLBACK: None}, False),
    "the pool was allowed, the map and the key are gone": Case(ALLOWED, IMMUTABLE, {FALLBACK: None, CAVE: SPACE}, True),
    "the zone is gone": Case(BARRED, IMMUTABLE, {ZONE: None}, False),
    "the whole account is gone": Case(BARRED, IMMUTABLE, GONE, True, False),
    "the whole account is gone, the key was missing": Case(SPACE, IMMUTABLE, GONE, True, False),
    "the whole account is gone, with an ordinary map": Case(BARRED, WIDE, GONE, True, False),
    "the whole account is gone, the pool was allowed": Case(ALLOWED, IMMUTABLE, GONE, False),
    "the whole account is gone, which was never barred": Case(SPACE, WIDE, GONE, False),
    "an account that was never barred loses its map": Case(SPACE, WIDE, {FALLBACK: None}, False),
    "the folder is renamed": Case(
        f"id: {'c' * 32}\n{BARRED}",
        IMMUTABLE.replace("cave", "c" * 32),
        {
            **GONE,
            "accounts/lair/account.yaml": f"id: {'c' * 32}\n{BARRED}",
            "accounts/lair/maps/fallback.yaml": IMMUTABLE.replace("cave", "c" * 32),
            "accounts/lair/zones/cavern.example.yaml": WWW,
        },
        False,
    ),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    edit(tmp_path, {"dnsd.yaml": SETTINGS, "accounts/wood/account.yaml": "name: Wood\n"})
    return tmp_path


def first(root: Path, case: Case) -> Loaded:
    edit(root, {CAVE: case.account, FALLBACK: case.fallback, ZONE: WWW})
    loaded = start(root)
    assert not loaded.held
    return loaded


def held(loaded: Loaded) -> bool:
    assert set(loaded.held) <= {"cave"}
    assert all(problem.place and problem.path == ("pool",) for problem in loaded.errors if problem.rule is None)
    return "cave" in loaded.held


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_reload(case: Case, force: bool, root: Path) -> None:
    before = first(root, case)
    edit(root, {**case.edits, "accounts/wood/zones/timber.example.yaml": WWW})
    loaded = reload(root, before, force=force)
    expected = case.is_held if not force or case.is_held_if_forced is None else case.is_held_if_forced
    assert held(loaded) == expected
    assert "timber.example" in {zone.name_text for zone in loaded.dataset.zones.values()}, "others go on"
    if expected:
        assert loaded.dataset.maps == before.dataset.maps


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_start(case: Case, root: Path) -> None:
    first(root, case)
    edit(root, case.edits)
    assert held(start(root)) == case.is_held
    assert held(start(root)) == case.is_held, "the next start as well"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_start_without_the_state_folder_takes_the_files(case: Case, root: Path) -> None:
    first(root, case)
    edit(root, case.edits)
    shutil.rmtree(root / "state")
    now = {CAVE: case.account, FALLBACK: case.fallback, **case.edits}
    if now[CAVE] == BARRED and not {now[FALLBACK], now.get(OTHER)} & {WIDE, IMMUTABLE}:
        with pytest.raises(InvalidDataError, match="`pool: never` needs"):  # an error of the files by themselves
            start(root)
    else:
        assert not held(start(root))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_refused_if_no_account_may_be_held(case: Case, root: Path) -> None:
    before = first(root, case)
    edit(root, {**case.edits, "dnsd.yaml": f"{SETTINGS}on_error: {OnError.REFUSE}\n"})
    for load in (lambda: reload(root, before), lambda: start(root)):
        if not case.is_held:
            assert not held(load())
            return
        with pytest.raises(InvalidDataError, match="pool"):
            load()


def test_allowed_in_one_commit_and_the_folder_gone_in_the_next_needs_no_force(root: Path) -> None:
    loaded = first(root, Case(BARRED, IMMUTABLE, {}, False))
    edit(root, {CAVE: ALLOWED})
    loaded = reload(root, loaded)
    assert not loaded.held
    edit(root, GONE)
    loaded = reload(root, loaded)
    assert not loaded.held
    assert {account.key for account in loaded.dataset.accounts.values()} == {"wood"}


def test_account_held_by_a_slip_is_released_by_the_operators_word(root: Path) -> None:
    loaded = first(root, Case(BARRED, IMMUTABLE, {}, False))
    edit(root, {FALLBACK: None})
    loaded = reload(root, loaded)
    assert set(loaded.held) == {"cave"}
    edit(root, {CAVE: ALLOWED})
    loaded = reload(root, loaded)
    assert not loaded.held
    assert not loaded.dataset.maps


def test_zone_of_a_removed_account_stays_with_it(root: Path) -> None:
    """An account that takes the zone of a held one is held as well: a zone has one account."""
    loaded = first(root, Case(BARRED, IMMUTABLE, {}, False))
    edit(root, {**GONE, "accounts/wood/zones/cavern.example.yaml": WWW})
    loaded = reload(root, loaded)
    assert set(loaded.held) == {"cave", "wood"}
    (zone,) = loaded.dataset.zones.values()
    assert zone.key == "cave/zones/cavern.example"
