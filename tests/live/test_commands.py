"""Operators' commands for a running server: reload, status, completion; its log; changes of settings."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import dns.edns
import dns.message
import pytest
import yaml

from tests.limits import HANG_S
from tests.live.forked import run
from tests.live.server import PROJECT, Dnsd
from tests.packets import answers, opt, query
from tests.worlds import AccountFiles, World, as_yaml, write_world

ZONE = "accounts/a1/zones/example.com.yaml"
DNS = query("dns.example.com")
CLIENT_COOKIE = bytes.fromhex("000a 0008 0102030405060708")
WITH_COOKIE = query("dns.example.com", after=opt(options=CLIENT_COOKIE))


def config(folder: pathlib.Path, **settings: Any) -> pathlib.Path:
    files = AccountFiles(zones={"example.com.yaml": zone("192.0.2.2")})
    given = {"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.net"], "workers": 2, **settings}
    return write_world(World({**given, "metrics": {"listen": "127.0.0.1:0"}}, {"a1": files}), folder)


def zone(ip: str) -> dict[str, Any]:
    return {"records": [{"name": "dns", "type": "A", "content": ip}]}


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Dnsd]:
    """A server that refuses files with errors (`on_error: refuse`); tests/api/test_held.py covers held accounts."""
    with Dnsd(config(tmp_path, reload={"watch": False}, on_error="refuse")) as running:
        yield running


# dnsd reload


def test_reload_returns_when_every_worker_serves_it(server: Dnsd, tmp_path: pathlib.Path) -> None:
    (tmp_path / ZONE).write_text(as_yaml(zone("192.0.2.3")))
    done = run("reload", "-c", str(tmp_path / "dnsd.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"revision 2 is served, after \d+\.\d\d s\n", done.stdout)
    assert {answers(server.udp(DNS))[0] for _ in range(20)} == {"192.0.2.3"}  # from many sockets, so from both workers


def test_reload_refuses_broken_files(server: Dnsd, tmp_path: pathlib.Path) -> None:
    (tmp_path / ZONE).write_text(as_yaml(zone("192.0.2.256")))
    done = run("reload", "-c", str(tmp_path / "dnsd.yaml"))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(rf"{re.escape(str(tmp_path / ZONE))}:\d+:\d+: records\[0\]\.content: ", done.stderr)
    assert done.stderr.endswith("refused; still serving revision 1\n")
    shown = json.loads(run("reload", "--json", "-c", str(tmp_path / "dnsd.yaml")).stdout)
    assert (shown["ok"], shown["revision"], shown["late"]) == (False, 1, [])
    problem = shown["problems"][0]
    assert (problem["file"], problem["path"], problem["severity"]) == (
        str(tmp_path / ZONE),
        "records[0].content",
        "error",
    )
    assert isinstance(problem["line"], int)
    assert answers(server.udp(DNS)) == ["192.0.2.2"]


def test_reload_drops_many_records_only_with_force(server: Dnsd, tmp_path: pathlib.Path) -> None:
    (tmp_path / ZONE).unlink()
    refused = run("reload", "-c", str(tmp_path / "dnsd.yaml"))
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    assert answers(server.udp(DNS)) == ["192.0.2.2"]
    assert run("reload", "--force", "-c", str(tmp_path / "dnsd.yaml")).returncode == 0
    assert answers(server.udp(DNS)) == []


@pytest.mark.parametrize("command", ["reload", "status"])
def test_server_not_running(tmp_path: pathlib.Path, command: str) -> None:
    done = run(command, "-c", str(config(tmp_path)))
    assert (done.returncode, done.stdout) == (3, "")
    assert f"no server can be reached in {tmp_path / 'state'}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["reload", "status"])
def test_missing_configuration(tmp_path: pathlib.Path, command: str) -> None:
    done = run(command, "-c", str(tmp_path / "none.yaml"))
    assert done.returncode == 1
    assert "none.yaml:1:1: cannot be read" in done.stderr


def test_commands_find_a_server_with_broken_settings(server: Dnsd, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dnsd.yaml"
    path.write_text(path.read_text() + "workers: 0\n" if "workers" not in path.read_text() else "workers: 0\n")
    done = run("reload", "-c", str(path))
    assert done.returncode == 1
    assert re.search(r"dnsd\.yaml:1:\d+: workers: expected auto, or a number from 1 to 1024, found '0'", done.stderr)
    assert run("status", "-c", str(path)).returncode == 0


# dnsd status


def test_status_as_a_table(server: Dnsd, tmp_path: pathlib.Path) -> None:
    server.udp(DNS)
    done = run("status", "-c", str(tmp_path / "dnsd.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"dnsd \S+, ready, up .+, revision 1", lines[0])
    assert f"  listening {server.host}:{server.port}" in lines
    assert any(line.startswith("  source    good, read ") for line in lines)
    assert any(re.match(r"  data      1 zones, \d+ names, \d+ records, 0 maps", line) for line in lines)
    head = next(line.split() for line in lines if line.startswith("  process "))
    rows = [dict(zip(head, line.split(), strict=False)) for line in lines[lines.index("") + 2 :]]
    assert [row["process"] for row in rows] == ["worker-0", "worker-1", "control", "supervisor"]
    assert "\x1b" not in done.stdout  # no colours in a pipe


def test_status_as_json(server: Dnsd, tmp_path: pathlib.Path) -> None:
    for _ in range(7):
        server.udp(DNS)
    shown = json.loads(run("status", "--json", "-c", str(tmp_path / "dnsd.yaml")).stdout)
    assert (shown["revision"], shown["ready"], shown["reasons"]) == (1, True, [])
    assert shown["listening"] == [f"{server.host}:{server.port}"]
    assert (shown["data"]["zones"], shown["data"]["maps"]) == (1, 0)
    assert (shown["traffic"]["requests"], shown["traffic"]["responses"], shown["traffic"]["dropped"]) == (7, 7, 0)
    processes = {one["process"]: one for one in shown["processes"]}
    assert processes["supervisor"]["pid"] == server.process.pid
    assert all(one["resident_bytes"] > 1_000_000 and one["threads"] >= 1 for one in processes.values())


def test_status_says_why_it_is_not_ready(server: Dnsd, tmp_path: pathlib.Path) -> None:
    (tmp_path / ZONE).write_text("records: [")
    assert run("reload", "-c", str(tmp_path / "dnsd.yaml")).returncode == 1
    done = run("status", "-c", str(tmp_path / "dnsd.yaml"))
    assert done.returncode == 0
    assert ", not ready, " in done.stdout
    assert f"the last reload was refused: 1 error, the first is {tmp_path / ZONE}:" in done.stdout.replace(
        "1 errors", "1 error"
    )


# dnsd completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script(shell: str) -> None:
    done = run("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_DNSD_COMPLETE" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True, timeout=HANG_S)


def test_completion_offers_commands_and_options() -> None:
    for words, expected in {"dnsd rel": "plain,reload", "dnsd reload --f": "plain,--force"}.items():
        env = {"_DNSD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        program = "import sys; sys.argv[0] = 'dnsd'; from dnsd.cli import main; main(prog_name='dnsd')"
        done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, env=env, capture_output=True, text=True)
        assert done.stdout.splitlines() == [expected]


def test_completion_of_an_unknown_shell() -> None:
    assert run("completion", "tcsh").returncode == 2


# The log


def test_json_log_is_json(tmp_path: pathlib.Path) -> None:
    log = {"format": "json", "level": "debug"}
    path = config(tmp_path, log=log, query_log={"sample": 1}, on_error="refuse")
    with Dnsd(path) as server:
        server.udp(DNS)
        server.tcp(query("none.example.com", "AAAA"))
        (tmp_path / ZONE).write_text("records: [")
        wait_for(lambda: "reload refused" in server.stderr.text(), server.stderr.text)
        lines = [json.loads(line) for line in server.stderr.text().splitlines()]
    for line in lines:
        assert line.keys() >= {"time", "level", "process", "event"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
        assert line["level"] in ("debug", "info", "warning", "error")
    queries = [
        {key: line[key] for key in ("client", "protocol", "name", "type", "rcode")}
        for line in lines
        if line["event"] == "query"
    ]
    assert queries == [
        {"client": "127.0.0.1", "protocol": "udp", "name": "dns.example.com", "type": "A", "rcode": "NOERROR"},
        {"client": "127.0.0.1", "protocol": "tcp", "name": "none.example.com", "type": "AAAA", "rcode": "NXDOMAIN"},
    ]
    assert {line["process"] for line in lines} >= {"control"}


def test_query_log_is_a_sample(tmp_path: pathlib.Path) -> None:
    with Dnsd(config(tmp_path, query_log={"sample": 0.3})) as server, Client(server) as client:
        for _ in range(1000):
            client.ask(DNS)
        wait_for(lambda: len(query_lines(server)) > 200, server.stderr.text)
        time.sleep(0.1)
        assert len(query_lines(server)) < 400
        assert query_lines(server)[0] == "query client=127.0.0.1 protocol=udp name=dns.example.com type=A rcode=NOERROR"


def query_lines(server: Dnsd) -> list[str]:
    return [line for line in server.stderr.text().splitlines() if line.startswith("query ")]


def test_log_level_leaves_lines_out(tmp_path: pathlib.Path) -> None:
    with Dnsd(config(tmp_path, log={"level": "error"}, query_log={"sample": 1})) as server:
        server.udp(DNS)
        server.process.terminate()
        assert server.process.wait(HANG_S) == 0
        # On a busy machine, control may be killed at the end: an error, which the level shows.
        others = ("runs as root", "did not end in time")
        said = [line for line in server.stderr.text().splitlines() if not any(words in line for words in others)]
        assert said == []


# Settings changed while the server runs


class Client:
    """A client with one socket, and so always the same worker."""

    def __init__(self, server: Dnsd) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(1.0)
        self._socket.connect((server.host, server.port))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def ask(self, message: bytes) -> bytes | None:
        self._socket.send(message)
        try:
            return self._socket.recv(65_535)
        except TimeoutError:
            return None


def change(server: Dnsd, folder: pathlib.Path, **settings: Any) -> None:
    """Change the settings and reload."""
    path = folder / "dnsd.yaml"
    path.write_text(as_yaml({**yaml.safe_load(path.read_text()), **settings}))
    done = run("reload", "-c", str(path))
    assert done.returncode == 0, done.stderr


def has_cookie(reply: bytes) -> bool:
    return any(option.otype == dns.edns.OptionType.COOKIE for option in dns.message.from_wire(reply).options)


def test_limits_change_at_a_reload(server: Dnsd, tmp_path: pathlib.Path) -> None:
    with Client(server) as client:
        assert all(client.ask(DNS) for _ in range(50))
        assert has_cookie(client.ask(WITH_COOKIE) or b"")
        limit = {"responses_per_second": 5, "slip": 0, "exempt": []}
        change(server, tmp_path, limits={"rrl": limit, "cookies": {"enabled": False}}, query_log={"sample": 1})
        assert not has_cookie(client.ask(WITH_COOKIE) or b"")
        found = [client.ask(query(f"n{number}.example.com")) for number in range(8)]
        assert None in found
        wait_for(lambda: len(query_lines(server)) >= 8, server.stderr.text)
        change(server, tmp_path, limits={"rrl": {**limit, "slip": 1}}, query_log={"sample": 0})
        slipped = [client.ask(query(f"m{number}.example.com")) or b"" for number in range(12)]
        assert sum(bool(reply[2] & 2) for reply in slipped) >= 2  # TC
        change(server, tmp_path, limits={"rrl": {**limit, "log_only": True}})
        assert all(client.ask(query(f"k{number}.example.com")) for number in range(12))
        wait_for(lambda: re.search(r"rate limit: .*logged", server.stderr.text()) is not None, server.stderr.text)
        change(server, tmp_path, limits={"rrl": {"responses_per_second": 0}})
        assert all(client.ask(DNS) for _ in range(50))


def test_tcp_limits_change_at_a_reload(server: Dnsd, tmp_path: pathlib.Path) -> None:
    change(server, tmp_path, limits={"tcp": {"first_byte_s": 0.5, "per_client": 1}})
    wait_for(lambda: bool(server.tcp(DNS)))
    with (
        socket.create_connection((server.host, server.port), HANG_S) as silent,
        socket.create_connection((server.host, server.port), HANG_S) as second,
    ):
        assert silent.recv(1) == b""  # the second has its place, whichever worker it meets
        assert second.recv(1) == b""


def test_log_format_changes_at_a_reload(server: Dnsd, tmp_path: pathlib.Path) -> None:
    seen = server.stderr.count()
    change(server, tmp_path, log={"format": "json"})
    wait_for(lambda: '"event": "reloaded: revision 2' in server.stderr.since(seen), server.stderr.text)


NEEDS_START = {
    "workers": 1,
    "metrics": {"listen": "127.0.0.2:0"},
    "state": "elsewhere",
    "listen": ["127.0.0.2:0"],
    "group": "nogroup",
}


def test_settings_that_require_a_restart_are_reported(server: Dnsd, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "dnsd.yaml"
    settings = {**yaml.safe_load(path.read_text()), **NEEDS_START}
    path.write_text(as_yaml({**settings, "state": "state"}))  # commands find the server there
    assert run("reload", "-c", str(path)).returncode == 0
    for name in NEEDS_START.keys() - {"state"}:
        key = "metrics.listen" if name == "metrics" else name
        assert f"{key}: the change takes effect after a restart" in server.stderr.text()
    assert answers(server.udp(DNS)) == ["192.0.2.2"]


# Two servers


def test_second_server_of_a_configuration_keeps_its_state_elsewhere(server: Dnsd, tmp_path: pathlib.Path) -> None:
    with Dnsd(tmp_path / "dnsd.yaml") as second:
        said = re.search(r"state: .* is in use by another server, .* keeps its state in (\S+),", second.stderr.text())
        assert said, second.stderr.text()
        folder = pathlib.Path(said[1])
        assert (folder / "snapshot").exists()
        assert answers(second.udp(DNS)) == answers(server.udp(DNS)) == ["192.0.2.2"]
        shown = json.loads(run("status", "--json", "-c", str(tmp_path / "dnsd.yaml")).stdout)
        assert shown["listening"] == [f"{server.host}:{server.port}"]  # commands connect to the first server
    assert not folder.exists()
    assert run("status", "-c", str(tmp_path / "dnsd.yaml")).returncode == 0


def test_killed_second_server_leaves_no_state_for_long(server: Dnsd, tmp_path: pathlib.Path) -> None:
    found = []
    for _ in range(2):
        with Dnsd(tmp_path / "dnsd.yaml", env={"TMPDIR": str(tmp_path)}) as second:
            found.append([one for one in tmp_path.iterdir() if one.name.startswith("dnsd-state-")])
            second.process.kill()
            second.process.wait(HANG_S)
    assert [len(folders) for folders in found] == [1, 1]  # the second start has removed the first's
    assert found[0] != found[1]


# Settings out of range

OUT_OF_RANGE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "a rate below 0": ({"limits": {"rrl": {"responses_per_second": -1}}}, "limits.rrl.responses_per_second", "-1", "0"),
    "a slip over 10": ({"limits": {"rrl": {"slip": 11}}}, "limits.rrl.slip", "11", "10"),
    "a prefix over 32": ({"limits": {"rrl": {"ipv4_prefix": 33}}}, "limits.rrl.ipv4_prefix", "33", "32"),
    "a prefix of 0": ({"limits": {"rrl": {"ipv6_prefix": 0}}}, "limits.rrl.ipv6_prefix", "0", "1"),
    "a small table": ({"limits": {"rrl": {"table_size": 10}}}, "limits.rrl.table_size", "10", "1000"),
    "no connections": ({"limits": {"tcp": {"connections": 0}}}, "limits.tcp.connections", "0", "1"),
    "a zero time": ({"limits": {"tcp": {"idle_s": 0}}}, "limits.tcp.idle_s", "0", "0.1"),
    "endless time": ({"limits": {"tcp": {"first_byte_s": 1e9}}}, "limits.tcp.first_byte_s", "1000000000", "3600"),
    "a share over 1": ({"query_log": {"sample": 1.5}}, "query_log.sample", "1.5", "1"),
    "a percentage over 100": ({"reload": {"max_drop_percent": 101}}, "reload.max_drop_percent", "101", "100"),
    "no workers": ({"workers": 0}, "workers", "0", "1024"),
    "an unknown level": ({"log": {"level": "loud"}}, "log.level", "loud", "debug"),
}


@pytest.mark.parametrize("what", OUT_OF_RANGE)
def test_setting_out_of_range_is_refused_with_its_name_value_and_range(tmp_path: pathlib.Path, what: str) -> None:
    settings, name, value, limit = OUT_OF_RANGE[what]
    path = config(tmp_path, **settings)
    done = run("check", "-c", str(path))
    assert done.returncode == 1
    line = done.stderr.splitlines()[0]
    assert re.match(rf"{re.escape(str(path))}:\d+:\d+: {re.escape(name)}: ", line), line
    said = line.partition(f"{name}: ")[2].replace(",", "")
    assert value in said, line
    assert re.search(rf"(?<![\d.]){re.escape(limit)}(?![\d.]\d)", said), line


def wait_for(condition: Callable[[], bool], said: Callable[[], str] = str, timeout_s: float = HANG_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.01)
