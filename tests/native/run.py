"""Compiles the C parts with warnings as errors, then with AddressSanitizer and UBSan, and attacks the latter.

    python -m tests.native.run [--quick]

Takes a few minutes; --quick, for CI, less than one. Stops with status 1 at the first finding, and prints it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.native.compiled import ROOT, SANITIZED, STRICT, CompileError, compile_all, sanitizer_library

ATTACKS = (
    "tests.native.attack_table",
    "tests.native.attack_rows",
    "tests.native.attack_batch",
    "tests.native.attack_lines",
    "tests.native.attack_items",
    "tests.native.attack_columns",
)
SEEDS, QUICK_SEEDS = 25, 3
TESTS = (
    "tests/property/test_table.py",
    "tests/property/test_batch.py",
    "tests/property/test_plain_lines.py",
    "tests/property/test_yaml_items.py",
    "tests/property/test_columns.py",
    "tests/property/test_rows.py",
)
# Reads beyond the end of an array: the sanitizer must find this, or its other results mean nothing.
CANARY = "import ctypes; a = (ctypes.c_char * 8)(); ctypes.CDLL(None).memcmp(a, bytes(64), 64)"


class FoundError(Exception):
    """A sanitizer, an attack or a test found an error, and has printed it."""


def environment(folder: Path) -> dict[str, str]:
    """The environment for the sanitizers, which see Python's objects only if allocated by malloc."""
    return os.environ | {
        "LD_PRELOAD": str(sanitizer_library()),
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # Python frees little at its end
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(ROOT),
        "DNSD_NATIVE": str(folder),
    }


def check_sanitizer(folder: Path) -> None:
    """Raises FoundError if a read beyond an array's end is not detected."""
    ran = subprocess.run([sys.executable, "-c", CANARY], env=environment(folder), capture_output=True, check=False)
    if ran.returncode == 0 or b"heap-buffer-overflow" not in ran.stderr:
        raise FoundError(f"AddressSanitizer is not at work:\n{ran.stderr.decode(errors='replace')}")


def run(folder: Path, *arguments: str) -> None:
    """Run a command. Raises FoundError if it fails."""
    ran = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment(folder), check=False)
    if ran.returncode:
        raise FoundError(f"{' '.join(arguments)}: exit status {ran.returncode}")


def run_all(folder: Path, *, quick: bool) -> None:
    """Run all steps in order. Raises CompileError or FoundError."""
    say("compiling the C parts, every warning an error")
    compile_all(folder, STRICT)
    say("compiling them with AddressSanitizer and UBSan")
    compile_all(folder, SANITIZED)
    check_sanitizer(folder)
    say("attacking them")
    for name in ATTACKS:
        run(folder, "-m", name, "0", str(QUICK_SEEDS if quick else SEEDS))
    if not quick:
        say("their own tests")
        run(folder, "-m", "pytest", "-q", "-p", "tests.native.compiled", "-p", "no:xdist", *TESTS)


def say(what: str) -> None:
    print(f"==> {what}", flush=True)


def main() -> int:
    """Run all steps; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="dnsd-native-") as folder:
        try:
            run_all(Path(folder), quick="--quick" in sys.argv[1:])
        except (CompileError, FoundError) as error:
            print(error, file=sys.stderr)
            return 1
    say("nothing was found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
