"""Imports point strictly down the layers of ARCHITECTURE.md, and siblings do not import each other."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dnsd.cli.commands import MODULES as COMMAND_MODULES

PACKAGE = Path(__file__).parents[2] / "dnsd"

# Every module belongs to a part; a part may import only parts of lower layers, and itself.
LAYERS = [
    {"compiled", "cores", "errors", "log", "metrics", "progress", "questions", "whole_file", "__init__"},
    {"wire"},
    {"model"},
    {"engine", "formats"},
    {"compile", "net", "store"},
    {"process"},
    {"outbound", "settings", "worker"},
    {"source"},
    {"app"},
    {"manage"},
    {"api", "fleet"},
    {"dashboard"},
    {"control"},
    {"web"},
    {"serve"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}

# The parts of a worker: they import only types from the model, no code.
WORKER = {
    "compiled",
    "errors",
    "log",
    "metrics",
    "questions",
    "whole_file",
    "wire",
    "engine",
    "net",
    "process",
    "worker",
    "__init__",
}

# Libraries that only some parts may import.
CONFINED = {
    "yaml": {"formats"},
    "pydantic": {"api", "model", "settings"},
    "asyncio": {"api", "control", "fleet", "net", "outbound", "process", "serve", "web", "worker"},
    "jinja2": {"dashboard"},
    "socket": {"control", "log", "net", "process", "serve", "web", "wire"},
    "click": {"cli"},
    "httpx": {"cli"},
    "dnslib": set(),
    "nats": {"fleet"},
    "prometheus_client": {"web"},
    "psutil": {"control"},
    "publicsuffixlist": {"model"},
    "siphash24": {"wire"},
    "sqlite3": {"store"},
    "starlette": {"api", "dashboard", "web"},
    "uvicorn": {"web"},
    "cryptography": {"fleet", "net"},
    "watchfiles": {"store"},
}
# The slow libraries, of which a command imports only these before it starts its work.
SLOW = {
    *("asyncio", "cryptography", "dns", "httpx", "jinja2", "nats", "psutil", "publicsuffixlist", "pydantic"),
    *("sqlite3", "ssl", "starlette", "uvicorn", "watchfiles", "yaml"),
}
RULES = {"dns", "pydantic", "ssl", "yaml"}  # of settings and data
COMMANDS = {
    "account": {*RULES, "publicsuffixlist"},
    "brake": {*RULES, "publicsuffixlist"},
    "check": RULES,
    "completion": set(),
    "explain": RULES,
    "fleet": set(),
    "map": {*RULES, "publicsuffixlist"},
    "reload": {"yaml"},
    "schema": RULES,
    "serve": {*RULES, "asyncio"},
    "status": {"yaml"},
    "token": RULES,
    "zone": {*RULES, "publicsuffixlist"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))
OF_A_FLEET = [  # and all of `fleet`: no other module imports them when it is imported
    PACKAGE / "store" / f"replica{end}.py" for end in ("", "_reader", "_rows")
]


def part_of(module: Path) -> str:
    first = module.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@cache
def imports(module: Path, *, for_types: bool = True) -> list[str]:
    return list(_imports(module, for_types=for_types))


def _imports(module: Path, *, for_types: bool) -> Iterator[str]:
    tree = ast.parse(module.read_text())
    if not for_types:
        tree = WithoutTypes().visit(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            yield node.module or ""
            if node.module == "dnsd":
                yield from (f"dnsd.{alias.name}" for alias in node.names)


class WithoutTypes(ast.NodeTransformer):
    """Removes `if TYPE_CHECKING: …`."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else node


def parts_imported(module: Path, *, for_types: bool = True) -> set[str]:
    names = {name.split(".")[1] for name in imports(module, for_types=for_types) if name.startswith("dnsd.")}
    return names & LEVEL.keys()  # without names in dnsd/__init__.py


def test_imports_point_down() -> None:
    assert [
        f"{module.relative_to(PACKAGE)} imports {other}"
        for module in MODULES
        for other in parts_imported(module)
        if other != part_of(module) and LEVEL[other] >= LEVEL[part_of(module)]
    ] == []


def test_libraries_stay_in_their_parts() -> None:
    assert [
        f"{module.relative_to(PACKAGE)} imports {name}"
        for module in MODULES
        for name in imports(module)
        if part_of(module) not in CONFINED.get(name.split(".")[0], {part_of(module)})
    ] == []


def test_every_module_has_a_layer() -> None:
    assert {part_of(module) for module in MODULES} <= set(LEVEL)


def test_parts_of_a_worker_import_no_others() -> None:
    assert [
        f"{module.relative_to(PACKAGE)} imports {other}"
        for module in MODULES
        if part_of(module) in WORKER
        for other in parts_imported(module, for_types=False) - WORKER
    ] == []


def loaded_by(code: str) -> set[str]:
    """The modules loaded once a new process has run this code."""
    code = f"import sys\n{code}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(("command", "allowed"), [*COMMANDS.items(), ("", set())])
def test_a_command_imports_only_what_it_needs(command: str, allowed: set[str]) -> None:
    get = f"import click; from dnsd.cli import main; main.get_command(click.Context(main), {command!r})"
    assert SLOW & loaded_by(get) <= allowed


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["--version"], {"publicsuffixlist"}),
        (["status", "-c", "dnsd.yaml"], {"yaml"}),
        (["reload", "-c", "dnsd.yaml"], {"yaml"}),
        (["fleet", "init", "--help"], set()),
    ],
)
def test_a_command_runs_with_only_what_it_needs(tmp_path: Path, words: list[str], allowed: set[str]) -> None:
    (tmp_path / "dnsd.yaml").write_text("{}")
    run = f"from dnsd.cli import main\ntry: main({words!r})\nexcept SystemExit: pass"
    assert SLOW & loaded_by(f"import os; os.chdir({str(tmp_path)!r})\n{run}") <= allowed


def test_every_command_has_its_imports() -> None:
    assert set(COMMANDS) == set(COMMAND_MODULES)


def test_a_standalone_server_loads_nothing_of_a_fleet() -> None:
    parts = {part for layer in LAYERS for part in layer} - {"fleet", "__init__", "__main__"}
    modules = [
        ".".join(module.relative_to(PACKAGE.parent).with_suffix("").parts)
        for module in MODULES
        if part_of(module) in parts and module.stem != "__init__" and module not in OF_A_FLEET
    ]
    loaded = loaded_by("from importlib import import_module\n" + f"for name in {modules!r}: import_module(name)")
    assert "dnsd.serve.start" in loaded or "dnsd.control.current" in loaded
    assert {name for name in loaded if name.startswith("dnsd.fleet")} | {"nats", "sqlite3"} & loaded == set()


def test_a_worker_loads_no_yaml_and_no_pydantic() -> None:
    loaded = loaded_by("import dnsd.worker.worker")
    ours = [name.split(".") for name in loaded if name.startswith("dnsd.")]
    assert {name[1] for name in ours} <= WORKER
    assert not {"yaml", "pydantic", "watchfiles", "click", "jinja2", "starlette"}.intersection(loaded)
    assert len(ours) <= 57  # half of the former number, and the steps of a query, each in a module
