"""Clients of the tests wait as long as a busy machine needs: no library's own limit of a few seconds ends a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CALLS = {"get", "post", "put", "patch", "delete", "request", "stream", "Client", "AsyncClient"}
MODULES = sorted(file for file in TESTS.rglob("*.py") if "httpx" in file.read_text())


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(TESTS)))
def test_http_clients_have_a_timeout_of_their_own(module: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
    without = [
        call.lineno
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "httpx"
        and call.func.attr in CALLS
        and "timeout" not in {keyword.arg for keyword in call.keywords}
    ]
    assert not without
