"""Problems that are taken over from the load before are those of a whole judgement, after any edits of the files."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dnsd.errors import Problem
from dnsd.model import dataset_rules, findings
from dnsd.store.directory import FileKind, Files, SourceFile, path_of
from dnsd.store.load import NOTHING, Judged, Loading
from dnsd.store.text_file import content_of

ROOT = "/accounts"
ACCOUNTS = ("acme", "globex", "initech")
SPACE = ("203.0.113.0/24", "203.0.113.64/26", "198.51.100.0/24", "2001:db8:100::/48", "2001:db8:100:1::/64")
IPS = ("203.0.113.1", "198.51.100.7", "192.0.2.200", "2001:db8:100::1", "2001:db8:100:1::1")
LEASED = (("192.0.2.1", "203.0.113.70"), ("192.0.2.2", "203.0.113.71"), ("192.0.2.3", "198.51.100.3"))  # by account
ZONES = ("example.com", "example.net", "example.org", "b.example.com")
RUNS, STEPS = 80, 16
STUCK = 3  # steps with errors, after which the last good files come back
KINDS = {  # parts of messages, each of which must be met now and then
    "lies outside the prefix": 0.1,
    "overlaps with": 0.2,
    "one of them is pending": 0.1,
    "is a static IP of the account": 0.02,
    "is a static IP, and also in": 0.01,
    "takes precedence": 0.1,
    "`pool: never` needs": 0.1,
    "is outside the account's prefixes": 0.2,
    "is not approved yet": 0.05,
    "declared withdrawn": 0.05,
    "delegated to another account": 0.1,
    "belong to different accounts": 0.02,
    "there is no zone": 0.1,
    "the account is barred only while": 0.02,
}

World = dict[tuple[str, FileKind], dict[str, Any]]


def some(chance: random.Random, choices: tuple[str, ...], most: int) -> list[str]:
    return chance.sample(choices, chance.randint(0, min(most, len(choices))))


def number(key: str) -> int:
    return ACCOUNTS.index(key.partition("/")[0])


def account(chance: random.Random, key: str) -> dict[str, Any]:
    prefixes = []
    for cidr in SPACE[:1] if chance.random() < 0.4 else some(chance, SPACE, 2):
        others = [{"cidr": chance.choice(SPACE), "account": one} for one in some(chance, ACCOUNTS, 1)]
        routes = [{"cidr": cidr, "advertised": chance.random() < 0.6}] if chance.random() < 0.4 else []
        approved = chance.choice("VVVP")
        prefixes.append({"cidr": cidr, "approved": approved, "delegations": others, "bgp_prefixes": routes})
    leased = [*LEASED[number(key)], *(["192.0.2.200"] if chance.random() < 0.1 else [])]
    said = {"prefixes": prefixes, "static_ips": leased, "name": f"n{chance.randint(0, 3)}"}
    return said | ({"pool": "never"} if chance.random() < 0.2 else {})


def address_map(chance: random.Random, key: str) -> dict[str, Any]:
    own = number(key)
    zones = (*ZONES[own : own + 2], *(f"{own * 2 + one:032x}" for one in range(2)))
    members = [{"kind": "zone", "identifier": one} for one in some(chance, zones, 2)]
    is_wide = chance.random() < 0.6
    members += [{"kind": "account", "identifier": key.partition("/")[0]}] if is_wide else []
    is_immutable = is_wide and chance.random() < 0.2
    ips = IPS if chance.random() < 0.2 else LEASED[own]
    said = {"ips": some(chance, ips, 3), "memberships": members, "enabled": chance.random() < 0.8}
    return said | ({"immutable": True, "memberships": members[-1:]} if is_immutable else {})


def zone(chance: random.Random, key: str) -> dict[str, Any]:
    own = number(key) if chance.random() < 0.8 else chance.randint(0, 2)
    said = {"id": f"{own * 2 + chance.randint(0, 1):032x}"} if chance.random() < 0.7 else {}
    return said | {
        "name": ZONES[own + chance.randint(0, 1)],
        "records": [{"name": "www", "type": "A", "content": "192.0.2.1"}],
    }


MAKERS: dict[FileKind, Callable[[random.Random, str], dict[str, Any]]] = {
    FileKind.ACCOUNT: account,
    FileKind.MAP: address_map,
    FileKind.ZONE_YAML: zone,
}


def edit(chance: random.Random, world: World) -> None:
    """Make, change or remove a file."""
    kind = chance.choice([*MAKERS])
    folder = chance.choice(ACCOUNTS)
    part = {FileKind.ACCOUNT: "", FileKind.MAP: f"/maps/m{chance.randint(0, 2)}"}.get(kind)
    key = folder + (f"/zones/z{chance.randint(0, 1)}" if part is None else part)
    before = world.get((key, kind))
    if chance.random() < 0.15:
        world.pop((key, kind), None)
    elif before and kind is not FileKind.MAP and chance.random() < 0.6:
        world[key, kind] = before | chance.choice(SMALL_EDITS[kind])(chance, before)
    else:
        world[key, kind] = MAKERS[kind](chance, key)


def rerouted(chance: random.Random, said: dict[str, Any]) -> dict[str, Any]:
    routes = [{"cidr": one["cidr"], "advertised": chance.random() < 0.5} for one in said["prefixes"]]
    pairs = zip(said["prefixes"], routes, strict=True)
    return {"prefixes": [prefix | {"bgp_prefixes": [route]} for prefix, route in pairs]}


SMALL_EDITS: dict[FileKind, list[Callable[[random.Random, dict[str, Any]], dict[str, Any]]]] = {
    FileKind.ACCOUNT: [lambda chance, said: {"name": "renamed"}, rerouted, rerouted],
    FileKind.ZONE_YAML: [lambda chance, said: {"name": f"renamed{chance.randint(0, 9)}.example"}],
}


def files(world: World) -> Files:
    found = []
    for (key, kind), said in sorted(world.items(), key=lambda one: one[0][0]):
        text = json.dumps(said)
        content = content_of(text)
        found.append(SourceFile(key, kind, path_of(ROOT, key, kind), content, modified=1))
    return Files(ROOT, ACCOUNTS, tuple(found))


def judgements(seed: int) -> Iterator[tuple[Judged, Judged]]:
    """After each of some edits, the judgement that takes over from the load before, and the whole one."""
    chance = random.Random(seed)
    world: World = {}
    previous, good, stuck = NOTHING, dict(world), 0
    for _ in range(STEPS):
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            edit(chance, world)
        found = files(world)
        loading = Loading(["ns1.example.net"], previous)
        taken_over = loading.judge(found)
        yield taken_over, Loading(["ns1.example.net"]).judge(found)
        stuck = stuck + 1 if taken_over.has_errors else 0
        if not stuck:
            previous, good = loading.accept(taken_over), dict(world)
        elif stuck >= STUCK:
            world, stuck = dict(good), 0


def compare(seeds: range) -> tuple[Counter[str], int]:
    """The runs with each kind of message, and the number of accepted steps of all."""
    seen: Counter[str] = Counter()
    accepted = 0
    for seed in seeds:
        met: set[Problem] = set()
        for taken_over, whole in judgements(seed):
            rules = (one for one in dataset_rules.problems(whole.stored.dataset) if "/zones/" not in one.source)
            assert Counter(taken_over.stored.findings.problems()) == Counter(rules), f"taken over wrongly: {seed}"
            assert Counter(taken_over.problems) == Counter(whole.problems), f"taken over wrongly: {seed}"
            met |= set(whole.problems)
            accepted += not taken_over.has_errors
        seen.update(kind for kind in KINDS if any(kind in problem.message for problem in met))
    return seen, accepted


def test_problems_are_those_of_a_whole_judgement() -> None:
    seen, accepted = compare(range(RUNS))
    rare = {kind: seen[kind] for kind, share in KINDS.items() if seen[kind] < share * RUNS}
    assert not rare, f"too rare in {RUNS} runs: {rare}"
    assert accepted > RUNS * STEPS / 5


PARTS = {  # what the takeover depends on, each patched out
    "claims": ("_claims", lambda account: None),
    "changed accounts and maps": ("_changed", lambda before, after: after.keys() - before.keys()),
    "moved zones": ("_moved_zones", lambda before, after: ()),
    "routes": ("declared_routes", lambda accounts: None),
}


@pytest.mark.parametrize("part", PARTS)
def test_edits_find_each_missing_dependency(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, *PARTS[part])
    with pytest.raises(AssertionError, match="taken over wrongly"):
        compare(range(4 * RUNS))


def test_edit_of_one_account_judges_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def noted(dataset: Any, one: Any, *more: Any) -> Any:
        judged.append(one.key)
        return rules[len(more)](dataset, one, *more)

    rules = {1: dataset_rules.account_problems, 0: dataset_rules.map_problems}
    world: World = {(name, FileKind.ACCOUNT): {"static_ips": [f"192.0.2.{at}"]} for at, name in enumerate(ACCOUNTS, 1)}
    for at, name in enumerate(ACCOUNTS, 1):
        world[f"{name}/maps/all", FileKind.MAP] = {"ips": [f"192.0.2.{at}"]}
        world[f"{name}/zones/z", FileKind.ZONE_YAML] = {"name": f"{name}.example"}
    loading = Loading(["ns1.example.net"])
    previous = loading.load(files(world))
    monkeypatch.setattr(findings, "account_problems", noted)
    monkeypatch.setattr(findings, "map_problems", noted)
    for key, kind, said, expected in (
        ("acme", FileKind.ACCOUNT, {"static_ips": ["192.0.2.1"], "name": "A"}, ["acme", "acme/maps/all"]),
        ("acme/maps/all", FileKind.MAP, {"ips": []}, ["acme", "acme/maps/all"]),
        ("acme/zones/z", FileKind.ZONE_YAML, {"name": "acme.example", "paused": True}, []),
        ("acme/zones/new", FileKind.ZONE_YAML, {"name": "new.example"}, []),
    ):
        judged.clear()
        Loading(["ns1.example.net"], previous).load(files(world | {(key, kind): said}))
        assert judged == expected
