"""The brake counts feeds of observed routes like any other way to change answers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.api.server import SETTINGS, Api
from tests.limits import HANG_S

ROUTES = "/addressing/observed_routes"
NAMES = ("ash", "birch", "cedar", "dogwood")
FILES = {
    name: text
    for number, tree in enumerate(NAMES)
    for name, text in {
        f"{tree}/account.yaml": f"withdrawn: skip\nprefixes: [{{cidr: 10.{number}.0.0/16, approved: V}}]\n",
        f"{tree}/maps/m.yaml": f"enabled: true\nips: [10.{number}.1.1, 10.{number}.2.1]\n"
        f"memberships: [{{kind: account, identifier: {tree}}}]\n",
        f"{tree}/zones/{tree}.example.yaml": "records: [{name: www, type: A, content: 192.0.2.1, proxied: true}]\n",
    }.items()
}


def settings(**advertisement: Any) -> str:
    reload = {"brake": {"accounts": 2, "accounts_percent": 0}}
    return f"{SETTINGS}reload: {json.dumps(reload)}\nadvertisement: {json.dumps(advertisement)}\n"


def routes(*numbers: int, advertised: bool = False) -> dict[str, Any]:
    return {"routes": [{"cidr": f"10.{number}.1.0/24", "advertised": advertised} for number in numbers]}


def skipping(api: Api) -> list[str]:
    """The accounts that leave an address out."""
    return [tree for tree in NAMES if len(api.ask(f"www.{tree}.example")) == 1]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_feed_over_the_limit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with Api(tmp_path, FILES, settings=settings()).running() as api:
        api.result("PUT", ROUTES, routes(0, 1))
        assert skipping(api) == ["ash", "birch"]
        status, code, message = api.refused("PUT", ROUTES, routes(2, 3))
        assert (status, code) == (400, 1002)
        assert "4 accounts" in message
        assert "the limit is 2" in message
        assert "dnsd brake release" in message
        assert skipping(api) == ["ash", "birch"]
        assert {one["cidr"] for one in api.result("GET", ROUTES)} == {"10.0.1.0/24", "10.1.1.0/24"}
        api.result("PUT", ROUTES, routes(0, 1, advertised=True))  # the way back is never refused
        assert skipping(api) == []
        api.result("PUT", ROUTES, routes(2, 3))
        assert skipping(api) == ["cedar", "dogwood"]


def test_watched_file_over_the_limit_waits_while_its_returns_are_applied(tmp_path: Path) -> None:
    file = tmp_path / "routes.json"

    def write(feed: dict[str, Any]) -> None:
        new = tmp_path / "routes.new"
        new.write_text(json.dumps(feed))
        os.replace(new, file)

    with Api(tmp_path, FILES, settings=settings(file="routes.json")).running() as api:
        write(routes(0, 1))
        eventually(lambda: skipping(api) == ["ash", "birch"])
        feed = {"routes": [*routes(1, 2, 3)["routes"], *routes(0, advertised=True)["routes"]]}
        write(feed)
        eventually(lambda: skipping(api) == ["birch"])
        eventually(lambda: "observed withdrawals wait" in api.dns.stderr.text())
        assert skipping(api) == ["birch"]
        write(routes(0, 1, 2, 3, advertised=True))
        eventually(lambda: skipping(api) == [])
