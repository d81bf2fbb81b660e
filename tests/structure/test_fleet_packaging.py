"""The packaging of a fleet: containers and units agree with the image, the settings and docs/fleet.md."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dnsd.fleet.access import is_control
from dnsd.fleet.identity import load_identity
from dnsd.fleet.jwt import parse_jwt
from dnsd.settings.file import load_settings
from dnsd.settings.role import Role
from dnsd.settings.server import Settings
from tests.limits import HANG_S
from tests.structure.test_packaging import ROOT, SYSTEMD, image_environment, instructions, need, run, unit

FILE = "docker-compose.fleet.yml"
COMPOSE = yaml.safe_load((ROOT / FILE).read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONCE = ("init", "import")
SERVERS, EDGES = ("n1", "n2", "n3"), ("pop-1", "pop-2")
NODES = (*SERVERS, "control", *EDGES)
GUIDE = (ROOT / "docs" / "fleet.md").read_text()
PINNED = re.compile(r"nats:(\d+)\.(\d+)\.(\d+)-alpine@sha256:[0-9a-f]{64}")
MAX_EXPOSURE = {"nats-server": 1.3, "dnsd-edge": 1.6}  # out of 10, by systemd 252; the first is stated in docs/fleet.md
OF_THE_EDGE = {"Description", "Conflicts", "ExecStartPre"}  # keys that its unit has in addition, or otherwise


def settings_of(name: str) -> Settings:
    environment = image_environment() | SERVICES[name]["environment"]
    file = ROOT / environment["DNSD_CONFIG"].removeprefix("/")
    return load_settings(file, environment).settings


def volumes_of(name: str) -> dict[str, str]:
    """The sources of a service's volumes by their places."""
    pairs = [volume.split(":")[:2] for volume in SERVICES[name]["volumes"]]
    return {place: source for source, place in pairs}


# docker-compose.fleet.yml


def test_compose_accepts_the_file() -> None:
    if shutil.which("docker") and run("docker", "compose", "version").returncode == 0:
        checked = run("docker", "compose", "-f", FILE, "config", "--quiet")
    else:
        checked = run(need("docker-compose"), "-f", FILE, "config", "--quiet")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined_to_its_volumes_and_to_loopback(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN", "DAC_OVERRIDE"] if name == "init" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    user = instructions("USER")[-1]
    assert service.get("user", user) == ("0:0" if name == "init" else user)
    for volume in service["volumes"]:
        source, _, options = volume.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), volume
            assert options.endswith(":ro"), volume
        else:
            assert source in COMPOSE["volumes"], volume


def test_each_node_has_an_identity_and_a_state_of_its_own() -> None:
    given = [source for name in NODES for source in volumes_of(name).values() if not source.startswith(".")]
    assert len(set(given)) == len(given)
    made = {source for place, source in volumes_of("init").items() if place.startswith("/nodes/")}
    assert made == {*SERVERS, *(volumes_of(name)["/identity"] for name in ("control", *EDGES))}
    assert [name for name in SERVICES if "keys" in volumes_of(name).values()] == ["init"]
    assert volumes_of("import") == volumes_of("control")


@pytest.mark.parametrize("name", NODES)
def test_node_is_pinned_and_waits_for_keys_and_accounts(name: str) -> None:
    service = SERVICES[name]
    before = "init" if name in SERVERS else "import"
    assert service["depends_on"] == {before: {"condition": "service_completed_successfully"}}
    if name not in SERVERS:
        assert service["build"] == "."
        return
    pinned = PINNED.fullmatch(service["image"])
    assert pinned
    assert tuple(map(int, pinned.groups())) >= (2, 12, 8)
    assert service["healthcheck"]["test"] == ["CMD", "nc", "-z", name, "4222"]
    assert SERVICES["import"]["depends_on"][name] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", ["import", "control", *EDGES])
def test_settings_are_valid_and_answer_alike(name: str) -> None:
    found = settings_of(name)
    assert found.role is (Role.EDGE if name in EDGES else Role.CONTROL)
    assert (found.api is None) == (name in EDGES)
    assert found.fleet
    assert found.fleet.servers == tuple(f"tls://{server}:4222" for server in SERVERS)
    assert found.fleet.identity in volumes_of(name)
    assert found.state in volumes_of(name)
    usual = load_settings(ROOT / "config" / "dnsd.yaml", {}).settings
    for key in ("default_addresses", "nameservers", "missing_family"):
        assert getattr(found, key) == getattr(usual, key), key


def script_of(name: str, folder: Path, program: Path) -> subprocess.CompletedProcess[str]:
    """Run the script of a one-shot service with its volumes below a folder."""
    for place in volumes_of(name):
        (folder / place.removeprefix("/")).mkdir(parents=True, exist_ok=True)
    (text,) = SERVICES[name]["command"]
    text = re.sub(r"(?<![\w}*])/(keys|nodes|state)\b", rf"{folder}/\1", text.replace("$$", "$"))
    text = text.replace("chown -R 10053:10053", "ls -d")  # for which one must be root
    shell, *options = SERVICES[name]["entrypoint"]
    path = f"{program}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    command = [shell, *options, text]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=HANG_S)


