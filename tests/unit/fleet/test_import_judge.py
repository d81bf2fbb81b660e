"""An import is refused where a reload of the same files would be, in its words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dnsd.app import Loaded, load
from dnsd.errors import InvalidDataError, Problem
from dnsd.fleet.import_judge import check_import
from dnsd.manage.judge import findings, moves_between
from dnsd.model.guard import FORCE

SETTINGS = {"default_addresses": ["198.51.100.1"], "nameservers": ["ns1.example.net"], "data": "accounts"}
MAP = "enabled: true\nips: [203.0.113.7]\nmemberships: [{kind: account, identifier: x}]\n"
SPACE = "name: X\nprefixes: [{cidr: 203.0.113.0/24, approved: V}]\n"


def zone(proxied: str, names: int = 40) -> str:
    lines = (f"- {{name: n{n}, type: A, content: 192.0.2.{n}, proxied: {proxied}}}\n" for n in range(names))
    return "records:\n" + "".join(lines)


def customers(proxied: str = "true", number: int = 3) -> dict[str, str]:
    zones = {f"c{n}/zones/c{n}.example.yaml": zone(proxied) for n in range(number)}
    return zones | {f"c{n}/account.yaml": "name: X\n" for n in range(number)}


BARRED = {"x/account.yaml": f"{SPACE}pool: never\n", "x/maps/m.yaml": MAP, "x/zones/x.example.yaml": zone("true")}
MAPPED = {"x/account.yaml": SPACE, "x/maps/m.yaml": MAP, "x/zones/x.example.yaml": zone("true")}
CASES = [  # files of the fleet, files of the folder, the reasons of a refusal; what stands against force
    (
        customers(),
        customers("false"),
        ["120 names of 3 accounts would go into the open", "account.yaml:1:1: 40 of 40"],
        [],
    ),
    (customers(), customers(number=2), ["40 of 120 records would be removed", "1 of 3 zones"], []),
    (customers(), {**customers(), "c0/zones/c0.example.yaml": zone("false")}, ["go into the open, as after"], []),
    (MAPPED, {**MAPPED, "x/maps/m.yaml": MAP.replace("[203.0.113.7]", "[]")}, ["would lose its address"], []),
    (BARRED, {**BARRED, "x/account.yaml": SPACE}, ["write `pool: allowed`"], ["write `pool: allowed`"]),
    ({**customers(), **BARRED}, customers(), ["its folder is gone: restore it"], []),
    (customers(), {**customers(), "new/account.yaml": "name: New\n"}, [], []),
    (MAPPED, {**MAPPED, "x/maps/m.yaml": MAP.replace("true", "false")}, [], []),
]


def loaded(folder: Path, files: Mapping[str, str], **settings: object) -> Loaded:
    for name, text in files.items():
        (folder / "accounts" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "accounts" / name).write_text(text)
    (folder / "dnsd.yaml").write_text(json.dumps({**SETTINGS, **settings}))
    return load(folder / "dnsd.yaml", {})


def reasons(before: Loaded, after: Loaded, *, is_forced: bool = False) -> list[str]:
    try:
        check_import(before.files, after, is_forced=is_forced)
    except InvalidDataError as error:
        return [problem.line() for problem in error.problems]
    return []


@pytest.mark.parametrize(("old", "new", "wanted", "in_spite_of_force"), CASES)
def test_what_a_reload_refuses_an_import_refuses(
    tmp_path: Path, old: dict[str, str], new: dict[str, str], wanted: list[str], in_spite_of_force: list[str]
) -> None:
    before, after = loaded(tmp_path / "old", old), loaded(tmp_path / "new", new)
    found = reasons(before, after)
    for words in wanted:
        assert any(words in line for line in found), found
    assert bool(found) == bool(wanted), found
    assert not any("dnsd reload" in line for line in found)
    forced = reasons(before, after, is_forced=True)
    assert len(forced) == len(in_spite_of_force)
    assert all(words in line for words, line in zip(in_spite_of_force, forced, strict=True))


def test_the_findings_are_those_of_a_reload(tmp_path: Path) -> None:
    before, after = loaded(tmp_path / "old", customers()), loaded(tmp_path / "new", customers("false"))
    assert (tmp_path / "new" / "accounts").is_dir()
    reload = findings(before, after, moves_between(before, after))
    wanted = {one.problem.message.partition("use `dnsd reload")[0] for one in reload}
    found = reasons(before, after)
    messages = [line.partition(": ")[2].removeprefix("reload.max_drop_percent: ") for line in found]
    assert {message.partition("use `dnsd fleet")[0] for message in messages} == wanted
    assert all("use `dnsd fleet import --force` to apply it anyway" in line for line in found)
    assert "`dnsd reload --force" in FORCE  # which the command replaces


def test_the_brake_counts_the_accounts_of_one_import(tmp_path: Path) -> None:
    old = customers()
    new = {name: text.replace(", proxied: true", ", proxied: false", 1) for name, text in old.items()}
    settings = {"reload": {"max_drop_percent": 100, "brake": {"accounts": 2, "accounts_percent": 1}}}
    before, after = loaded(tmp_path / "old", old), loaded(tmp_path / "new", new, **settings)
    (line,) = reasons(before, after)
    assert "reload.brake: 3 accounts would change their addresses; the limit is 2: c0 (1 name), c1 (1 name)" in line
    assert reasons(before, after, is_forced=True) == []


def test_an_unusable_account_of_the_fleet_does_not_keep_others_from_being_judged(tmp_path: Path) -> None:
    before = loaded(tmp_path / "old", customers())
    twice = Problem("c0/zones/c0.example", (), "is defined twice")
    files = tuple(
        replace(file, problem=twice) if file.key == "c0/zones/c0.example" else file for file in before.files.files
    )
    wrong = replace(before.files, files=files)
    after = loaded(tmp_path / "same", customers())
    check_import(wrong, after, is_forced=False)
    opened = loaded(tmp_path / "new", customers("false"))
    with pytest.raises(InvalidDataError, match="80 names of 2 accounts would go into the open"):
        check_import(wrong, opened, is_forced=False)
