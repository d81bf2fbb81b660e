"""Templates: each compiles, and a start compiles few of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment

from dnsd.dashboard.page import SHARED, TEMPLATES, HtmlPage, Pages, pages
from dnsd.dashboard.sessions import Session
from dnsd.dashboard.visit import Visit
from tests.unit.control.scheduling import Life, Scheduling


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_compiles(name: str) -> None:
    assert pages()._environment.get_template(name)


def test_template_is_compiled_when_its_page_is_first_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = noted(monkeypatch)
    made = Pages()
    assert sorted(compiled) == sorted(("macros.html", *SHARED))
    compiled.clear()
    data = {"then": "/", "pairs": []}
    for _ in range(2):
        assert b"<form" in made.shown(HtmlPage("resume.html", data)).body
    assert compiled == ["resume.html"]


def test_error_page_of_a_visit_needs_no_other_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Scheduling(tmp_path / "world")
    operator, made, compiled = world.token("operator"), Pages(), noted(monkeypatch)

    async def work(life: Life) -> None:
        for token in (operator, world.alice):
            visit = Visit(life.service, Session("secret", token), "192.0.2.1", "/", notice="Saved.", undo="/undo")
            page = made.shown(HtmlPage("error.html", {"title": "Refused", "messages": ["Why."]}), visit)
            assert b"Why." in page.body
            assert f"<strong>{token.name}</strong>".encode() in page.body

    world.run(work)
    assert compiled == []


def test_pages_shown_in_the_event_loop_need_no_other_template(monkeypatch: pytest.MonkeyPatch) -> None:
    made, compiled = Pages(), noted(monkeypatch)
    made.shown(HtmlPage("error.html", {"title": "Refused", "messages": ["Why."]}))
    made.shown(HtmlPage("sign_in.html", {"then": "/", "is_kept": False, "kept": [], "wrong": ""}))
    assert compiled == []


def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the templates that are compiled, from now on."""
    found, compile = list[str](), Environment.compile

    def noting(self: Environment, source: Any, name: str, *more: Any) -> Any:
        found.append(name)
        return compile(self, source, name, *more)

    monkeypatch.setattr(Environment, "compile", noting)
    return found
