"""The dashboard's page of a zone says how its proxied names are answered when no map applies."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.api.server import FILES, Api
from tests.browser.sessions import Person

RECORDS = "records: [{name: www, type: A, content: 192.0.2.1, proxied: true}]\n"
CASES = {  # the zone's file: the answers, and the reason
    "paused: true": ("as stored", "The zone is paused: proxied records are answered as stored."),
    "status: pending": ("as stored", "The zone is pending: proxied records are answered as stored."),
    "status: initializing": ("refused", "The zone is initializing: its queries are refused."),
    "status: initializing\npaused: true": ("refused", "The zone is initializing: its queries are refused."),
}
IDS = {text: f"{number:032x}" for number, text in enumerate(CASES, 7)}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    zones = {f"acme/zones/z{n}.example.yaml": f'id: "{IDS[one]}"\n{one}\n{RECORDS}' for n, one in enumerate(CASES)}
    with Api(tmp_path_factory.mktemp("pages"), FILES | zones).running() as running:
        yield running


@pytest.mark.parametrize("text", CASES)
def test_page_of_a_zone_without_maps_says_how_it_is_answered(api: Api, text: str) -> None:
    answers, reason = CASES[text]
    with Person(api, api.operator) as person:
        page = person.get(f"/zones/{IDS[text]}").text
    assert re.findall(r"<dt>A+</dt><dd>(.*?)</dd>", page) == [answers, answers]
    assert reason in page
