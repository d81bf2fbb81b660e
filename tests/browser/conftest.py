"""A real browser, Debian's Chromium, and a server for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.api.server import Api
from tests.browser.sessions import Person
from tests.browser.world import ACME, FILES, SETTINGS
from tests.limits import HANG_S

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WAIT_MS = 1000 * HANG_S

Open = Callable[..., "Page"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: apt install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server for one test, which may change anything."""
    with Api(tmp_path_factory.mktemp("browser"), FILES, settings=SETTINGS).running() as api:
        yield api


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server for tests that change nothing."""
    with Api(tmp_path_factory.mktemp("still"), FILES, settings=SETTINGS).running() as api:
        yield api


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a signed-in page in its own browser context; any error in the page fails the test."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_page(api: Api, token: str | None = None, path: str = "/", **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if _is_wrong(said.type, said.text) else None)
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        with Person(api, token or api.operator) as person:
            for name, value in person.client.cookies.items():
                context.add_cookies([{"name": name, "value": value, "url": api.origin, "sameSite": "Strict"}])
        page.goto(f"{api.origin}{path}")
        page.locator("#menu").wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def _is_wrong(kind: str, text: str) -> bool:
    """Whether a browser's complaint is about more than a status; tests check statuses themselves."""
    return kind in ("error", "warning") and "Failed to load resource" not in text


@pytest.fixture
def acme(api: Api) -> str:
    """A customer's token."""
    return api.token("--account", ACME, "--name", "acme")
