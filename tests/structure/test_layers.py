"""Imports point strictly down the layers of ARCHITECTURE.md, and siblings do not import each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "dnsd"

# Every module belongs to a part; a part may import only parts of lower layers, and itself.
LAYERS = [
    {"cores", "errors", "log", "metrics", "progress", "__init__"},
    {"wire"},
    {"model"},
    {"engine"},
    {"net", "store"},
    {"settings"},
    {"app"},
    {"manage"},
    {"api"},
    {"dashboard"},
    {"serve"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}

# Libraries that may be known only in some parts.
CONFINED = {
    "yaml": {"store"},
    "pydantic": {"api", "manage", "model", "settings"},
    "asyncio": {"api", "net", "serve"},
    "jinja2": {"dashboard"},
    "socket": {"log", "net", "serve"},
    "click": {"cli"},
    "httpx": {"cli"},
    "dnslib": set(),
    "prometheus_client": {"serve"},
    "psutil": {"serve"},
    "siphash24": {"wire"},
    "fastapi": {"api"},
    "starlette": {"api", "dashboard", "serve"},
    "uvicorn": {"serve"},
    "watchfiles": {"store"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: Path) -> str:
    first = module.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            yield node.module or ""
            if node.module == "dnsd":
                yield from (f"dnsd.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_imports_point_down(module: Path) -> None:
    part = part_of(module)
    for name in imports(module):
        if not name.startswith("dnsd."):
            continue
        imported = name.split(".")[1]
        if imported not in LEVEL:
            continue  # a name in dnsd/__init__.py
        assert imported == part or LEVEL[imported] < LEVEL[part], f"{part} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_libraries_stay_in_their_parts(module: Path) -> None:
    part = part_of(module)
    for name in imports(module):
        allowed = CONFINED.get(name.split(".")[0])
        assert allowed is None or part in allowed, f"{part} imports {name}"


def test_every_module_has_a_layer() -> None:
    assert {part_of(module) for module in MODULES} <= set(LEVEL)
