"""Cloudflare's older Python client, 4.x: the same tests, in their own process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLDER = ROOT / ".venv" / "cloudflare-4"  # where `make test` puts it


def run(*arguments: str) -> str:
    """The output of a Python process that imports the older client."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(OLDER)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_older_sdk_runs_the_whole_contract() -> None:
    if not OLDER.is_dir():
        run("-m", "pip", "install", "-q", "--no-deps", "--target", str(OLDER), "cloudflare==4.3.1")
    assert run("-c", "import cloudflare; print(cloudflare.__version__)").startswith("4.")
    said = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/api/test_sdk.py")
    assert re.search(r"[5-9] passed", said)
