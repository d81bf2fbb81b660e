"""A tireless operator: changes of every kind over the API, and reloads of edited files, one after another."""

from __future__ import annotations

import ipaddress
import itertools

import psutil

from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from tests.api.server import A1, SETTINGS, Z1, Api
from tests.limits import HANG_S

FEW = 50  # zones at a time
EDITED = "globex/zones/example.org.yaml"


class Changing:
    """Changes a running server's data; no two changes in a row are equal."""

    def __init__(self, api: Api, rrl: str = "") -> None:
        """`rrl`: further limits in the settings."""
        self._api = api
        self._rrl = rrl
        self._number = itertools.count(1)
        self._is_on = True
        maps, records = f"/accounts/{A1}/addressing/address_maps", f"/zones/{Z1}/dns_records"
        given = {"ips": ["203.0.113.7"], "enabled": True, "memberships": [{"kind": "zone", "identifier": Z1}]}
        self._map = f"{maps}/{api.result('POST', maps, given)['id']}"
        record = {"name": "often", "type": "A", "content": "192.0.2.1"}
        self._record = f"{records}/{api.result('POST', records, record)['id']}"

    def edit_map(self) -> None:
        """Enable or disable the map, so that its zone is answered from another pool."""
        self._is_on = not self._is_on
        self._api.result("PATCH", self._map, {"enabled": self._is_on})

    def edit_record(self) -> None:
        """Give the record a new address, and query it."""
        address = str(ipaddress.IPv4Address("10.0.0.0") + next(self._number))
        self._api.result("PATCH", self._record, {"content": address})
        assert self._api.ask("often.example.com") == [address]

    def reload(self) -> None:
        """Edit a zone's file and the limits, and reload."""
        number = next(self._number)
        record = f"{{name: www, type: A, content: 192.0.2.{number % 250 + 1}, proxied: true}}"
        self._api.write(EDITED, f"{self._api.read(EDITED).partition('records:')[0]}records:\n- {record}\n")
        limits = f"limits: {{rrl: {{responses_per_second: {1000 + number % 7}, {self._rrl}}}}}\n"
        self._api.config.write_text(SETTINGS + limits)
        result = ask(state_folder(self._api.config), MessageKind.RELOAD, {"force": False}, timeout_s=60)
        assert result["ok"], result

    def make_and_delete_zones(self, count: int = FEW) -> None:
        """Create and delete this many zones."""
        made = [self._make_zone() for _ in range(count)]
        for zone_id in made:
            self._api.result("DELETE", f"/zones/{zone_id}")

    def _make_zone(self) -> str:
        name = f"shop-{next(self._number)}.example"
        made = self._api.result("POST", "/zones", {"name": name, "account": {"id": A1}})
        assert self._api.ask(name, "NS")
        return str(made["id"])


def memory_kib(api: Api) -> dict[str, int]:
    """The memory of each process of the server."""
    processes = ask(state_folder(api.config), MessageKind.STATUS, {}, timeout_s=HANG_S)["processes"]
    return {one["process"]: psutil.Process(one["pid"]).memory_info().rss // 1024 for one in processes}
