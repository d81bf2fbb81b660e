"""Pages agree with the tree: generated pages are up to date, links lead somewhere, cited files and names exist."""

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dnsd.cli.commands import MODULES
from tests.structure.test_layers import LAYERS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = (
    "dnsd/**/*.py",
    "dnsd/**/*.c",
    "dnsd/**/*.h",
    "tests/**/*.py",
    "docs/*.py",
    "config/**/*.yaml",
    "pyproject.toml",
)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.md"), *DOCS.rglob("*.md")])
ABOUT_CODE = [page for page in PAGES if page.name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "decisions.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CITED = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.(?:py|c|h|md|yaml|html|json)")
NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_generated_pages_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_pages", DOCS / "make_pages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = module.pages()
    assert {file.stem for file in pages} == {*MODULES, "README", "settings", "api"}
    for file, text in pages.items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: run `.venv/bin/python -m docs.make_pages`"


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"\w+:", link):
            continue  # an address elsewhere
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


def cited(page: Path) -> Iterator[str]:
    """The texts between backquotes, outside of blocks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from CITED.findall(text)


@pytest.mark.parametrize("page", [*ABOUT_CODE, DOCS / "style.md"], ids=named)
def test_cited_files_exist(page: Path) -> None:
    files = [text for text in cited(page) if FILE.fullmatch(text)]
    gone = [file for file in files if not (ROOT / file).exists() and not (ROOT / "dnsd" / file).exists()]
    assert gone == [], f"{page.name} cites files that do not exist"


@cache
def words() -> set[str]:
    texts = (file.read_text(encoding="utf-8") for pattern in SOURCES for file in ROOT.glob(pattern))
    return {word for text in texts for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("page", ABOUT_CODE, ids=named)
def test_cited_names_are_in_the_code(page: Path) -> None:
    names = [text for text in cited(page) if NAME.fullmatch(text) and not FILE.fullmatch(text)]
    unknown = [name for name in names if not words().issuperset(name.split("."))]
    assert unknown == [], f"{page.name} cites names that are not in the code"


def test_types_of_the_glossary_are_in_the_code() -> None:
    glossary = (DOCS / "style.md").read_text(encoding="utf-8").partition("## Glossary")[2]
    types = [text for text in CITED.findall(glossary) if NAME.fullmatch(text) and text[0].isupper()]
    assert types
    assert [name for name in types if name not in words()] == []


def test_the_layers_shown_are_those_of_the_test() -> None:
    picture = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```")[1]
    shown = [set(re.split(r" \| ", re.split(r"  +", line)[0].strip())) for line in picture.strip().splitlines()]
    assert shown[::-1] == [layer - {"__init__"} for layer in LAYERS if layer != {"__main__"}]
