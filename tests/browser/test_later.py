"""*Save and Deploy* › *later*: changes of maps that wait for their time, on the pages and in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from dnsd.manage.token_file import TokenFile
from tests.api.server import Api
from tests.api.test_durability import wait_until
from tests.browser.sessions import Person
from tests.browser.world import ACME, MAP_OFF, MAP_SHOP

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAPS, API_MAPS = f"/accounts/{ACME}/maps", f"/accounts/{ACME}/addressing/address_maps"
PENDING = f"/accounts/{ACME}/addressing/pending_changes"


@pytest.fixture
def person(api: Api) -> Iterator[Person]:
    with Person(api, api.token("--name", "alice", "--account", "acme")) as person:
        yield person


def field(**ahead: float) -> str:
    """The value of the field for the time, as browsers send it."""
    return f"{datetime.now(UTC) + timedelta(**ahead):%Y-%m-%dT%H:%M}"


def pending(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.result("GET", PENDING)
    return found


def tag_in(page: str) -> str:
    found = re.search(r'name="tag" value="([^"]+)"', page)
    assert found
    return found[1]


def test_every_form_of_a_map_can_wait(api: Api, person: Person) -> None:
    version = (
        api.result("PATCH", f"{API_MAPS}/{MAP_OFF}", {"description": "Off"})
        and api.result("GET", f"{API_MAPS}/{MAP_OFF}/history")[-1]["version"]
    )
    when = {"do": "later", "deploy_at": field(hours=2)}
    edited = {"tag": tag_in(person.get(f"{MAPS}/{MAP_SHOP}/edit").text), "ips": "203.0.113.10", "description": "Shop"}
    edited |= {"zone": "21" * 16}
    created = {"step": "review", "number": "ab" * 16, "scope": "account", "ips": "203.0.113.40", "description": "Next"}
    for path, form, action in (
        (f"{MAPS}/{MAP_SHOP}/edit", edited, "map.edit"),
        (f"{MAPS}/{MAP_SHOP}/disable", {}, "map.disable"),
        (f"{MAPS}/{MAP_OFF}/enable", {}, "map.enable"),
        (f"{MAPS}/{MAP_OFF}/history/{version}", {}, "map.restore"),
        (f"{MAPS}/create", created, "map.create"),
    ):
        known = {one["id"] for one in pending(api)}
        response = person.post(path, form | when)
        assert response.status_code == 303, response.text
        (change,) = (one for one in pending(api) if one["id"] not in known)
        assert change["action"] == action
        assert change["deploy_at"].startswith(when["deploy_at"])
        page = person.get(response.headers["location"]).text
        assert "The change is scheduled for" in page
        assert f"/pending/{change['id']}/cancel" in page
    assert api.result("GET", f"{API_MAPS}/{MAP_SHOP}")["enabled"] is True


WRONG = {
    "nothing": ("", "is not a time"),
    "words": ("tomorrow", "is not a time"),
    "past": ("2020-01-01T00:00", "The time has passed"),
    "ten years ahead": ("2099-01-01T00:00", "The limit is 366 days ahead"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_bad_time_is_shown_at_its_field(api: Api, person: Person, what: str) -> None:
    text, why = WRONG[what]
    for path in (f"{MAPS}/{MAP_SHOP}/disable", f"{MAPS}/{MAP_SHOP}/edit"):
        form = {"tag": tag_in(person.get(f"{MAPS}/{MAP_SHOP}/edit").text), "ips": "203.0.113.10"}
        response = person.post(path, form | {"do": "later", "deploy_at": text})
        assert response.status_code == 400
        assert 'id="wrong-deploy_at"' in response.text
        assert why in response.text
        assert '<details class="later" open>' in response.text
    assert pending(api) == []


def test_a_form_of_an_older_version_is_refused(api: Api, person: Person) -> None:
    tag = tag_in(person.get(f"{MAPS}/{MAP_SHOP}/edit").text)
    api.result("PATCH", f"{API_MAPS}/{MAP_SHOP}", {"description": "Meanwhile"})
    form = {"tag": tag, "ips": "203.0.113.10", "do": "later", "deploy_at": field(hours=1)}
    assert person.post(f"{MAPS}/{MAP_SHOP}/edit", form).status_code == 412
    assert pending(api) == []


def test_a_stopped_change_is_on_every_page_until_a_person_makes_it(api: Api, person: Person) -> None:
    tokens = TokenFile(api.folder / "state")
    secret = api.token("--name", "bob", "--account", "acme")
    for seconds in (2, 8, 30):
        options = {"params": {"deploy_at": f"{(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}"}}
        if api.call("PATCH", f"{API_MAPS}/{MAP_OFF}", {"enabled": True}, token=secret, **options).status_code == 202:
            break
    tokens.revoke("bob")
    wait_until(lambda: pending(api)[0]["state"] == "stopped")
    (change,) = pending(api)
    for path in ("/", MAPS, f"{MAPS}/{MAP_SHOP}"):
        page = person.get(path).text
        assert "A scheduled change was not made" in page
        assert "the token bob that scheduled it was revoked" in page
        assert f"{MAPS}/{MAP_OFF}#pending" in page
    with Person(api, api.token("--name", "carol", "--account", "globex")) as other:
        assert "A scheduled change" not in other.get("/").text
        assert other.post(f"/accounts/{ACME}/pending/{change['id']}/run", {}).status_code == 404
    assert "Make it now" in person.get(f"{MAPS}/{MAP_OFF}").text
    assert person.post(f"/accounts/{ACME}/pending/{change['id']}/run", {}).status_code == 303
    assert api.result("GET", f"{API_MAPS}/{MAP_OFF}")["enabled"] is True
    assert "A scheduled change was not made" not in person.get("/").text


def test_a_change_that_would_be_stopped_says_so(api: Api, person: Person) -> None:
    person.post(f"{MAPS}/{MAP_OFF}/enable", {"do": "later", "deploy_at": field(hours=2)})
    assert "As things are" not in person.get(f"{MAPS}/{MAP_OFF}").text
    api.result("PATCH", f"{API_MAPS}/{MAP_OFF}", {"description": "Meanwhile"})
    page = person.get(f"{MAPS}/{MAP_OFF}").text
    assert "As things are, it will be stopped: the map was changed after this was scheduled." in page


def test_readers_see_pending_changes_and_cannot_cancel_them(api: Api, person: Person) -> None:
    person.post(f"{MAPS}/{MAP_OFF}/enable", {"do": "later", "deploy_at": field(hours=2)})
    (change,) = pending(api)
    token = api.token("--name", "reader", "--account", "acme", "--permission", "maps:read")
    with Person(api, token) as reader:
        page = reader.get(f"{MAPS}/{MAP_OFF}").text
        assert "Pending changes" in page
        assert "Cancel the change" not in page
        assert reader.post(f"/accounts/{ACME}/pending/{change['id']}/cancel", {}).status_code == 403
    assert len(pending(api)) == 1


def test_a_change_is_scheduled_and_cancelled_by_one_click(api: Api, opened: Callable[..., Page]) -> None:
    page = opened(api, path=f"{MAPS}/{MAP_SHOP}/disable")
    page.get_by_text("Deploy later").click()
    page.get_by_label("Date and time, UTC").fill(field(days=3))
    page.get_by_role("button", name="Disable later").click()
    page.get_by_role("heading", name="Pending changes").wait_for()
    assert "Disable the map" in page.inner_text("li.pending")
    page.locator("li.pending summary").click()
    assert "203.0.113.10" in page.inner_text("li.pending")
    assert len(pending(api)) == 1
    page.get_by_role("button", name="Cancel the change").click()
    page.get_by_text("The change is cancelled.").wait_for()
    assert pending(api) == []
    assert page.get_by_role("heading", name="Pending changes").count() == 0


@pytest.mark.parametrize("has_scripts", [True, False])
def test_a_map_is_created_later(api: Api, opened: Callable[..., Page], *, has_scripts: bool) -> None:
    page = opened(api, path=f"{MAPS}/create", java_script_enabled=has_scripts)
    page.get_by_role("radio").nth(1).check()
    page.get_by_role("button", name="Continue").click()
    page.locator("textarea[name=ips]").fill("203.0.113.40")
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Name", exact=True).fill("Next year")
    page.get_by_role("button", name="Continue").click()
    page.locator("details.later summary").click()
    page.get_by_label("Date and time, UTC").fill(field(days=30))
    page.get_by_role("button", name="Save and Deploy later").click()
    page.get_by_text("The change is scheduled for").wait_for()
    assert "Next year" in page.inner_text("li.pending")
    assert [one["action"] for one in pending(api)] == ["map.create"]
