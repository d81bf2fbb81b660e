"""The command line: exit statuses, output on stdout and stderr, JSON, colours, and schemas of the example files."""

from __future__ import annotations

import json
import pathlib
import re
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from dnsd.cli import main
from tests.models import account_map, zone_map
from tests.worlds import AccountFiles, World, write_world

CONFIG = pathlib.Path(__file__).parents[3] / "config"
ESCAPE = "\x1b["

RECORDS = [
    {"name": "www", "type": "A", "content": "192.0.2.1", "proxied": True},
    {"name": "dns", "type": "A", "content": "192.0.2.2", "ttl": 60},
]
ACCOUNT = {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}]}
MAPS = {
    "shop": {**zone_map("example.com", "203.0.113.1"), "ips": ["203.0.113.1"]},
    "company": {**account_map("203.0.113.2"), "ips": ["203.0.113.2"]},
}
SETTINGS = {"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.net"]}


def config(folder: pathlib.Path, **zone: Any) -> str:
    files = AccountFiles(ACCOUNT, MAPS, {"example.com.yaml": {"records": RECORDS, **zone}})
    return str(write_world(World(SETTINGS, {"a1": files}), folder))


@pytest.fixture
def good(tmp_path: pathlib.Path) -> str:
    return config(tmp_path)


@pytest.fixture
def doubtful(tmp_path: pathlib.Path) -> str:
    """A configuration with a warning."""
    path = config(tmp_path)
    (tmp_path / "accounts/a1/maps/empty.yaml").write_text(
        "enabled: true\nips: []\nmemberships: [{kind: account, identifier: a1}]\n"
    )
    return path


@pytest.fixture
def broken(tmp_path: pathlib.Path) -> str:
    """A configuration with two errors and a warning."""
    path = config(tmp_path, records=[*RECORDS, {"name": "x", "type": "A", "content": "x"}], paused="perhaps")
    (tmp_path / "accounts/a1/maps/empty.yaml").write_text("memberships: [{kind: account, identifier: a1}]\n")
    return path


def run(*arguments: str, env: dict[str, str] | None = None, color: bool = False) -> Result:
    return CliRunner().invoke(main, arguments, env={"NO_COLOR": None, "DNSD_CONFIG": None, **(env or {})}, color=color)


# check


def test_check_of_valid_files(good: str) -> None:
    result = run("check", "-c", good)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("ok: 1 account, 2 maps, 1 zone, 4 records, ")


def test_check_with_a_warning(doubtful: str) -> None:
    result = run("check", "-c", doubtful)
    assert result.exit_code == 0
    assert re.fullmatch(r"warning: \S+/empty\.yaml:2:1: ips: .*skipped\n", result.stderr)
    assert result.stdout.startswith("ok: ")


def test_check_of_broken_files(broken: str) -> None:
    result = run("check", "-c", broken)
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert [re.sub(r"/\S+/", "", line).split(": ")[:2] for line in lines[:-1]] == [
        ["warning", "empty.yaml:1:1"],
        ["example.com.yaml:4:22", "records[2].content"],
        ["example.com.yaml:5:1", "paused"],
    ]
    assert lines[-1] == "2 errors: the files cannot be served"


def test_check_as_json(good: str) -> None:
    result = run("check", "--json", "-c", good)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"ok": True, "problems": []})


def test_check_of_broken_files_as_json(broken: str) -> None:
    result = run("check", "--json", "-c", broken)
    output = json.loads(result.stdout)
    assert (result.exit_code, output["ok"]) == (1, False)
    assert sorted(problem["severity"] for problem in output["problems"]) == ["error", "error", "warning"]
    [problem] = [problem for problem in output["problems"] if problem["path"] == "records[2].content"]
    assert problem["file"].endswith("accounts/a1/zones/example.com.yaml")
    assert problem["message"] == "'x' is not an IP address"
    lines = pathlib.Path(problem["file"]).read_text().splitlines()
    assert lines[problem["line"] - 1][problem["column"] - 1 :].startswith("content: x")


def test_check_without_a_file(tmp_path: pathlib.Path) -> None:
    result = run("check", "-c", str(tmp_path / "none.yaml"))
    assert result.exit_code == 1
    assert "none.yaml:1:1: cannot be read: No such file or directory" in result.stderr


def test_check_of_the_example_configuration() -> None:
    result = run("check", "-c", str(CONFIG / "dnsd.yaml"))
    assert (result.exit_code, result.stderr) == (0, "")


def test_configuration_named_by_the_environment(good: str) -> None:
    assert run("check", env={"DNSD_CONFIG": good}).exit_code == 0
    assert run("check", env={"DNSD_CONFIG": "/none/dnsd.yaml"}).exit_code == 1
    assert run("check", "-c", good, env={"DNSD_CONFIG": "/none/dnsd.yaml"}).exit_code == 0


def test_environment_overrides_settings(good: str) -> None:
    result = run("check", "-c", good, env={"DNSD_WORKERS": "many"})
    assert result.exit_code == 1
    assert result.stderr.startswith("$DNSD_WORKERS: workers: ")


# explain


def test_explain(good: str) -> None:
    result = run("explain", "www.example.com", "-c", good)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "NOERROR"
    assert "  www.example.com. 300 IN A 203.0.113.1" in lines
    maps = [line for line in lines if "a1/maps/" in line]
    assert ["used" in line for line in maps] == [True, False]
    assert "a1/maps/shop" in maps[0]


def test_explain_as_json(good: str) -> None:
    result = run("explain", "--json", "WWW.example.com", "aaaa", "-c", good)
    output = json.loads(result.stdout)
    assert (result.exit_code, output["rcode"], output["answer"]) == (0, "NOERROR", [])
    [step] = output["names"]
    assert (step["name"], step["node"], step["account"]) == ("www.example.com", "exact", "a1")
    assert [(verdict["map"], verdict["taken"]) for verdict in step["maps"]] == [
        ("a1/maps/shop", True),
        ("a1/maps/company", False),
    ]


