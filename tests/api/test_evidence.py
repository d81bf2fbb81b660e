"""Changes whose entry in the audit log cannot be written, over HTTP: 507 with code 1006, and /readyz says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.server import A1, A2, FILES, SETTINGS, Z1, Z2, Z3, Api
from tests.browser.sessions import Person
from tests.limits import HANG_S

RECORD = {"type": "A", "name": "n", "content": "192.0.2.9", "ttl": 60}
WITH_METRICS = f'{SETTINGS}metrics: {{listen: "127.0.0.1:0"}}\n'


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A server whose log of the account acme cannot be written."""
    with Api(tmp_path, FILES, settings=WITH_METRICS).running() as api:
        (tmp_path / "state/audit" / f"{A1}.log").mkdir(parents=True)
        yield api


def test_delete_without_evidence_is_refused(api: Api) -> None:
    acme, globex = api.token("--account", A1), api.token("--account", A2)
    made = api.result("POST", f"/zones/{Z1}/dns_records", RECORD, token=acme)["id"]  # made without an entry
    for path in (f"/zones/{Z2}", f"/zones/{Z1}/dns_records/{made}"):
        before = api.read("acme/zones/example.com.yaml"), api.read("acme/zones/example.net.yaml")
        status, code, message = api.refused("DELETE", path, token=acme)
        assert (status, code) == (507, 1006)
        assert "state" not in message  # the server's files are not the tenant's business
        assert (api.read("acme/zones/example.com.yaml"), api.read("acme/zones/example.net.yaml")) == before
    assert api.ask("n.example.com") == ["192.0.2.9"]
    token = api.result("GET", "/user/tokens/verify", token=acme)["id"]
    assert api.refused("DELETE", f"/accounts/{A1}/tokens/{token}", token=acme)[:2] == (507, 1006)
    with Person(api, acme) as person:
        assert person.post(f"/zones/{Z2}/delete", {"name": "example.net"}).status_code == 507
    line = next(line for line in api.dns.stdout.text().splitlines() if line.endswith(" metrics"))
    url = f"http://{line.split()[2]}"
    ready = httpx.get(f"{url}/readyz", timeout=HANG_S)
    assert ready.status_code == 200  # DNS is answered: a load balancer must not drop the server
    assert "audit log: " in ready.text
    assert "changes with entries there are refused if they remove something" in ready.text
    api.result("DELETE", f"/zones/{Z3}", token=globex)  # other accounts have their own files
    (api.folder / "state/audit" / f"{A1}.log").rmdir()
    api.result("DELETE", f"/zones/{Z2}", token=acme)
    assert httpx.get(f"{url}/readyz", timeout=HANG_S).text == "ok\n"
    actions = [one["action"] for one in api.audited()]
    assert "audit.gap" in actions
    assert actions.count("zone.delete") == 2
