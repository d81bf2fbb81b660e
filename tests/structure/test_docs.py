"""The pages of docs/ that are made from the code say what the code says."""

import importlib.util
from pathlib import Path

from dnsd.cli import main

DOCS = Path(__file__).parents[2] / "docs"


def test_each_command_and_setting_is_on_a_page_that_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_pages", DOCS / "make_pages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages = module.pages()
    assert {file.stem for file in pages} == {*main.commands, "README", "settings", "api"}
    for file, text in pages.items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: run `python docs/make_pages.py`"
