"""Random accounts after random edits: unedited accounts stay unchanged, and each account is served as a whole."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dnsd.app import Loaded, load
from dnsd.errors import InvalidDataError
from tests.unit.store.test_hold import edit, reload, served, start

WORLDS = 40
RELOADS = 2  # per world, after edits of any kind

SETTINGS = "default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n"
ACCOUNTS = ["ada", "bob", "cyd", "dee", "eve"]
ZONES = [f"z{number}.example" for number in range(6)]
IDS = ["0123456789abcdef0123456789abcdef", "fedcba98765432100123456789abcdef"]
PREFIXES = ["203.0.113.0/24", "203.0.113.0/25", "203.0.112.0/23", "198.18.4.0/24", "198.18.5.0/24", "2001:db8:1::/48"]
PARTS = ["203.0.113.64/26", "203.0.113.0/26", "198.18.4.128/26", "198.18.5.0/25"]
STATIC_IPS = ["192.0.2.7", "192.0.2.8", "192.0.2.9", "203.0.113.3"]
MAP_IPS = [*STATIC_IPS, "203.0.113.70", "198.18.4.9", "198.18.4.200", "2001:db8:1::5"]

Texts = dict[str, str]  # text by path below the folder of accounts


def often(rng: random.Random, share: float, text: str) -> str:
    return text if rng.random() < share else ""


def account_text(rng: random.Random) -> str:
    lines = [""]
    prefixes = rng.sample(PREFIXES, rng.choice([0, 1, 1, 2]))
    for cidr in prefixes:
        part = f", delegations: [{{cidr: {rng.choice(PARTS)}, account: {rng.choice(ACCOUNTS + IDS)}}}]"
        lines.append(f"- {{cidr: {cidr}, approved: {rng.choice('VVVP')}{often(rng, 0.5, part)}}}")
    lines[0] = "prefixes:" if prefixes else "name: A"
    lines.append(f"static_ips: [{', '.join(rng.sample(STATIC_IPS, rng.choice([0, 0, 1, 2])))}]")
    lines += [often(rng, 0.15, f"id: {rng.choice(IDS)}"), often(rng, 0.06, rng.choice(["nmae: x", "[", "settings: 5"]))]
    return "\n".join(lines) + "\n"


def map_text(rng: random.Random, account: str) -> str:
    whose = account if rng.random() < 0.9 else rng.choice(ACCOUNTS + IDS)
    members = [f"{{kind: account, identifier: {whose}}}", f"{{kind: zone, identifier: {rng.choice(ZONES)}}}"]
    ips = ", ".join(rng.sample(MAP_IPS, rng.choice([0, 1, 1, 2])))
    text = f"enabled: true\nips: [{ips}]\nmemberships: [{', '.join(rng.sample(members, rng.choice([0, 1, 1, 2])))}]\n"
    return text + often(rng, 0.1, f"id: {rng.choice(IDS)}\n") + often(rng, 0.06, rng.choice(["ips: [\n", "x: 1\n"]))


def zone_text(rng: random.Random, name: str) -> str:
    ip = f"192.0.2.{rng.randrange(250)}"
    if name.endswith(".zone"):
        return f"@ 60 SOA ns1 host 1 2 3 4 5\n@ 60 NS ns1\nns1 60 A {ip}\n" + often(rng, 0.06, "x 60 A none\n")
    head = often(rng, 0.08, f"id: {rng.choice(IDS)}\n") + often(rng, 0.08, f"name: {rng.choice(ZONES)}\n")
    broken = often(rng, 0.06, "- {name: oak, type: A, content: none}\n")
    return f"{head}records:\n- {{name: www, type: A, content: {ip}, proxied: true}}\n{broken}"


def new_file(rng: random.Random) -> tuple[str, str]:
    """The name and text of a file, sometimes with an error."""
    account = rng.choice(ACCOUNTS)
    zone = f"{account}/zones/{rng.choice(ZONES)}{rng.choice(['.yaml', '.yaml', '.zone'])}"
    return rng.choice(
        [
            (f"{account}/account.yaml", account_text(rng)),
            (f"{account}/maps/{rng.choice('mn')}.yaml", map_text(rng, account)),
            (zone, zone_text(rng, zone)),
        ]
    )


def edited(rng: random.Random, texts: Texts) -> Texts:
    """The texts after random edits: written, removed, moved, a foreign file added, accounts swapped."""
    texts = dict(texts)
    for _ in range(rng.choice([1, 1, 2, 3, 5])):
        what = rng.random()
        if what < 0.55 or not texts:
            texts |= [new_file(rng)]
        elif what < 0.7:
            texts.pop(rng.choice(sorted(texts)))
        elif what < 0.85:
            name = rng.choice(sorted(texts))
            texts[f"{rng.choice(ACCOUNTS)}/{name.partition('/')[2]}"] = texts.pop(name)
        elif what < 0.9:
            texts[f"{rng.choice(ACCOUNTS)}/zones/notes.txt"] = "?"
        else:
            one, two = rng.sample(ACCOUNTS, 2)
            renamed = {one: two, two: one}
            names = {name: name.partition("/") for name in texts}
            texts = {f"{renamed.get(part[0], part[0])}/{part[2]}": texts[name] for name, part in names.items()}
    return texts


def put(root: Path, texts: Texts) -> None:
    """Write these texts to the accounts folder; an unchanged file is not touched."""
    folder = root / "accounts"
    folder.mkdir(exist_ok=True)
    there = {str(path.relative_to(root)): path for path in folder.rglob("*") if path.is_file()}
    wanted = {f"accounts/{name}": text for name, text in texts.items()}
    for name in there.keys() - wanted.keys():
        there[name].unlink()
    edit(root, {name: text for name, text in wanted.items() if name not in there or there[name].read_text() != text})
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def good_world(rng: random.Random, root: Path) -> Texts:
    """Random texts without errors."""
    texts: Texts = {}
    for _ in range(rng.randrange(6, 24)):
        more = texts | dict([new_file(rng)])
        put(root, more)
        try:
            load(root / "dnsd.yaml", {})
        except InvalidDataError:
            continue
        texts = more
    put(root, texts)
    return texts


def of(texts: Texts, account: str) -> Texts:
    return {name: text for name, text in texts.items() if name.startswith(f"{account}/")}


def texts_of(loaded: Loaded) -> Texts:
    return {name.removeprefix("/"): text for name, text in served(loaded).items()}


def check_accounts(before: Texts, now: Texts, loaded: Loaded) -> None:
    """Each account is served as a whole, current or last good; only changed ones are held, with placed reasons."""
    serving = texts_of(loaded)
    for account in ACCOUNTS:
        assert of(serving, account) == of(before if account in loaded.held else now, account), account
        if of(now, account) == of(before, account):
            assert account not in loaded.held
    for account, problems in loaded.held.items():
        assert problems
        assert all(problem.place and not problem.warning for problem in problems)
        assert loaded.reason(account, is_operator=False)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_accounts_are_served_whole_in_any_world(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    (tmp_path / "dnsd.yaml").write_text(SETTINGS)
    first = now = good_world(rng, tmp_path)
    loaded = start(tmp_path)
    for _ in range(RELOADS):
        before, now = texts_of(loaded), edited(rng, now)
        put(tmp_path, now)
        loaded = reload(tmp_path, loaded)
        check_accounts(before, now, loaded)
        anew = start(tmp_path)
        assert (texts_of(anew), set(anew.held)) == (texts_of(loaded), set(loaded.held)), "a start serves the same"
        assert [zone.serial for zone in anew.dataset.zones.values()] == [
            zone.serial for zone in loaded.dataset.zones.values()
        ]
        assert anew.dataset.maps == loaded.dataset.maps
    put(tmp_path, first)
    back = reload(tmp_path, loaded)
    assert not back.held
    assert texts_of(back) == first
