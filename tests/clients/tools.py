"""Clients written in Go, built once from pinned sources into `.venv/clients`.

OpenTofu, Pebble and lego are Go modules. The tags of Cloudflare's provider are not versions of its module, so Go cannot
fetch it: it is built from a checkout, which DNSD_PROVIDER_SOURCE names, or which is cloned here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).parents[2] / ".venv" / "clients"
BUILD_S = 7200.0  # the provider has some hundred packages


class GoModule(NamedTuple):
    """A version of a Go module, and its main package."""

    path: str
    version: str
    main: str


MODULES = {
    "tofu": GoModule("github.com/opentofu/opentofu", "v1.12.6", "./cmd/tofu"),
    "pebble": GoModule("github.com/letsencrypt/pebble/v2", "v2.10.3", "./cmd/pebble"),
    "lego": GoModule("github.com/go-acme/lego/v4", "v4.33.0", "./cmd/lego"),
}
PROVIDER = "terraform-provider-cloudflare"
PROVIDER_REPOSITORY = "https://github.com/cloudflare/terraform-provider-cloudflare"
PROVIDER_TAG = "v5.22.0"
PROVIDER_SOURCE = "DNSD_PROVIDER_SOURCE"  # a checkout of the repository at that tag


class MissingClientError(Exception):
    """A client cannot be built; the message has the reason."""


def tool(name: str) -> Path:
    """The path of a client, built if it is missing. Skips the test, with the reason, if it cannot be built."""
    built = _built(name)
    if isinstance(built, str):
        pytest.skip(built)
    return built


@cache
def _built(name: str) -> Path | str:
    """The path of a client, or the reason why it is missing: one attempt for all tests."""
    path = FOLDER / name
    try:
        if not path.exists():
            _need("go")  # before anything is fetched
            FOLDER.mkdir(parents=True, exist_ok=True)
            folder, package = (_provider_source(), ".") if name == PROVIDER else (source(name), MODULES[name].main)
            _run("go", "build", "-trimpath", "-o", str(path), package, cwd=folder)
    except MissingClientError as error:
        return f"{name}: {error}"
    return path


def source(name: str) -> Path:
    """The folder with a module's source. Raises MissingClientError."""
    module = MODULES[name]
    said = _run("go", "mod", "download", "-json", f"{module.path}@{module.version}")
    return Path(json.loads(said)["Dir"])


def _provider_source() -> Path:
    """A checkout of Cloudflare's provider. Raises MissingClientError."""
    if given := os.environ.get(PROVIDER_SOURCE):
        if not (Path(given) / "go.mod").is_file():
            raise MissingClientError(f"{PROVIDER_SOURCE} is {given}, which is not a checkout of {PROVIDER_REPOSITORY}")
        return Path(given)
    folder = FOLDER / f"{PROVIDER}-{PROVIDER_TAG}"
    if not folder.is_dir():
        _run("git", "clone", "-q", "--depth", "1", "--branch", PROVIDER_TAG, PROVIDER_REPOSITORY, str(folder))
    return folder


def _run(*command: str, cwd: Path | None = None) -> str:
    """The output of a command that fetches or builds. Raises MissingClientError with the end of its errors."""
    _need(command[0])
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=BUILD_S)
    if done.returncode:
        raise MissingClientError(f"`{' '.join(command[:3])}` failed: {done.stderr.strip()[-300:]}")
    return done.stdout


def _need(command: str) -> None:
    """Raise MissingClientError if a command is not installed."""
    if shutil.which(command) is None:
        raise MissingClientError(f"{command} is not installed")