def test_explain_shows_no_origin(good: str) -> None:
    for qtype in ("A", "AAAA", "ANY", "HTTPS", "CNAME", "TXT"):
        assert "192.0.2.1" not in run("explain", "www.example.com", qtype, "-c", good).stdout


def test_explain_with_broken_data(broken: str) -> None:
    result = run("explain", "www.example.com", "-c", broken)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "example.com.yaml:" in result.stderr


# Exit status 2: usage

USAGE = {
    "an unknown command": ["serv"],
    "an unknown option": ["check", "--jsn"],
    "no name": ["explain"],
    "an invalid name": ["explain", "a..b"],
    "an unknown type": ["explain", "www.example.com", "AAB"],
    "too many arguments": ["explain", "www.example.com", "A", "B"],
    "an unknown kind of schema": ["schema", "world"],
    "an option without its value": ["check", "-c"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE.keys())
def test_usage(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error: " in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["check", "-h"], ["--version"]], ids=" ".join)
def test_help(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 0


# Colour

COLOUR: dict[str, tuple[bool, dict[str, str], bool]] = {
    "a terminal": (True, {}, True),
    "a pipe": (False, {}, False),
    "a terminal and NO_COLOR": (True, {"NO_COLOR": "1"}, False),
    "a terminal and an empty NO_COLOR": (True, {"NO_COLOR": ""}, True),
}


@pytest.mark.parametrize(("terminal", "env", "colour"), COLOUR.values(), ids=COLOUR.keys())
def test_colour(good: str, terminal: bool, env: dict[str, str], colour: bool) -> None:
    assert (ESCAPE in run("explain", "www.example.com", "-c", good, env=env, color=terminal).stdout) is colour


# schema

KINDS = {
    "settings": "*.yaml",
    "account": "accounts/*/account.yaml",
    "map": "accounts/*/maps/*.yaml",
    "zone": "accounts/*/zones/*.yaml",
}
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def schema(*kind: str) -> dict[str, Any]:
    result = run("schema", *kind)
    assert result.exit_code == 0
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def violations(rule: dict[str, Any], data: Any, root: dict[str, Any], path: str = "$") -> list[str]:
    """The places where data and schema differ; supports only the parts of JSON Schema that our schemas use."""
    if "$ref" in rule:
        return violations(root["$defs"][rule["$ref"].rpartition("/")[2]], data, root, path)
    if "anyOf" in rule and (nearest := min((violations(one, data, root, path) for one in rule["anyOf"]), key=len)):
        return nearest
    expected = TYPES.get(rule.get("type", ""), object)
    if not isinstance(data, expected) or (isinstance(data, bool) and rule.get("type") in ("integer", "number")):
        return [f"{path}: {data!r} is not of the type {rule['type']}"]
    if "const" in rule and data != rule["const"]:
        return [f"{path}: {data!r} is not {rule['const']!r}"]
    if "enum" in rule and data not in rule["enum"]:
        return [f"{path}: {data!r} is not in {rule['enum']}"]
    found = []
    if isinstance(data, dict):
        known = rule.get("properties", {})
        found = [f"{path}.{key}: is missing" for key in rule.get("required", ()) if key not in data]
        for key, value in data.items():
            if key in known:
                found += violations(known[key], value, root, f"{path}.{key}")
            elif rule.get("additionalProperties") is False:
                found.append(f"{path}.{key}: is unknown")
        return found
    if isinstance(data, list):
        return [
            text for i, one in enumerate(data) for text in violations(rule.get("items", {}), one, root, f"{path}[{i}]")
        ]
    return found


FILES = [(kind, file) for kind, pattern in KINDS.items() for file in sorted(CONFIG.glob(pattern))]


@pytest.mark.parametrize(("kind", "file"), FILES, ids=[str(file.relative_to(CONFIG)) for _, file in FILES])
def test_schema_fits_the_example_files(kind: str, file: pathlib.Path) -> None:
    """The files are read as an editor reads them: as plain YAML, not with our reader."""
    rule = schema(kind)
    assert violations(rule, yaml.safe_load(file.read_text(encoding="utf-8")), rule) == []


WRONG: dict[str, tuple[str, Any]] = {
    "an unknown key": ("map", {"enable": True}),
    "a word for a switch": ("map", {"enabled": "perhaps"}),
    "a text for a list": ("map", {"ips": "203.0.113.1"}),
    "a member of another kind": ("map", {"memberships": [{"kind": "zones", "identifier": "a"}]}),
    "a record without content": ("zone", {"records": [{"name": "www", "type": "A"}]}),
    "an unknown status": ("zone", {"status": "activ"}),
    "settings without a default pool": ("settings", {"data": "accounts"}),
    "an unknown limit": ("settings", {"default_addresses": [], "limits": {"rrl": {"slips": 2}}}),
    "an unknown approval": ("account", {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "yes"}]}),
}


@pytest.mark.parametrize(("kind", "data"), WRONG.values(), ids=WRONG.keys())
def test_schema_refuses_wrong_files(kind: str, data: Any) -> None:
    rule = schema(kind)
    assert violations(rule, data, rule) != []


def test_schema_of_all_kinds() -> None:
    everything = schema()
    assert everything["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {one["$ref"].rpartition("/")[2] for one in everything["anyOf"]} == set(KINDS)
    references = set(re.findall(r'"#/\$defs/(\w+)"', json.dumps(everything)))
    assert references <= everything["$defs"].keys()
    for kind in KINDS:
        assert everything["$defs"][kind]["properties"] == schema(kind)["properties"]
