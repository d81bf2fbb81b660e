"""Compiles the C parts, each with the digest of its sources, which dnsd/compiled.py compares. See pyproject.toml."""

import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
sources_digest = runpy.run_path(str(ROOT / "dnsd" / "compiled.py"))["sources_digest"]


class BuildWithDigest(build_ext):
    """Defines DNSD_SOURCES for each part."""

    def build_extension(self, ext: Extension) -> None:
        """Compile a part, whatever the times of its files; if that fails, no part of before stays in its place."""
        Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)
        self.force = True
        ext.define_macros.append(("DNSD_SOURCES", f'"{sources_digest(ROOT / ext.sources[0])}"'))
        super().build_extension(ext)


setup(cmdclass={"build_ext": BuildWithDigest})
