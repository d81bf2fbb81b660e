"""The dashboard's page of prefixes: declared and observed routes, and the review before a prefix is withdrawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.server import A1, FILES, IMMUTABLE, PREFIX1, Api
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
        done = person.client.post(f"{PREFIX}/withdraw", data={"form_secret": person.secret})
        assert done.status_code == 303
        assert api.result("GET", STATUS)["advertised"] is False
        assert api.ask("www.example.com") == before
        assert "declared advertised" in person.get(f"{PREFIX}/advertise").text
        person.client.post(f"{PREFIX}/advertise", data={"form_secret": person.secret})
        assert api.result("GET", STATUS)["advertised"] is True


def test_customer_without_the_permission_gets_no_buttons(api: Api) -> None:
    reader = api.token("--account", "acme", "--permission", "prefixes:read", "--permission", "maps:read")
    with Person(api, reader) as person:
        page = person.get(PAGE).text
        assert "Declared" in page
        assert "/withdraw" not in page
        assert person.client.post(f"{PREFIX}/withdraw", data={"form_secret": person.secret}).status_code == 403
