"""mypy --strict and ruff find nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CHECKS = [
    ["mypy", "--strict", "dnsd"],
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
]


@pytest.mark.parametrize("check", CHECKS, ids=" ".join)
def test_checker_finds_nothing(check: list[str]) -> None:
    found = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
