"""`dnsd token`: creating, listing and revoking tokens, output on stdout and stderr, and error messages."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dnsd.cli import main
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import AccessLevel, Area, Token
from dnsd.model.fields import derived_id
from tests.worlds import AccountFiles, World, write_world

ID, OTHER_ID = "1" * 32, "ABCDEF" * 5 + "12"
ACME = derived_id("account", "acme")
ZONE = "5" * 32
SECRET = re.compile(r"dnsd_[\w-]{43}\n")
SETTINGS = {"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.net"]}


@pytest.fixture
def config(tmp_path: pathlib.Path) -> pathlib.Path:
    files = AccountFiles({}, {}, {"example.com.yaml": {"id": ZONE, "records": []}})
    return write_world(World(SETTINGS, {"acme": files}), tmp_path)


def run(config: pathlib.Path, *arguments: str, env: dict[str, str] | None = None) -> Result:
    command = ["token", *arguments, "-c", str(config)]
    environment = {"NO_COLOR": None, "DNSD_CONFIG": None, "STATE_DIRECTORY": None, **(env or {})}
    return CliRunner().invoke(main, command, env=environment)


def find(config: pathlib.Path, secret: str) -> Token:
    found = TokenFile(config.parent / "state").find(secret.strip(), datetime.now(UTC))
    assert isinstance(found, Token)
    return found


# create

CREATED: dict[str, tuple[list[str], dict[str, Any]]] = {
    "the operator's": (
        ["--operator"],
        {"name": "", "accounts": (), "zones": (), "permissions": (), "expires_at": None},
    ),
    "a name": (["--name", "CI of žižkov", "--operator"], {"name": "CI of žižkov"}),
    "ids": (
        ["--account", ID, "--account", OTHER_ID, "--zone", ID],
        {"accounts": (ID, OTHER_ID.lower()), "zones": (ID,)},
    ),
    "a folder's name": (["--account", "acme"], {"accounts": (ACME,)}),
    "a zone's name": (["--zone", "Example.COM."], {"zones": (ZONE,)}),
    "names and ids": (["--account", ID, "--zone", "example.com"], {"accounts": (ID,), "zones": (ZONE,)}),
    "permissions": (
        ["--permission", "dns:edit", "--permission", "maps:read"],
        {"permissions": ((Area.DNS, AccessLevel.EDIT), (Area.MAPS, AccessLevel.READ))},
    ),
    "an expiry": (
        ["--expires", "2999-01-01T00:00:00+01:00"],
        {"expires_at": datetime(2998, 12, 31, 23, tzinfo=UTC)},
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), CREATED.values(), ids=CREATED.keys())
def test_create(config: pathlib.Path, arguments: list[str], expected: dict[str, Any]) -> None:
    result = run(config, "create", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert SECRET.fullmatch(result.stdout)
    made = find(config, result.stdout)
    assert {key: getattr(made, key) for key in expected} == expected
    assert abs((made.created_at - datetime.now(UTC)).total_seconds()) < 60


def test_token_for_everything_for_ever_is_made_with_a_warning(config: pathlib.Path) -> None:
    result = run(config, "create", "--name", "script")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: this token may change everything and never expires")
    assert SECRET.fullmatch(result.stdout)
    assert find(config, result.stdout).is_operator


def test_ids_need_no_valid_files(config: pathlib.Path) -> None:
    (config.parent / "accounts/acme/account.yaml").write_text("naem: x")
    assert run(config, "create", "--account", ID, "--zone", ID).exit_code == 0


def test_names_need_valid_files(config: pathlib.Path) -> None:
    (config.parent / "accounts/acme/account.yaml").write_text("naem: x")
    result = run(config, "create", "--account", "acme")
    assert (result.exit_code, result.stdout) == (1, "")
    first, last = result.stderr.splitlines()
    assert "account.yaml:1:1: naem: unknown key" in first
    assert last == "accounts and zones cannot be looked up in these files; use their ids"
    assert run(config, "list").stderr == "there are no tokens\n"


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "no such account": (["--account", "globex"], 1, "there is no account in the folder 'globex'"),
    "no such zone": (["--zone", "example.org"], 1, "there is no zone with the name 'example.org'"),
    "an invalid zone name": (["--zone", "a..b"], 1, "there is no zone with the name 'a..b'"),
    "an operator's for an account": (["--operator", "--account", ID], 2, "--operator is full access: leave out"),
    "an empty account": (["--account", ""], 1, "there is no account in the folder ''"),
    "an id that is too short": (["--zone", "1" * 31], 1, "there is no zone with the name '11"),
    "an invalid permission": (
        ["--permission", "dns"],
        2,
        "Invalid value for '--permission': 'dns' is not a permission; use",
    ),
    "an unknown level": (["--permission", "dns:write"], 2, "Invalid value for '--permission': 'dns:write' is not"),
    "an invalid time": (
        ["--expires", "tomorrow"],
        2,
        "Invalid value for '--expires': 'tomorrow' is not a time with",
    ),
    "a time without zone": (["--expires", "2999-01-01T00:00:00"], 2, "Invalid value for '--expires': '2999"),
    "a time in the past": (["--expires", "2026-01-01T00:00:00Z"], 2, "2026-01-01T00:00:00Z is in the past"),
    "a long name": (["--name", "x" * 101], 2, "a token's name has at most 100 characters"),
    "a name of two lines": (["--name", "a\nb"], 2, "a token's name has at most 100 characters, all printable"),
}


@pytest.mark.parametrize(("arguments", "status", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_create(config: pathlib.Path, arguments: list[str], status: int, message: str) -> None:
    result = run(config, "create", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr.replace("\n", " ")
    assert run(config, "list", "--json").stdout == "[]\n"


def test_terminal_shows_details_and_the_token_last(config: pathlib.Path) -> None:
    command = [sys.executable, "-m", "dnsd", "token", "create", "-c", str(config), "--zone", ID]
    reader, terminal = pty.openpty()
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, text=True, check=True)
        output = os.read(reader, 4096).decode()
    finally:
        os.close(reader)
        os.close(terminal)
    assert SECRET.fullmatch(result.stdout)
    made = find(config, result.stdout)
    assert output.splitlines() == [
        f"token {made.id} for zone {ID}: everything; expires: never",
        "it cannot be shown again:",
    ]


# The state folder

FOLDERS: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "next to the settings": ({}, {}, "state"),
    "of the settings": ({"state": "var/lib"}, {}, "var/lib"),
    "of the environment": ({"state": "var"}, {"DNSD_STATE": "elsewhere"}, "elsewhere"),
    "of systemd": ({}, {"STATE_DIRECTORY": "systemd"}, "systemd"),
    "of settings with an error": ({"state": "var", "workers": "many"}, {}, "var"),
}


@pytest.mark.parametrize(("settings", "env", "folder"), FOLDERS.values(), ids=FOLDERS.keys())
def test_state_folder(tmp_path: pathlib.Path, settings: dict[str, Any], env: dict[str, str], folder: str) -> None:
    config = write_world(World({**SETTINGS, **settings}, {}), tmp_path)
    assert run(config, "create", env=env).exit_code == 0
    assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / folder / "tokens.json").exists()


COMMANDS = [["create"], ["list"], ["revoke", "x"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_settings(tmp_path: pathlib.Path, command: list[str]) -> None:
    result = run(tmp_path / "none.yaml", *command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none.yaml:1:1: cannot be read: No such file or directory" in result.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_corrupt_file(config: pathlib.Path, command: list[str]) -> None:
    (config.parent / "state").mkdir()
    (config.parent / "state/tokens.json").write_text("{")
    result = run(config, *command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"{config.parent}/state/tokens.json is corrupt: restore it from a backup,")


# list


def test_list(config: pathlib.Path) -> None:
    run(config, "create", "--name", "ci", "--zone", ZONE, "--permission", "dns:edit")
    run(config, "create", "--expires", "2999-01-01T00:00:00Z")
    result = run(config, "list")
    assert (result.exit_code, result.stderr) == (0, "")
    heading, first, second = (re.split(r"  +", line.strip()) for line in result.stdout.splitlines())
    assert heading == ["id", "name", "scope", "permissions", "expires", "created", "made with"]
    assert first[1:5] == ["ci", f"zone {ZONE}", "dns:edit", "never"]
    assert second[1:5] == ["-", "all accounts", "everything", "2999-01-01T00:00:00Z"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", second[5])


def test_list_as_json(config: pathlib.Path) -> None:
    secret = run(config, "create", "--name", "ci", "--zone", ZONE, "--permission", "dns:edit").stdout.strip()
    result = run(config, "list", "--json")
    [output] = json.loads(result.stdout)
    made = find(config, secret)
    assert (output.pop("id"), output.pop("created_at")) == (made.id, made.created_at.isoformat().replace("+00:00", "Z"))
    assert output == {
        "name": "ci",
        "accounts": [],
        "zones": [ZONE],
        "permissions": ["dns:edit"],
        "expires_at": None,
        "is_expired": False,
        "parent": None,
    }
    assert secret not in result.output


def test_list_shows_expired_tokens(config: pathlib.Path) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    TokenFile(config.parent / "state").create(name="", now=past, expires_at=past)
    assert "2026-01-01T00:00:00Z (expired)" in run(config, "list").stdout
    [output] = json.loads(run(config, "list", "--json").stdout)
    assert (output["expires_at"], output["is_expired"]) == ("2026-01-01T00:00:00.000000Z", True)


def test_empty_list_creates_no_folder(config: pathlib.Path) -> None:
    result = run(config, "list")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "there are no tokens\n")
    assert not (config.parent / "state").exists()


# revoke


def test_revoke(config: pathlib.Path) -> None:
    run(config, "create", "--name", "ci")
    made = find(config, run(config, "create").stdout)
    assert re.fullmatch(r"revoked [0-9a-f]{32} \(ci\)\n", run(config, "revoke", "ci").stdout)
    assert run(config, "revoke", made.id).stdout == f"revoked {made.id}\n"
    assert run(config, "list", "--json").stdout == "[]\n"


def test_revoke_lists_the_tokens_made_from_it(config: pathlib.Path) -> None:
    parent = find(config, run(config, "create", "--name", "ops").stdout)
    child, _ = TokenFile(config.parent / "state").create(name="ci", now=datetime.now(UTC), parent=parent)
    assert [row.split()[-1] for row in run(config, "list").stdout.splitlines()[1:]] == ["-", "ops"]
    assert run(config, "revoke", "ops").stdout == f"revoked {parent.id} (ops)\nrevoked {child.id} (ci)\n"
    assert run(config, "list", "--json").stdout == "[]\n"


def test_refused_revoke(config: pathlib.Path) -> None:
    for _ in range(2):
        run(config, "create", "--name", "ci")
    for text, message in (("x", "there is no token with the id or name 'x'"), ("ci", "2 tokens have the name 'ci'")):
        result = run(config, "revoke", text)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith(message)
    assert len(json.loads(run(config, "list", "--json").stdout)) == 2


@pytest.mark.parametrize("arguments", [[], ["revoke"], ["revoke", "a", "b"], ["renew"]], ids=" ".join)
def test_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, ["token", *arguments]).exit_code == 2
