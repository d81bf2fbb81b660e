"""Every command and every block of README.md works as described."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import dns.message
import pytest

from dnsd.app import load
from dnsd.errors import InvalidDataError
from tests.limits import HANG_S
from tests.live.server import Dnsd

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
FREE_PORTS = {"DNSD_LISTEN": "127.0.0.1:0", "DNSD_API__LISTEN": "127.0.0.1:0"}
LARGE = (  # the largest packages for tests, and those that need them
    *("axe-playwright-python", "cloudflare", "graphql-core", "hypothesis-graphql", "jsonschema-rs", "mypy"),
    *("octodns", "octodns-cloudflare", "playwright", "ruff", "schemathesis"),
)
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "*.egg-info", ".hypothesis")


def blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "console", "yaml", "text"}


EXAMPLES = [
    (command, output)
    for block in blocks("console")
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
]


@pytest.fixture(scope="module")
def port() -> object:
    with Dnsd(ROOT / "config" / "dnsd.yaml", env=FREE_PORTS) as server:
        yield server.port


@pytest.mark.parametrize(("command", "output"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_example(command: str, output: str, port: int) -> None:
    words = shlex.split(command)
    if words[0] == "dnsd":
        words[:1] = [sys.executable, "-m", "dnsd"]
    elif shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed (package bind9-dnsutils)")
    words = [str(port) if word == "5300" else word for word in words]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output


def test_commands_over_http_work_as_described(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config", ignore=shutil.ignore_patterns("state"))
    config = tmp_path / "config" / "dnsd.yaml"
    with Dnsd(config, env=FREE_PORTS) as server:
        api = re.search(r"listening on (\S+) api", server.stdout.text())
        assert api
        env = {**os.environ, "DNSD_CONFIG": str(config), "DNSD_API_URL": f"http://{api[1]}", "PYTHONPATH": str(ROOT)}
        lines = blocks("sh")[1].splitlines()
        assert len(lines) == 4
        for line in lines:
            words = [sys.executable, "-m", "dnsd", *shlex.split(line, comments=True)[1:]]
            done = subprocess.run(
                words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=HANG_S, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            assert done.stdout


def write_files(folder: Path) -> Path:
    """Write the YAML blocks to the files named in their first lines."""
    for text in blocks("yaml"):
        name = re.match(r"# (\S+)\n", text)
        assert name, f"the block does not name its file:\n{text}"
        path = folder / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "dnsd.yaml"


def test_yaml_blocks_are_a_configuration(tmp_path: Path) -> None:
    loaded = load(write_files(tmp_path), {})
    assert not loaded.warnings
    assert len(loaded.dataset.zones) == len(loaded.dataset.maps) == 1


def test_problems_are_printed_as_shown(tmp_path: Path) -> None:
    config = write_files(tmp_path / "config")
    broken = {
        "maps/shop.yaml": ("2001:db8:100::10", "2001:db8:999::10"),
        "zones/example.com.yaml": ("proxied", "proxyed"),
    }
    for name, (old, new) in broken.items():
        path = config.parent / "accounts/acme" / name
        path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InvalidDataError) as caught:
        load(config, {})
    printed = [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]
    assert printed == blocks("text")[0].splitlines()


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_two_commands_work_twice(tmp_path: Path) -> None:
    """On a copy without any installed packages, so it takes as long as pip: without the large ones for other tests."""
    commands = re.findall(r"^(make \w+)", blocks("sh")[0], re.MULTILINE)
    assert commands == ["make serve", "make test"]
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    pins = (ROOT / "constraints-dev.txt").read_text()
    fewer, dropped = re.subn(rf"^(?:{'|'.join(LARGE)})==.*\n(?: .*\n)*", "", pins, flags=re.MULTILINE)
    assert dropped == len(LARGE)
    (copy / "constraints-dev.txt").write_text(fewer)
    env = FREE_PORTS | {"PYTHON": sys.executable, "PIP_NO_COMPILE": "1"}
    query = dns.message.make_query("www.example.com", "A")
    for attempt in ("first", "second"):
        with Dnsd(
            copy / "config/dnsd.yaml", command=["make", "serve"], cwd=copy, env=env, ready_timeout_s=600
        ) as server:
            answer = dns.message.from_wire(server.udp(query.to_wire())).answer[0]
            assert [str(rdata) for rdata in answer] == ["203.0.113.10", "203.0.113.11"]
        done = subprocess.run(
            ["make", "test", "TESTS=tests/unit/wire/test_framing.py"],
            cwd=copy, env={**os.environ, **env}, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("==> installing" in done.stdout) == (attempt == "first")
        assert " passed" in done.stdout
