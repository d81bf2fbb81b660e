"""Clients of the tests wait as long as a busy machine needs: no library's own limit of a few seconds ends a test."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
CALLS = {"get", "post", "put", "patch", "delete", "request", "stream", "Client", "AsyncClient"}


def test_http_clients_have_a_timeout_of_their_own() -> None:
    texts = {module: text for module in sorted(TESTS.rglob("*.py")) if "httpx" in (text := module.read_text())}
    calls = {module: calls_of_httpx(ast.parse(text)) for module, text in texts.items()}
    assert any(calls.values())
    assert [
        f"{module.relative_to(TESTS)}:{call.lineno}"
        for module, found in calls.items()
        for call in found
        if "timeout" not in {keyword.arg for keyword in call.keywords}
    ] == []


def calls_of_httpx(tree: ast.AST) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "httpx"
        and node.func.attr in CALLS
    ]
