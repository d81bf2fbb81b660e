"""The C parts, compiled separately from the installed ones: with warnings as errors, and with sanitizers.

Also a pytest plugin: with `-p tests.native.compiled`, tests use the extensions compiled into the folder $DNSD_NATIVE.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

from dnsd.compiled import sources_digest

ROOT = Path(__file__).parents[2]
STRICT = ["-O2", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


class CompileError(Exception):
    """Compiling failed; the message has the compiler's output, or the name of the missing package."""


def extensions() -> dict[str, list[str]]:
    """The sources of each extension, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {one["name"]: one["sources"] for one in project["tool"]["setuptools"]["ext-modules"]}


def compiler() -> str:
    """The C compiler: $CC, else `cc`. Raises CompileError."""
    name = os.environ.get("CC", "cc")
    if shutil.which(name) is None:
        raise CompileError(f"no C compiler {name!r}: install gcc, or name another one with CC=…")
    return name


def compile_all(folder: Path, flags: list[str]) -> None:
    """Compile every extension into the folder. Raises CompileError."""
    include, suffix = sysconfig.get_path("include"), sysconfig.get_config_var("EXT_SUFFIX")
    if not (Path(include) / "Python.h").exists():
        raise CompileError(f"{include}/Python.h is missing: install Python's headers (Debian: python3-dev)")
    for name, sources in extensions().items():
        output = ["-o", str(folder / f"{name}{suffix}")]
        digest = f'-DDNSD_SOURCES="{sources_digest(ROOT / sources[0])}"'
        command = [compiler(), *flags, digest, "-shared", "-fPIC", f"-I{include}", *sources, *output]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise CompileError(f"{ran.stderr}\nfailed: {' '.join(command)}")


def sanitizer_library() -> Path:
    """The library of AddressSanitizer, for loading before all others. Raises CompileError."""
    command = [compiler(), "-print-file-name=libasan.so"]
    path = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    if not path.is_absolute():
        raise CompileError(
            f"{compiler()} has no libasan.so: take gcc (CC=gcc), with its sanitizers (Debian: libgcc-12-dev)"
        )
    return path


def load_compiled(folder: Path) -> None:
    """Make `import` load the extensions in the folder instead of the installed ones."""
    for name in extensions():
        (path,) = folder.glob(f"{name}.*")
        importlib.import_module(name.rpartition(".")[0])
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


if folder := os.environ.get("DNSD_NATIVE"):
    load_compiled(Path(folder))
