"""Changes by a control process without workers: API and dashboard say that no DNS answer has them yet."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from dnsd.api.app import NOT_SERVED, api_app
from dnsd.dashboard.app import dashboard_app
from dnsd.model.fields import derived_id
from tests.browser.sessions import secret_of
from tests.limits import HANG_S
from tests.unit.control.scheduling import ACME, FILES, SHOP, Life, Scheduling

MAP = f"/client/v4/accounts/{ACME}/addressing/address_maps/{SHOP}"
INITECH = derived_id("account", "initech")
LENT = {
    **FILES,
    "acme/account.yaml": "name: Acme\n"
    "prefixes:\n"
    "- {cidr: 203.0.113.0/24, approved: V, delegations: [{cidr: 203.0.113.128/25, account: initech}]}\n"
    "- cidr: 198.51.100.0/25\n"
    "  delegations: [{cidr: 198.51.100.0/26, account: initech}, {cidr: 198.51.100.64/26, account: globex}]\n",
    "globex/account.yaml": "name: Globex\nstatic_ips: [198.51.100.1]\n",
    "initech/account.yaml": "name: Initech\n",
}


async def call(life: Life, method: str, path: str, body: Any = None) -> Any:
    _, secret = life.service.tokens.create(name="operator", now=datetime.now(UTC))
    app = api_app(life.service, life.world.lines.append)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=HANG_S) as client:
        response = await client.request(method, path, json=body, headers={"Authorization": f"Bearer {secret}"})
    return response.json()


@pytest.mark.parametrize("is_served", [False, True])
def test_change_that_no_worker_serves_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_served: bool
) -> None:
    async def work(life: Life) -> tuple[Any, Any]:
        if is_served:
            monkeypatch.setattr(life.control.publisher, "late", lambda revision: [])
        return await call(life, "PATCH", MAP, {"description": "new"}), await call(life, "GET", MAP)

    changed, shown = Scheduling(tmp_path / "world").run(work)
    assert changed["success"], changed
    assert [one["message"] for one in changed["messages"]] == [NOT_SERVED] * (not is_served)
    assert (shown["result"]["description"], shown["messages"]) == ("new", [])


@pytest.mark.parametrize("is_served", [False, True])
def test_dashboard_says_after_a_change_that_no_worker_serves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_served: bool
) -> None:
    async def work(life: Life) -> str:
        if is_served:
            monkeypatch.setattr(life.control.publisher, "late", lambda revision: [])
        _, token = life.service.tokens.create(name="operator", now=datetime.now(UTC))
        transport = httpx.ASGITransport(app=dashboard_app(life.service, life.control.sessions, life.world.lines.append))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=HANG_S) as client:
            sign_in = {"token": token, "form_secret": secret_of(await client.get("/sign-in"))}
            assert (await client.post("/sign-in", data=sign_in)).status_code == 303
            page = f"/accounts/{ACME}/maps/{SHOP}"
            secret = secret_of(await client.get(f"{page}/disable"))
            assert (await client.post(f"{page}/disable", data={"form_secret": secret})).status_code == 303
            return (await client.get(page)).text

    page = Scheduling(tmp_path / "world").run(work)
    assert "is disabled." in page
    assert ("not every worker serves it yet" in page) != is_served


def test_deleted_account_takes_the_delegations_to_it_along(tmp_path: Path) -> None:
    """Also those of a part that is not approved; others stay."""
    world = Scheduling(tmp_path / "world", LENT)

    async def work(life: Life) -> Any:
        return await call(life, "DELETE", f"/client/v4/accounts/{INITECH}")

    deleted = world.run(work)
    assert deleted["success"], deleted
    assert "initech" not in world.read("acme/account.yaml")
    assert "{cidr: 198.51.100.64/26, account: globex}" in world.read("acme/account.yaml")
    world.run(lambda life: call(life, "GET", MAP))  # the files are valid
