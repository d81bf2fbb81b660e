"""Every read of the API and the dashboard, and a plan, with a large zone and many zones: no step is long for others."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from dnsd.api.app import BASE, api_app
from dnsd.api.routes import ROUTES
from dnsd.api.turns import planned_in_turns
from dnsd.control import service
from dnsd.dashboard.app import dashboard_app
from dnsd.dashboard.routes import ROUTES as PAGES
from dnsd.manage.plan import plan_of
from dnsd.manage.service import Actor
from dnsd.process import tasks, turns
from tests.api import test_access
from tests.browser.sessions import SECRET
from tests.limits import HANG_S, IS_LONG, judged
from tests.soak.conftest import Scale
from tests.unit.control.scheduling import Life, Scheduling

Figures = Callable[..., None]

MOST_S = judged(0.1)  # of one step, in CPU time
SOA = "$ORIGIN agora.example.\n@ 3600 SOA ns1.example.net. host.agora.example. 1 2 3 4 5\n"
SMALL = """records:
- {name: www, type: A, content: 192.0.2.1, proxied: true}
- {name: x, type: CNAME, content: h7.p7.agora.example}
"""
QUERIES = {  # further forms of a read, by the end of its path
    "/dns_records": (
        "per_page=50000",
        "search=h77",
        "content.contains=:1",
        "name.startswith=h9&page=3",
        "order=content&direction=desc&page=100",
        "type=CNAME",
    ),
    "/zones": ("per_page=1000", "name.contains=z9"),
    "/export": ("view=answered",),
    "/explain": ("name=h5.p5.agora.example&type=AAAA", "name=missing.p5.agora.example&type=AAAA"),
    "/records": ("search=h77", "page=300"),
}


class Steps:
    """The longest step of each request, in the loop and in threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.request = ""
        self.longest: dict[str, float] = {}
        self.answered = 0
        monkeypatch.setattr(turns, "_one_turn", self._one_turn)
        monkeypatch.setattr(tasks, "_outcome", partial(self._timed, tasks._outcome))
        monkeypatch.setattr(asyncio.events.Handle, "_run", self._in_loop(asyncio.events.Handle._run))

    def _timed(self, work: Callable[..., Any], *given: Any) -> Any:
        began = time.thread_time()
        try:
            return work(*given)
        finally:
            spent = time.thread_time() - began
            self.longest[self.request] = max(self.longest.get(self.request, 0.0), spent)

    def _one_turn(self, steps: Iterator[None]) -> tuple[Any] | None:
        try:
            self._timed(next, steps)
        except StopIteration as last:
            return (last.value,)
        return None

    def _in_loop(self, run: Callable[[Any], None]) -> Callable[[Any], None]:
        return lambda handle: self._timed(run, handle)


def test_no_step_of_a_read_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: Scale, figures: Figures
) -> None:
    names, zones = scale(2_000, 200_000), scale(20, 1_000)
    monkeypatch.setattr(service, "SERVED_WITHIN_S", 0)
    records = "".join(
        f"h{number}.p{number % 977} 300 AAAA 2001:db8:{number >> 16:x}::{number & 65535:x}"
        f" ; {'cf_tags=cf-proxied:true' if number % 3 == 0 else f'stall {number}'}\n"
        for number in range(names)
    )
    files = {**test_access.FILES, "acme/zones/agora.example.zone": SOA + records}
    files |= {f"acme/zones/z{number}.test.yaml": SMALL for number in range(zones)}
    world = Scheduling(tmp_path / "world", files)
    _, secret = world.tokens.create(name="reader", now=datetime.now(UTC))
    steps = Steps(monkeypatch)
    gc.collect()
    gc.disable()  # its time is not a step's
    try:
        world.run(partial(read_all, world, secret, steps))
    finally:
        gc.enable()
    steps.longest.pop("")
    slowest = max(steps.longest, key=lambda one: steps.longest[one])
    longest = f"{1e3 * steps.longest[slowest]:.0f} ms ({re.sub('[0-9a-f]{32}', 'ID', slowest)})"
    figures("S3", "longest step of a read", reads=steps.answered, longest=longest)
    assert steps.answered > 100
    assert steps.longest[slowest] <= MOST_S, slowest
    assert IS_LONG or names < 10_000


async def read_all(world: Scheduling, secret: str, steps: Steps, life: Life) -> None:
    """Send every read; none fails."""
    failed: list[str] = []
    dataset = life.service.loaded.dataset
    zone_id = next(one.id for one in dataset.zones.values() if one.name_text == "agora.example")
    api = httpx.ASGITransport(api_app(life.service, failed.append))
    pages = httpx.ASGITransport(dashboard_app(life.service, life.control.sessions, failed.append))
    bearer = {"Authorization": f"Bearer {secret}"}
    async with (
        httpx.AsyncClient(transport=api, base_url=f"http://127.0.0.1{BASE}", headers=bearer, timeout=HANG_S) as client,
        httpx.AsyncClient(transport=pages, base_url="http://127.0.0.1", timeout=HANG_S) as person,
    ):
        records = f"/zones/{zone_id}/dns_records"
        record_id = (await client.get(records)).json()["result"][0]["id"]
        changed = await client.patch(f"{records}/{record_id}", json={"comment": "changed"})
        assert changed.status_code == 200, changed.text
        version = (await client.get(f"/zones/{zone_id}/history")).json()["result"][0]["version"]
        known = {**test_access.USUAL, "zone_id": zone_id, "record_id": record_id, "version": version}
        form_secret = SECRET.search((await person.get("/sign-in")).text)
        assert form_secret
        form = {"token": secret, "next": "/", "form_secret": form_secret[1]}
        assert (await person.post("/sign-in", data=form)).status_code == 303
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in person.cookies.items())}
        person.cookies.clear()  # those marked Secure would not be sent
        for of, get, routes in (("API", client.get, ROUTES), ("page", partial(person.get, headers=cookies), PAGES)):
            for route in routes:
                if route.method == "GET":
                    path = re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], "x"), route.path)
                    await read_forms(of, get, path, steps)
        steps.request = ""
        before = life.service.loaded
        assert (await client.delete(f"{records}/{record_id}")).status_code == 200
        steps.request = "plan of a removed name"
        actor = Actor(world.token("planner"), "")
        plan = await planned_in_turns(
            actor, plan_of(before, life.service.loaded, before.dataset.zones[zone_id].account_id)
        )
        assert plan.names_total == 1
    steps.request = ""
    assert failed == []


async def read_forms(of: str, get: Callable[[str], Awaitable[httpx.Response]], path: str, steps: Steps) -> None:
    """Read a path in all its forms."""
    forms = next((forms for end, forms in QUERIES.items() if path.endswith(end)), ())
    for url in (path, *(f"{path}?{query}" for query in forms)):
        steps.request = f"{of} {url}"
        response = await get(url)
        assert response.status_code < 500, (url, response.text)
        steps.answered += response.status_code == 200
