"""Operators are told of a start with much less data, of settings that wait for a restart, and of the end."""

from __future__ import annotations

import pathlib
import signal

from dnsd.process.link import MessageKind, ask
from dnsd.settings.written import state_folder
from tests.limits import HANG_S
from tests.live.server import Dnsd
from tests.packets import answers, query
from tests.soak.harness import Soaked, soak_world, wait_until
from tests.worlds import write_world

DNS = query("dns.example.com")


def test_start_with_much_less_data_is_a_warning(tmp_path: pathlib.Path) -> None:
    with Soaked(tmp_path) as server:
        served = server.metric("dnsd_names")
    for zone in tmp_path.glob("accounts/*/zones/*"):
        if zone.name != "example.com.yaml":
            zone.unlink()
    zone = tmp_path / "accounts/acme/zones/example.com.yaml"
    zone.write_text("records:\n- {name: dns, type: A, content: 192.0.2.2}\n")
    with Dnsd(tmp_path / "dnsd.yaml") as again:
        said = f"warning: serving 2 names; {served:.0f} were served before this start"
        wait_until(lambda: said in again.stderr.text(), again.stderr.text)  # after the server answers
        assert answers(again.udp(DNS)) == ["192.0.2.2"]


def test_start_with_as_much_data_is_no_warning(tmp_path: pathlib.Path) -> None:
    for _ in range(2):
        with Soaked(tmp_path) as server:
            assert "before this start" not in server.stderr.text()


def test_reload_warns_of_settings_that_wait_for_a_restart(tmp_path: pathlib.Path) -> None:
    with Soaked(tmp_path) as server:
        settings = tmp_path / "dnsd.yaml"
        settings.write_text(settings.read_text() + "user: somebody\n")
        line = len(settings.read_text().splitlines())
        for _ in range(2):  # until the restart
            done = server.reload()
            assert done.returncode == 0
            assert f"{settings}:{line}:1: user: the change takes effect after a restart" in done.stderr
        assert any("user: the change takes" in problem for problem in server.status()["source"]["problems"])


def test_status_after_a_start_from_the_snapshot(tmp_path: pathlib.Path) -> None:
    with Soaked(tmp_path) as server:
        names = server.status()["data"]["names"]
    with Soaked(tmp_path) as server:
        (tmp_path / "accounts").rename(tmp_path / "gone")
        assert server.reload().returncode == 1
        shown = server.cli("status").stdout
        assert "not ready, but answering" in shown.splitlines()[0]
    config = tmp_path / "dnsd.yaml"
    with Dnsd(config):
        assert ask(state_folder(config), MessageKind.STATUS, {}, timeout_s=HANG_S)["data"] == {"names": names}


def test_the_end_is_logged(tmp_path: pathlib.Path) -> None:
    with Dnsd(write_world(soak_world(), tmp_path)) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(HANG_S) == 0
        server.stop()
        assert "shutting down" in server.stderr.text()