def test_init_makes_the_keys_once_and_new_papers_each_time(tmp_path: Path) -> None:
    folders = {name: tmp_path / "nodes" / name for name in NODES}
    seen = []
    for _ in range(2):
        done = script_of("init", tmp_path, Path(sys.executable).parent)
        assert done.returncode == 0, done.stderr
        seen.append({str(file): file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()})
    first, second = seen
    assert first.keys() == second.keys()
    changed = {Path(file).name for file, octets in first.items() if second[file] != octets}
    assert changed - {"user.jwt"} == {"cert.pem", "issuer.pem"}  # a JWT is the same if made in the same second
    for file in second:
        assert stat.S_IMODE(os.stat(file).st_mode) & 0o077 == 0, file
    for name, folder in folders.items():
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        if name in SERVERS:
            assert f'listen: "{name}:4222"' in (folder / "nats.conf").read_text()
            continue
        identity = load_identity(folder)
        assert identity.name == name
        assert is_control(parse_jwt(identity.jwt)["nats"]) == (name == "control")
    keys = [first[str(folder / "key.pem")] for folder in folders.values()]
    assert len(set(keys)) == len(NODES)


def test_accounts_are_imported_once(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "dnsd"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/calls\nexit $(cat {tmp_path}/status)\n')
    program.chmod(0o755)
    for status, calls in ((1, 1), (0, 2), (0, 2), (1, 2)):  # it failed, was repeated, and never again
        (tmp_path / "status").write_text(str(status))
        done = script_of("import", tmp_path, program.parent)
        assert done.returncode == (status if calls == 1 else 0)
        assert (tmp_path / "calls").read_text() == "fleet import /config/accounts\n" * calls


# systemd


def test_the_edge_is_confined_like_the_server() -> None:
    usual, edge = set(unit("dnsd.service")), set(unit("dnsd-edge.service"))
    assert {key for key, _ in usual ^ edge} == OF_THE_EDGE
    assert dict(edge)["Conflicts"] == "dnsd.service"


def test_root_follows_no_link_in_the_folder_of_the_edge(tmp_path: Path) -> None:
    """The folder is the service's user's, who may put a link in it before the next start."""
    steps = [value for key, value in unit("dnsd-edge.service") if key == "ExecStartPre"]
    state, other = tmp_path / "state", tmp_path / "other"
    for folder in (state, other):
        folder.mkdir()
        (folder / "file").touch(mode=0o644)
    (state / "identity").symlink_to(other)
    before = [(one.stat().st_mode, one.stat().st_uid) for one in (other, other / "file")]
    if os.geteuid() == 0:
        os.chown(state, 65_534, 65_534)
    as_root = [step.removeprefix("+").replace("/var/lib/dnsd", str(state)) for step in steps if step.startswith("+")]
    assert len(as_root) == 1
    for step in as_root:
        subprocess.run(step.split(), check=True)
    assert [(one.stat().st_mode, one.stat().st_uid) for one in (other, other / "file")] == before
    assert (state / "identity").lstat().st_uid == state.stat().st_uid


def test_nats_server_runs_in_its_folder_and_reloads() -> None:
    service = dict(unit("nats-server.service"))
    folder = f"/var/lib/{service['StateDirectory']}"
    assert service["WorkingDirectory"] == folder  # paths in nats.conf are relative
    assert service["ExecStart"].endswith(" -c nats.conf")
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert (service["DynamicUser"], service["Restart"], service["CapabilityBoundingSet"]) == ("yes", "always", "")
    assert folder in GUIDE


@pytest.mark.parametrize("name", MAX_EXPOSURE)
def test_systemd_accepts_the_units_and_finds_little_exposed(name: str, tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    text = (SYSTEMD / f"{name}.service").read_text()
    file = tmp_path / f"{name}.service"
    file.write_text(re.sub(r"/opt/dnsd/bin/dnsd|/usr/local/bin/nats-server", shutil.which("true") or "/bin/true", text))
    verified = run(analyze, "verify", "--man=no", str(file))
    assert verified.returncode == 0, verified.stderr
    assert name not in verified.stderr  # warnings about unknown keys
    threshold = round(10 * MAX_EXPOSURE[name])
    weighed = run(analyze, "security", "--offline=true", "--no-pager", f"--threshold={threshold}", str(file))
    assert weighed.returncode == 0, weighed.stdout + weighed.stderr


# docs/fleet.md


def test_files_and_exposure_in_the_guide_are_right() -> None:
    for name in re.findall(r"\b(?:config|docs)/[\w./-]+\w|[\w.-]+\.yml", GUIDE):
        assert (ROOT / name).exists(), name
    assert f"rates nats-server {MAX_EXPOSURE['nats-server']} of 10" in GUIDE
    names = re.findall(r"docker compose -f (\S+) (?:exec (\S+))?", GUIDE)
    assert {file for file, _ in names} == {FILE}
    assert {service for _, service in names} - {""} <= SERVICES.keys()
