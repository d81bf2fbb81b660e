"""The pinned versions: every dependency is among them, with the hashes of its files, and installed by hash."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FILES = {
    "constraints.txt": [*PROJECT["dependencies"], *EXTRAS["build"], *EXTRAS["fleet"]],
    "constraints-dev.txt": [*PROJECT["dependencies"], *EXTRAS["build"], *EXTRAS["fleet"], *EXTRAS["dev"]],
    "tests/api/cloudflare-4.txt": [],
}
PIN = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[\w.]+)(?: ; [^\\]+)? (?P<hashes>(?:\\\n {4}--hash=sha256:[0-9a-f]{64} ?)+)\n"
)
INSTALLING = ("Makefile", "Dockerfile", "docs/packaging.md")


def pins(name: str) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes by package; the whole file consists of pins."""
    text = "".join(line for line in (ROOT / name).read_text().splitlines(keepends=True) if not line.startswith("#"))
    assert PIN.sub("", text).strip() == "", "a line without a version or a hash"
    return {
        canonicalize_name(one["name"]): (one["version"], set(re.findall(r"sha256:\w+", one["hashes"])))
        for one in PIN.finditer(text)
    }


@pytest.mark.parametrize("name", FILES)
def test_every_dependency_is_pinned_at_an_allowed_version(name: str) -> None:
    found = pins(name)
    assert found
    for text in FILES[name]:
        wanted = Requirement(text)
        pinned, hashes = found[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(pinned), f"{text}: run `make lock`"
        assert hashes


def test_development_has_the_same_versions_and_more() -> None:
    assert pins("constraints.txt").items() <= pins("constraints-dev.txt").items()


def test_pinned_versions_are_those_that_the_tests_run_with() -> None:
    found = pins("constraints-dev.txt")
    del found["setuptools"]  # only builds
    installed = {canonicalize_name(one.name) for one in distributions()}
    wrong = {name: pinned for name, (pinned, _) in found.items() if name in installed and version(name) != pinned}
    assert wrong == {}, "run `make .venv/.test`"
    assert len(installed.intersection(found)) > len(found) / 2


@pytest.mark.parametrize("name", INSTALLING)
def test_packages_are_installed_by_hash_alone(name: str) -> None:
    text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text())
    lines = [
        line
        for line in text.splitlines()
        if re.search(r"(?:pip|\$\(PIP\)) (?:install )?.*(?:-r|--requirement|\.$|/src$)", line)
    ]
    commands = [part for line in lines for part in line.split("&&") if "install" in part or "$(PIP)" in part]
    assert commands
    for command in commands:
        by_hash = "--require-hashes" in command and "--requirement" in command
        alone = "--no-deps" in command and "--no-build-isolation" in command
        assert by_hash or alone, command
