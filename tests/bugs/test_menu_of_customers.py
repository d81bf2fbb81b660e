"""The menu has the pages that the token may read; other pages say which permission is missing, and whom to ask."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.api.server import A1, Api
from tests.browser.sessions import Person

ALWAYS = {"Overview", "Audit log"}
MENUS = {  # permissions -> further entries
    ("maps:read",): {"Proxy IP Addresses"},
    ("prefixes:edit",): {"Prefixes"},
    ("zones:read",): {"Zones"},
    ("dns:read",): {"Zones", "Explain"},
    (): {"Proxy IP Addresses", "Prefixes", "Zones", "Explain", "API tokens"},
}
PAGES = {
    f"/accounts/{A1}/addresses": "prefixes:read",
    f"/accounts/{A1}/maps/create": "maps:edit",
    "/explain?name=www.example.com": "dns:read",
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("menu")).running() as running:
        yield running


@pytest.mark.parametrize("permissions", MENUS)
def test_menu_has_the_pages_that_the_token_may_read(api: Api, permissions: tuple[str, ...]) -> None:
    given = [part for one in permissions for part in ("--permission", one)]
    with Person(api, api.token("--account", A1, *given)) as person:
        page = person.get("/").text
        nav = page[page.index('<nav aria-label="Main"') : page.index("</nav>")]
        links = dict(reversed(one) for one in re.findall(r'<a href="([^"]*)"[^>]*>([^<]*)</a>', nav))
        assert set(links) == ALWAYS | MENUS[permissions]
        assert all(person.get(path).status_code == 200 for path in links.values())


@pytest.mark.parametrize("path", PAGES)
def test_other_pages_name_the_missing_permission(api: Api, path: str) -> None:
    with Person(api, api.token("--account", A1, "--permission", "zones:read")) as person:
        page = person.get(path)
    assert page.status_code == 403
    assert f"You don&#39;t have access: {PAGES[path]}." in page.text
    assert "Authentication error" not in page.text
    assert "Ask the server&#39;s operator" in page.text
