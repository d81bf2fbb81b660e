"""A hostile tenant: the holder of a token of one account, who does anything the API and the dashboard offer, in haste.

Every request is allowed by the token, or is one that a stranger may send. The work asked for is as large as the limits
of requests allow.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import httpx

from dnsd.api.routes import ROUTES
from dnsd.dashboard.routes import ROUTES as PAGES
from tests.api.server import BASE, Api
from tests.browser.sessions import Person
from tests.limits import HANG_S

PARAMETER = re.compile(r"\{(\w+)\}")
RECORDS_KEPT = 200  # the tenant deletes what is above, so that its data has a steady size
ZONES_KEPT = 20
LINES = 2_000  # of an imported file
SPACES = " " * 400
JUNK = ("[" * 100_000, "{" * 100_000, '{"a":' * 20_000, "\x00" * 1_000, "9" * 100_000, '"' + "\\ud800" * 10_000 + '"')
QUERIES = ("search=a", "per_page=5000", "order=content&direction=desc", "name.contains=x&match=any", "page=9999999", "")


class HostileTenant:
    """`with HostileTenant(api, token, account, zone): …`: requests on several connections until the end."""

    def __init__(self, api: Api, token: str, account: str, zone: str, *, connections: int = 6) -> None:
        """`account` and `zone` are ids of the tenant's; the zone is not deleted."""
        self.statuses: Counter[int] = Counter()
        self.broken: list[str] = []  # requests that ended in a 5xx or in no response
        self._api = api
        self._token = token
        self._account, self._zone = account, zone
        self._numbers = itertools.count(1)
        self._zones: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(seed,), daemon=True) for seed in range(connections)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        rng = random.Random(seed)
        kinds: list[Callable[[Worker], None]] = [kind for kind, times in KINDS.items() for _ in range(times)]
        with (
            httpx.Client(base_url=self._api.origin, timeout=HANG_S) as client,
            Person(self._api, self._token) as person,
        ):
            worker = Worker(self, rng, client, person)
            while not self._stop.is_set():
                rng.choice(kinds)(worker)


class Worker:
    """One connection of a hostile tenant, and a session on the dashboard."""

    def __init__(self, tenant: HostileTenant, rng: random.Random, client: httpx.Client, person: Person) -> None:
        self.tenant, self.rng = tenant, rng
        self._client, self._person = client, person
        self._headers = {"Authorization": f"Bearer {tenant._token}"}
        self.ids = {"account_id": tenant._account, "zone_id": tenant._zone}

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The result of a request over the API; None if it was refused."""
        if body is not None:
            options["json"] = body
        headers = self._headers | options.pop("headers", {})
        response = self._noted(
            f"{method} {path}", lambda: self._client.request(method, BASE + path, headers=headers, **options)
        )
        if response is None or not response.is_success or "json" not in response.headers.get("content-type", ""):
            return None
        return response.json().get("result")

    def page(self, path: str) -> None:
        """A page of the dashboard."""
        self._noted(f"page {path}", lambda: self._person.get(path))

    def form(self, path: str, fields: dict[str, str]) -> None:
        """A form sent to the dashboard."""
        self._noted(f"form {path}", lambda: self._person.post(path, fields))

    def filled(self, path: str) -> str:
        """A path with ids of the tenant's objects; unknown ones are made up."""
        return PARAMETER.sub(lambda found: self.ids.get(found[1]) or self.rng.randbytes(16).hex(), path)

    def number(self) -> int:
        return next(self.tenant._numbers)

    def _noted(self, what: str, send: Callable[[], httpx.Response]) -> httpx.Response | None:
        try:
            response = send()
        except httpx.HTTPError as error:
            self.tenant.broken.append(f"{what[:120]}: {error!r}")
            return None
        self.tenant.statuses[response.status_code] += 1
        if response.status_code >= 500:
            self.tenant.broken.append(f"{what[:120]}: {response.status_code} {response.text[:200]}")
        return response


# The kinds of requests.

READS = [route.path for route in ROUTES if route.method == "GET"]
WRITES = [route.path for route in ROUTES if route.method in ("POST", "PUT", "PATCH")]
PAGES_READ = [page.path for page in PAGES if page.method == "GET" and "roll" not in page.path]


def read_anything(worker: Worker) -> None:
    worker.call("GET", f"{worker.filled(worker.rng.choice(READS))}?{worker.rng.choice(QUERIES)}")


def look_at_anything(worker: Worker) -> None:
    worker.page(worker.filled(worker.rng.choice(PAGES_READ)))


def make_records(worker: Worker) -> None:
    records = f"/zones/{worker.ids['zone_id']}/dns_records"
    name = f"n{worker.number()}"
    comment = f"a{SPACES}b"
    made = worker.call("POST", records, {"name": name, "type": "A", "content": "192.0.2.9", "comment": comment})
    if made:
        worker.ids["record_id"] = made["id"]
        worker.call("PATCH", f"{records}/{made['id']}", {"content": "192.0.2.10", "proxied": True})


