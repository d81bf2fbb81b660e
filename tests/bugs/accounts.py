"""Zones of the accounts of a running API, for tests of former bugs."""

from __future__ import annotations

import time
from typing import Any

from tests.api.server import Z1, Api
from tests.limits import HANG_S

RECORDS = f"/zones/{Z1}/dns_records"
MASTER = """\
; keep me
$ORIGIN m.test.
$TTL 300
@ SOA ns1.example.net. hostmaster.m.test. 1 10000 2400 604800 300
@ NS ns1.example.net.
www A 192.0.2.1
"""


def made_zone(api: Api, account_id: str, name: str, token: str) -> str:
    return str(api.result("POST", "/zones", {"name": name, "account": {"id": account_id}}, token=token)["id"])


def wait_for(is_so: Any, within_s: float = HANG_S) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
