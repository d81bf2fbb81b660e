"""The dashboard's page of prefixes: declared and observed routes, and the review before a prefix is withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server import A1, A2, FILES, IMMUTABLE, PREFIX1, Api
from tests.browser.sessions import Person

PAGE = f"/accounts/{A1}/addresses"
PREFIX = f"{PAGE}/{PREFIX1}"
STATUS = f"/accounts/{A1}/addressing/prefixes/{PREFIX1}/bgp/status"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with Api(tmp_path, FILES | {"acme/maps/fallback.yaml": IMMUTABLE}).running() as api:
        yield api


def test_prefixes_page_shows_declared_and_observed_states(api: Api) -> None:
    with Person(api, api.operator) as person:
        page = person.get(PAGE).text
        assert "Not declared" in page
        assert "no news" in page
        routes = [{"cidr": "203.0.113.0/24", "advertised": False}]
        api.result("PUT", "/addressing/observed_routes", {"routes": routes})
        api.result("PATCH", STATUS, {"advertised": True})
        page = person.get(PAGE).text
        assert ">Advertised<" in page
        assert ">Withdrawn<" in page
        assert " s ago" in page
        assert "ithdrawn addresses are answered from acme/maps/fallback" in person.get("/").text


def test_withdrawing_names_the_zones_first(api: Api) -> None:
    with Person(api, api.operator) as person:
        review = person.get(f"{PREFIX}/withdraw").text
        assert "Maps answer with its addresses for 2 zones: example.com, example.net" in review
        assert api.result("GET", STATUS)["advertised"] is None
        before = api.ask("www.example.com")
        done = person.post(f"{PREFIX}/withdraw", {"shown": shown_by(review)})
        assert done.status_code == 303
        assert api.result("GET", STATUS)["advertised"] is False
        assert api.ask("www.example.com") == before
        assert "declared advertised" in person.get(f"{PREFIX}/advertise").text
        person.client.post(f"{PREFIX}/advertise", data={"form_secret": person.secret})
        assert api.result("GET", STATUS)["advertised"] is True


def shown_by(page: str) -> str:
    """The tag of what a page shows, as its form sends it."""
    return page.partition('name="shown" value="')[2].partition('"')[0]


def test_withdrawing_confirms_the_zones_that_the_page_named(api: Api) -> None:
    with Person(api, api.operator) as person:
        seen = shown_by(person.get(f"{PREFIX}/withdraw").text)
        api.result("POST", "/zones", {"name": "later.example", "account": {"id": A1}})
        page = person.post(f"{PREFIX}/withdraw", {"shown": seen})
        assert page.status_code == 412
        assert "later.example" in page.text
        assert "look at it again" in page.text
        for other in ("", "x"):
            assert person.post(f"{PREFIX}/withdraw", {"shown": other}).status_code == 412
        assert api.result("GET", STATUS)["advertised"] is None
        assert person.post(f"{PREFIX}/withdraw", {"shown": shown_by(page.text)}).status_code == 303
        assert api.result("GET", STATUS)["advertised"] is False


def test_deleting_confirms_the_delegations_that_the_page_named(api: Api) -> None:
    prefixes = f"/accounts/{A1}/addressing/prefixes"
    made = api.result("POST", prefixes, {"cidr": "198.51.100.0/24"})
    api.result("PATCH", f"{prefixes}/{made['id']}", {"approved": "V"})
    path = f"{PAGE}/{made['id']}/delete"
    with Person(api, tenant(api)) as person:
        seen = shown_by(person.get(path).text)
        lent = {"cidr": "198.51.100.64/26", "delegated_account_id": A2}
        api.result("POST", f"{prefixes}/{made['id']}/delegations", lent)
        page = person.post(path, {"shown": seen})
        assert page.status_code == 412
        assert "198.51.100.64/26" in page.text
        assert "look at it again" in page.text
        assert api.result("GET", f"{prefixes}/{made['id']}")["id"] == made["id"]
        assert person.post(path, {"shown": shown_by(page.text)}).status_code == 303
        assert api.refused("GET", f"{prefixes}/{made['id']}")[0] == 404


def test_pending_prefix_has_nothing_to_withdraw(api: Api) -> None:
    prefixes = f"/accounts/{A1}/addressing/prefixes"
    made = api.result("POST", prefixes, {"cidr": "198.51.100.0/24", "asn": 64500}, token=tenant(api))
    path = f"{PAGE}/{made['id']}"
    with Person(api, api.operator) as person:
        for action in ("withdraw", "advertise"):
            page = person.get(f"{path}/{action}").text
            assert "not approved yet" in page
            assert 'class="main' not in page
            assert person.post(f"{path}/{action}", {"shown": shown_by(page)}).status_code == 400
        assert api.result("GET", f"{prefixes}/{made['id']}/bgp/prefixes") == []


def test_approval_confirms_the_doubts_that_the_page_named(api: Api) -> None:
    prefixes = f"/accounts/{A1}/addressing/prefixes"
    made = api.result("POST", prefixes, {"cidr": "198.51.100.0/25", "asn": 64500}, token=tenant(api))
    path = f"{PAGE}/{made['id']}/approve"
    with Person(api, api.operator) as person:
        seen = shown_by(person.get(path).text)
        body = {"cidr": "198.51.100.0/24", "asn": 64500}
        api.result("POST", f"/accounts/{A2}/addressing/prefixes", body, token=api.token("--account", A2))
        page = person.post(path, {"shown": seen})
        assert page.status_code == 412
        assert "198.51.100.0/24" in page.text
        assert api.result("GET", f"{prefixes}/{made['id']}")["approved"] == "P"
        assert person.post(path, {"shown": shown_by(page.text)}).status_code == 303
        assert api.result("GET", f"{prefixes}/{made['id']}")["approved"] == "V"


def tenant(api: Api) -> str:
    return api.token("--account", "acme")


def test_customer_without_the_permission_gets_no_buttons(api: Api) -> None:
    reader = api.token("--account", "acme", "--permission", "prefixes:read", "--permission", "maps:read")
    with Person(api, reader) as person:
        page = person.get(PAGE).text
        assert "Declared" in page
        assert "/withdraw" not in page
        assert person.client.post(f"{PREFIX}/withdraw", data={"form_secret": person.secret}).status_code == 403
