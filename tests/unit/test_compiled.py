"""Parts compiled from other sources are not used: each alone, and all, in an installation in place."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dnsd.compiled import REMEDY, sources_digest
from dnsd.net import udp

ROOT = Path(__file__).parents[2]
EXTENSIONS = {
    one["name"]: one
    for one in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["ext-modules"]
}
needs_compiled = pytest.mark.skipif(not udp.IS_BUILT, reason="the C parts were not built: no C compiler")

# Loads and packs config/, and answers a question by all parts that are used.
USE = """
from pathlib import Path
from dnsd.app import load
from dnsd.compiled import stale_parts
from dnsd.engine.respond import respond
from dnsd.net import limits, udp
from tests.packets import answers, query
snapshot = load(Path("config/dnsd.yaml")).snapshot
print(*answers(respond(snapshot, query("mail.example.com"))))
print(*stale_parts())
print(udp.IS_BUILT)
try:
    print(udp.available(udp.Udp.BATCH))
except udp.NoBatchError as error:
    print(error)
"""


def guarded_imports(path: Path) -> list[tuple[str, str | None]]:
    """Each import of a compiled part in a module, and the part required just before it."""
    found: list[tuple[str, str | None]] = []
    tree = ast.parse(path.read_text())
    blocks = [body for node in ast.walk(tree) if isinstance(body := getattr(node, "body", None), list)]
    for block in blocks:
        for before, node in zip([None, *block], block, strict=False):
            names = []
            if isinstance(node, ast.ImportFrom):
                names += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for name in {*names} & EXTENSIONS.keys():
                guard = ast.unparse(before) if before is not None else ""
                found.append((str(name), guard.removeprefix("require('").removesuffix("')")))
    return found


def test_every_import_of_a_part_requires_it_first() -> None:
    imports = [one for path in (ROOT / "dnsd").rglob("*.py") for one in guarded_imports(path)]
    assert {name for name, _ in imports} == EXTENSIONS.keys()
    assert all(name == guard for name, guard in imports), imports


@pytest.mark.parametrize("name", EXTENSIONS)
def test_digest_changes_with_each_file_that_a_part_is_compiled_from(name: str, tmp_path: Path) -> None:
    for path in (*(ROOT / "dnsd").glob("*.h"), *(ROOT / "dnsd").glob("*/*.[ch]")):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (source,), depends = EXTENSIONS[name]["sources"], EXTENSIONS[name]["depends"]
    digest = sources_digest(tmp_path / source)
    assert digest == sources_digest(ROOT / source)
    changing = set()
    for path in tmp_path.rglob("*.[ch]"):
        text = path.read_bytes()
        path.write_bytes(text + b"\n")
        if sources_digest(tmp_path / source) != digest:
            changing.add(str(path.relative_to(tmp_path)))
        path.write_bytes(text)
    assert changing == {source, *depends}


@pytest.mark.slow
@needs_compiled
@pytest.mark.parametrize("stale", [("dnsd.engine._table",), tuple(EXTENSIONS)], ids=["one", "all"])
def test_part_of_other_sources_is_named_and_not_used(stale: tuple[str, ...], tmp_path: Path) -> None:
    for folder in ("dnsd", "config"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "state"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=lambda _, names: {*names} - {"packets.py"})
    for name in stale:
        with (tmp_path / EXTENSIONS[name]["sources"][0]).open("a") as file:
            file.write("\n")
    ran = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert not ran.returncode, ran.stderr
    address, warning, is_built, batch = ran.stdout.splitlines()
    assert address == "192.0.2.25"
    named, _, remedy = warning.partition(". ")
    assert named.split(": ")[1].split(", ") == sorted(stale)
    assert remedy.endswith(f"{REMEDY}, and restart the server")
    assert is_built == str("dnsd.net._batch" not in stale)
    assert batch == ("batch" if is_built == "True" else f"udp: the compiled parts are of another version: {REMEDY}")


@needs_compiled
def test_check_warns_of_parts_of_other_sources(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "dnsd", tmp_path / "dnsd", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "dnsd" / "guard.h").open("a") as file:
        file.write("\n")
    command = [sys.executable, "-m", "dnsd", "check", "-c", str(ROOT / "config" / "dnsd.yaml")]
    ran = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True)
    assert ran.returncode == 0
    assert "warning: compiled parts of another version are not used: dnsd.net._batch. " in ran.stderr