def change_many_records(worker: Worker) -> None:
    records = f"/zones/{worker.ids['zone_id']}/dns_records"
    found = worker.call("GET", f"{records}?per_page=5000") or []
    doomed = [{"id": one["id"]} for one in found[RECORDS_KEPT:]]
    posts = [{"name": f"b{worker.number()}", "type": "TXT", "content": f'"{"x" * 200}"'} for _ in range(100)]
    worker.call("POST", f"{records}/batch", {"deletes": doomed, "posts": posts})


def import_file(worker: Worker) -> None:
    lines = "".join(f"i{worker.number()} 60 IN A 192.0.2.{index % 250} ; {SPACES}\n" for index in range(LINES))
    files = {"file": ("zone.txt", lines.encode())}
    worker.call("POST", f"/zones/{worker.ids['zone_id']}/dns_records/import", files=files)


def make_zones(worker: Worker) -> None:
    name = worker.rng.choice(("t{}.example", "a.t{}.test", "www.other{}.example")).format(worker.number())
    made = worker.call("POST", "/zones", {"name": name, "account": {"id": worker.ids["account_id"]}})
    if made:
        worker.tenant._zones.append(made["id"])
    if len(worker.tenant._zones) > ZONES_KEPT:
        worker.call("DELETE", f"/zones/{worker.tenant._zones.pop(0)}")


def edit_zone(worker: Worker) -> None:
    zone = f"/zones/{worker.ids['zone_id']}"
    worker.call("PATCH", zone, {"paused": worker.rng.random() < 0.5})
    for version in (worker.call("GET", f"{zone}/history") or [])[-1:]:
        worker.call("POST", f"{zone}/history/{version['version']}/restore")


def edit_maps(worker: Worker) -> None:
    maps = f"/accounts/{worker.ids['account_id']}/addressing/address_maps"
    ips = [f"203.0.113.{number}" for number in worker.rng.sample(range(1, 250), 100)]
    members = [{"kind": "zone", "identifier": worker.ids["zone_id"]}]
    made = worker.call("POST", maps, {"ips": ips, "enabled": True, "memberships": members, "description": SPACES})
    if made:
        worker.ids["map_id"] = made["id"]
        worker.call("POST", f"{maps}/plan", {"map_id": made["id"], "enabled": False})
        worker.call("PATCH", f"{maps}/{made['id']}", {"enabled": False})
        worker.call("DELETE", f"{maps}/{made['id']}")


def schedule(worker: Worker) -> None:
    account = f"/accounts/{worker.ids['account_id']}/addressing"
    if map_id := worker.ids.get("map_id"):
        worker.call("PATCH", f"{account}/address_maps/{map_id}?at=2099-01-01T00:00:00Z", {"enabled": True})
    for change in (worker.call("GET", f"{account}/pending_changes") or [])[:5]:
        worker.call("DELETE", f"{account}/pending_changes/{change['id']}")


def give_space_away(worker: Worker) -> None:
    prefixes = f"/accounts/{worker.ids['account_id']}/addressing/prefixes"
    cidr = f"2001:db8:{worker.rng.randrange(0x1000, 0xFFFF):x}::/48"
    made = worker.call("POST", prefixes, {"cidr": cidr, "asn": 64_500})
    for prefix in (worker.call("GET", prefixes) or []) if made else []:
        worker.call("POST", f"{prefixes}/{prefix['id']}/validate")
        if prefix["cidr"] != "203.0.113.0/24":
            worker.call("DELETE", f"{prefixes}/{prefix['id']}")


def make_tokens(worker: Worker) -> None:
    tokens = f"/accounts/{worker.ids['account_id']}/tokens"
    for token in worker.call("GET", f"{tokens}?per_page=50") or []:
        if token["name"] == "child":
            worker.call("DELETE", f"{tokens}/{token['id']}")
    groups = worker.call("GET", f"{tokens}/permission_groups") or []
    resources = {f"com.cloudflare.api.account.{worker.ids['account_id']}": "*"}
    policy = {"effect": "allow", "resources": resources, "permission_groups": [{"id": one["id"]} for one in groups[:1]]}
    worker.call("POST", tokens, {"name": "child", "policies": [policy]})


def send_junk(worker: Worker) -> None:
    body = worker.rng.choice(JUNK)
    path = worker.filled(
        worker.rng.choice([route.path for route in ROUTES if route.method in ("POST", "PUT", "PATCH")])
    )
    worker.call("POST", path, content=body, headers={"Content-Type": "application/json"})


def send_forms(worker: Worker) -> None:
    path = worker.filled(f"/zones/{worker.ids['zone_id']}/records/import")
    worker.form(path, {"text": "x 60 A 192.0.2.1\n" * LINES})
    worker.page(f"/explain?name={'a.' * 100}test&type=ANY")


KINDS: dict[Callable[[Worker], None], int] = {
    read_anything: 8,
    look_at_anything: 8,
    make_records: 4,
    change_many_records: 2,
    import_file: 1,
    make_zones: 3,
    edit_zone: 1,
    edit_maps: 3,
    schedule: 1,
    give_space_away: 1,
    make_tokens: 1,
    send_junk: 2,
    send_forms: 1,
}
