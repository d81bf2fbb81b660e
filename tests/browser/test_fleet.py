"""The page *Fleet*: edges in a picture and a list, updated while they are shown; an edge is drained from its page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dnsd.fleet.access import status_subject
from dnsd.fleet.edge_status import EdgeStatus
from dnsd.fleet.root import RootFolder
from tests.api.server import A1, FILES
from tests.beside import Beside
from tests.browser.conftest import Open
from tests.browser.sessions import Person
from tests.browser.test_pages import problems
from tests.fleet.edges import FleetSource
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, connected, new_edge, new_root, run
from tests.fleet.test_control import ControlApi, wait_for

pytestmark = needs_nats_server
NAMES = ("pop-oslo-1", "pop-rome-1", "pop-paris-1-with-a-long-name-xyz")
SAID = {  # of each edge
    "pop-oslo-1": {},
    "pop-rome-1": {"ring": 1, "problems": ("<b>the account acme is held</b>",), "held": ("acme",), "held_total": 1},
    "pop-paris-1-with-a-long-name-xyz": {"ring": 1, "epoch": "other", "lag_s": 12.5},
}


class ToldEdges(Beside):
    """Edges that tell of themselves, and that do nothing else."""

    def __init__(self, root: RootFolder) -> None:
        super().__init__()
        self.root = root
        self.version = "1.0"

    def _run(self) -> None:
        run(self._tell())

    async def _tell(self) -> None:
        async with AsyncExitStack() as stack:
            clients = {
                name: await stack.enter_async_context(connected(self.root, new_edge(self.root, name))) for name in NAMES
            }
            number = 0
            while not self._stop.is_set():
                number += 1
                for name, client in clients.items():
                    usual = {"epoch": "", "ring": 0, "lag_s": 0.0, "problems": (), "held": (), "held_total": 0}
                    said = EdgeStatus(
                        boot=1,
                        number=number,
                        seq=2**40,
                        revision=7,
                        version=self.version,
                        is_drained=False,
                        zones=3,
                        rate=12.5,
                        **{**usual, **SAID[name]},  # type: ignore[arg-type]
                    )
                    await client.connection.publish(status_subject(name), said.packed())
                await asyncio.sleep(0.5)


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return new_root(tmp_path)


@pytest.fixture
def api(root: RootFolder, tmp_path: Path) -> Iterator[ControlApi]:
    with NatsServer(root, root.servers[0]):
        with ThreadPoolExecutor() as threads:  # Playwright has an event loop in this one
            threads.submit(FleetSource(root, tmp_path).send, dict(FILES)).result()
            control = threads.submit(ControlApi, root, tmp_path / "control").result()
        with control.running() as api:
            assert isinstance(api, ControlApi)
            yield api


@pytest.fixture
def told(root: RootFolder, api: ControlApi) -> Iterator[ToldEdges]:
    with ToldEdges(root) as told:
        wait_for(lambda: len(api.result("GET", "/fleet/edges")) == len(NAMES))
        yield told


def test_the_page_shows_the_edges_and_drains_one(api: ControlApi, told: ToldEdges) -> None:
    with Person(api, api.operator) as person:
        shown = person.get("/fleet").text
        assert 'href="/fleet" aria-current="page"' in shown
        assert all(f'href="/fleet/{name}"' in shown for name in NAMES)
        assert "3 edges" in shown
        assert shown.count('<svg class="fleet ') == 2
        found = person.get("/fleet?q=rome").text
        assert 'href="/fleet/pop-rome-1"' in found
        assert 'href="/fleet/pop-oslo-1"' not in found
        page = person.get("/fleet/pop-rome-1").text
        assert "&lt;b&gt;the account acme is held&lt;/b&gt;" in page
        saved = person.post("/fleet/pop-rome-1", {"ring": "0", "label": "Rome <1>"})
        assert (saved.status_code, saved.headers["location"]) == (303, "/fleet/pop-rome-1")
        assert 'value="Rome &lt;1&gt;"' in person.get("/fleet/pop-rome-1").text
        for form in ({"ring": "x", "label": ""}, {"ring": "10", "label": ""}, {"ring": "0", "label": "x" * 65}):
            wrong = person.post("/fleet/pop-rome-1", form)
            assert wrong.status_code == 400
            assert 'class="wrong"' in wrong.text
        assert person.post("/fleet/pop-rome-1/drain", {}).status_code == 303
        assert "End the drain" in person.get("/fleet/pop-rome-1").text
        assert person.post("/fleet/pop-rome-1/undrain", {}).status_code == 303
        assert person.get("/fleet/nobody").status_code == 404
    edge = next(one for one in api.result("GET", "/fleet/edges") if one["name"] == "pop-rome-1")
    assert (edge["ring"], edge["label"], edge["drained"]) == (0, "Rome <1>", False)
    states = [(one["before"] or {}).get("drained") for one in api.audited() if one["outcome"] == "ok"]
    assert [one for one in states if one is not None] == [False, True]
    with Person(api, api.token("--account", A1)) as customer:
        assert customer.get("/fleet").status_code == 403
        assert 'href="/fleet"' not in customer.get("/").text


@pytest.mark.parametrize(("width", "height"), [(320, 740), (390, 844), (1440, 900)])
def test_the_pages_are_accessible_and_fit(
    api: ControlApi, told: ToldEdges, opened: Open, width: int, height: int
) -> None:
    found: list[str] = []
    for scheme in ("light", "dark"):
        page = opened(api, viewport={"width": width, "height": height}, color_scheme=scheme)
        for path in ("/fleet", "/fleet?q=nothing", "/fleet/pop-rome-1", "/fleet/pop-oslo-1"):
            page.goto(f"{api.origin}{path}")
            found += problems(page)
            if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
                found.append(f"{path} is {wide} wide")
    assert found == []


def test_the_list_is_updated_while_it_is_shown(api: ControlApi, told: ToldEdges, opened: Open) -> None:
    page = opened(api, path="/fleet?q=oslo")
    row = page.locator("tbody tr")
    assert row.count() == 1
    told.version = "2.0"
    page.get_by_role("cell", name="2.0").wait_for()
    assert row.count() == 1  # still what was searched
    assert page.locator("#picture svg.wide rect").count() == len(NAMES)
    page.get_by_role("link", name="pop-oslo-1").click()
    page.get_by_role("button", name="Drain").click()
    page.get_by_role("button", name="End the drain").wait_for()
    assert json.dumps([one["name"] for one in api.result("GET", "/fleet/edges?state=drained")]) == '["pop-oslo-1"]'
