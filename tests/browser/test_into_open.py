"""Changes that make the addresses of origins public: the dashboard shows them first, and offers to undo the change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.api.server import Api
from tests.api.test_durability import wait_until
from tests.browser.sessions import Person
from tests.browser.world import ACME, SHOP, WWW

if TYPE_CHECKING:
    from playwright.sync_api import Page

ZONE = f"/zones/{SHOP}"
RECORDS = f"{ZONE}/records"
API_RECORD = f"/zones/{SHOP}/dns_records/{WWW}"
ASKED = "Make the addresses of origin servers public?"


@pytest.fixture
def person(api: Api) -> Iterator[Person]:
    with Person(api, api.token("--name", "alice", "--account", "acme")) as person:
        yield person


def confirmed(person: Person, path: str, form: dict[str, str]) -> httpx.Response:
    """The response to a form, sent again as the page with the addresses asks."""
    page = person.post(path, form).text
    return person.post(path, form | {"into_open": tag_in(page)})


def tag_in(page: str) -> str:
    return page.partition('name="into_open" value="')[2].partition('"')[0]


WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "the switch": (f"{RECORDS}/{WWW}/proxy", {"proxied": "off"}),
    "the form": (
        f"{RECORDS}/{WWW}/edit",
        {"type": "A", "name": "www", "data_address": "192.0.2.1", "content": "192.0.2.1"},
    ),
    "pause": (f"{ZONE}/pause", {"paused": "on"}),
}


@pytest.mark.parametrize("what", WAYS)
def test_addresses_are_shown_before_they_become_public(api: Api, person: Person, what: str) -> None:
    path, form = WAYS[what]
    if what == "the form":
        form = form | {"tag": ""}
    page = person.post(path, form)
    assert page.status_code == 200, page.text
    assert ASKED in page.text
    assert "www.shop.example" in page.text.replace("<wbr>", "")
    assert "192.0.2.1" in page.text
    assert api.result("GET", API_RECORD)["proxied"] is True
    assert "192.0.2.1" not in api.ask("www.shop.example")
    done = confirmed(person, path, form)
    assert done.status_code == 303, done.text
    wait_until(lambda: "192.0.2.1" in api.ask("www.shop.example"))
    notice = person.get(done.headers["location"]).text
    assert f'action="{ZONE}/undo/' in notice
    undo = notice.partition('action="' + ZONE + "/undo/")[2].partition('"')[0]
    assert "/undo/" not in person.get(RECORDS).text  # once
    assert person.post(f"{ZONE}/undo/{undo}", {}).status_code == 303
    wait_until(lambda: "192.0.2.1" not in api.ask("www.shop.example"))


def test_an_undo_after_another_change_is_refused(api: Api, person: Person) -> None:
    done = confirmed(person, f"{RECORDS}/{WWW}/proxy", {"proxied": "off"})
    notice = person.get(done.headers["location"]).text
    undo = notice.partition('action="' + ZONE + "/undo/")[2].partition('"')[0]
    api.result("PATCH", API_RECORD, {"comment": "meanwhile"})
    refused = person.post(f"{ZONE}/undo/{undo}", {})
    assert refused.status_code == 412
    assert api.result("GET", API_RECORD)["comment"] == "meanwhile"


def test_addresses_that_the_page_did_not_show_are_asked_about_again(api: Api, person: Person) -> None:
    path, form = f"{ZONE}/pause", {"paused": "on"}
    seen = tag_in(person.post(path, form).text)
    made = {"name": "later", "type": "A", "content": "192.0.2.77", "proxied": True}
    later = api.result("POST", f"/zones/{SHOP}/dns_records", made)["id"]
    try:
        page = person.post(path, form | {"into_open": seen})
        assert (page.status_code, ASKED in page.text, "192.0.2.77" in page.text) == (200, True, True)
        for other in ("", "confirmed", "x" * 24):
            assert ASKED in person.post(path, form | {"into_open": other}).text
        assert api.result("GET", f"/zones/{SHOP}")["paused"] is False
        assert person.post(path, form | {"into_open": tag_in(page.text)}).status_code == 303
        assert api.result("GET", f"/zones/{SHOP}")["paused"] is True
    finally:
        api.result("PATCH", f"/zones/{SHOP}", {"paused": False})
        api.result("DELETE", f"/zones/{SHOP}/dns_records/{later}")


def test_changes_within_the_edge_are_made_at_once(api: Api, person: Person) -> None:
    assert person.post(f"{RECORDS}/{WWW}/proxy", {"proxied": "on"}).status_code == 303
    form = {"type": "A", "name": "later", "data_address": "192.0.2.9", "content": "192.0.2.9"}
    assert person.post(f"{RECORDS}/create", form).status_code == 303


def test_a_token_without_the_zone_s_settings_gets_no_undo(api: Api) -> None:
    token = api.token("--name", "dns", "--account", "acme", "--permission", "dns:edit")
    with Person(api, token) as person:
        done = confirmed(person, f"{RECORDS}/{WWW}/proxy", {"proxied": "off"})
        assert done.status_code == 303
        assert "/undo/" not in person.get(done.headers["location"]).text


@pytest.mark.parametrize("has_scripts", [True, False])
def test_the_switch_asks_and_undo_takes_back(api: Api, opened: Callable[..., Page], *, has_scripts: bool) -> None:
    page = opened(api, path=RECORDS, java_script_enabled=has_scripts)
    page.locator(f"#record-{WWW} form button").first.click()
    page.get_by_role("heading", name=ASKED).wait_for()
    assert "192.0.2.1" in page.inner_text("#main")
    page.get_by_role("button", name="Make them public").click()
    page.get_by_text("The addresses are public now").wait_for()
    wait_until(lambda: "192.0.2.1" in api.ask("www.shop.example"))
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("The change is undone").wait_for()
    wait_until(lambda: "192.0.2.1" not in api.ask("www.shop.example"))
    assert api.result("GET", f"/accounts/{ACME}/dns_settings")["enforce_dns_only"] is False
