"""A client of the API of a server in a benchmark."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import httpx

from bench.peers import ROOT, FailedError, Server

WITHIN_S = 120.0
LISTENS = re.compile(rb"listening on (\S+) api")


def api_of(server: Server) -> httpx.Client:
    """A client with a new token. Raises FailedError."""
    found = LISTENS.search(server.log.read_bytes())
    if not found:
        raise FailedError("the API does not listen")
    return httpx.Client(
        base_url=f"http://{found[1].decode()}/client/v4",
        headers={"Authorization": f"Bearer {_token(server)}"},
        timeout=WITHIN_S,
    )


def sent(client: httpx.Client, method: str, path: str, body: object = None, **query: str | int) -> Any:
    """The result of a request. Raises FailedError."""
    reply = client.request(method, path, json=body, params=query)
    if not reply.is_success:
        raise FailedError(f"{method} {path}: {reply.text[:200]}")
    return reply.json()["result"]


def _token(server: Server) -> str:
    command = [sys.executable, "-m", "dnsd", "token", "create", "-c", str(server.folder / "dnsd.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return run.stdout.split()[-1]
