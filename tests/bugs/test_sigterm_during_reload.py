"""SIGTERM during the loading of a large configuration ends the server without waiting (reliability.md R11)."""

from __future__ import annotations

import pathlib
import signal
import time

from tests.limits import HANG_S, judged
from tests.live.server import Dnsd
from tests.packets import answers, query
from tests.worlds import AccountFiles, World, write_world

APEX = "$TTL 60\n@ SOA ns1.example.net. host 1 2 3 4 5\n@ NS ns1.example.net.\n"
RECORDS = 150_000  # far more than five seconds' work


def test_server_ends_before_the_configuration_is_loaded(tmp_path: pathlib.Path) -> None:
    zone = APEX + "www A 192.0.2.1\n"
    files = AccountFiles(zones={"example.com.zone": zone})
    with Dnsd(write_world(World({"default_addresses": ["198.51.100.10"]}, {"a1": files}), tmp_path)) as server:
        large = zone + "".join(f"n{number} A 192.0.2.1\n" for number in range(RECORDS))
        (tmp_path / "accounts/a1/zones/example.com.zone").write_text(large, encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert answers(server.udp(query("www.example.com"))) == ["192.0.2.1"]
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(HANG_S) == 0
        assert time.monotonic() - started < judged(5)
    assert "reloaded: " not in server.stderr.text()
