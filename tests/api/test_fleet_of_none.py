"""A server without a fleet: it waits for no edge, lists none, and has no page for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from dnsd.cli import main
from tests.api.server import A1, Z1, Api
from tests.browser.sessions import Person

RECORDS = f"/zones/{Z1}/dns_records"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(tmp_path_factory.mktemp("alone")).running() as api:
        yield api


def test_a_change_waits_for_no_edge(api: Api) -> None:
    body = {"type": "A", "name": "new", "content": "192.0.2.9"}
    said = api.call("POST", f"{RECORDS}?wait=fleet", body).json()
    assert (said["success"], said["messages"]) == (True, [])
    assert api.ask("new.example.com") == ["192.0.2.9"]
    api.result("DELETE", f"{RECORDS}/{said['result']['id']}?wait=fleet")


@pytest.mark.parametrize("asked", ["", "all", "true", "fleet "])
def test_what_a_change_cannot_wait_for_is_refused_before_it_is_made(api: Api, asked: str) -> None:
    body = {"type": "A", "name": "never", "content": "192.0.2.9"}
    status, code, message = api.refused("POST", RECORDS, body, params={"wait": asked})
    assert (status, code) == (400, 1001)
    assert "use 'fleet', or leave it out" in message
    assert api.ask("never.example.com") == []
    assert isinstance(api.result("GET", RECORDS, params={"wait": asked}), list)  # it changes nothing


def test_a_command_waits_for_no_edge(api: Api) -> None:
    words = ["zone", "create", "new.example", "--account", A1, "--wait", "--url", api.origin, "-c", str(api.config)]
    done = CliRunner().invoke(main, words, env={"DNSD_API_TOKEN": api.operator})
    assert (done.exit_code, done.stderr) == (0, "")
    assert "new.example" in done.stdout
    listed = CliRunner().invoke(main, ["fleet", "status", *words[6:]], env={"DNSD_API_TOKEN": api.operator})
    assert (listed.exit_code, listed.output) == (0, "")


def test_there_are_no_edges(api: Api) -> None:
    assert api.result("GET", "/fleet/edges") == []
    assert api.refused("PATCH", "/fleet/edges/pop-1", {"drained": True})[:2] == (404, 1000)


def test_the_menu_has_no_fleet(api: Api) -> None:
    with Person(api, api.operator) as person:
        assert 'href="/fleet"' not in person.get("/").text
        assert person.get("/fleet").status_code == 404
