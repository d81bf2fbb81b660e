"""The settings that all nodes of a fleet share: given, changed while nodes run, refused or passed over where wrong."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dnsd.cli.commands import main
from dnsd.fleet import import_folder, settings_change
from dnsd.fleet.edge_record import EdgeRecord, edge_subject
from dnsd.fleet.level import NEWEST_LEVEL
from dnsd.fleet.link import EngineRefusedError, NoAnswerError
from dnsd.fleet.node import FleetNode
from dnsd.fleet.root import RootFolder
from dnsd.fleet.settings_in_force import settings_value
from dnsd.fleet.subjects import META, SETTINGS
from tests.api.server import A1
from tests.api.server import FILES as API_FILES
from tests.fleet.commands import fleet, put_shared
from tests.fleet.edges import FILES, POOL, EdgeFolder, FleetSource
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import connected, control_folder, new_edge, run
from tests.fleet.test_control import ControlApi, wait_for

pytestmark = [needs_nats_server, pytest.mark.usefixtures("server")]
MAP = "öst/maps/butik 1.yaml"
OTHER = "\ufeff# new\r\ndefault_addresses: [198.51.100.9, '2001:db8:f::9']\r\nnameservers: [ns1.edge.example]\r\n"
SHARED_KEYS = ("default_addresses", "nameservers")


@pytest.fixture
def source(root: RootFolder, tmp_path: Path) -> FleetSource:
    """A source whose import gives the fleet settings."""
    source = FleetSource(root, tmp_path)
    source.use(control_folder(root))
    source.put(FILES)
    return source


def imported(source: FleetSource) -> None:
    done = fleet(source.config, "import", str(source.accounts))
    assert done.exit_code == 0, done.output


def without_shared(config: Path, **more: Any) -> None:
    """A node's own settings, without those that it gets from the fleet."""
    own = json.loads(config.read_text()) | more
    config.write_text(json.dumps({key: value for key, value in own.items() if key not in SHARED_KEYS or key in more}))


def change(source: FleetSource, text: str, *words: str) -> Any:
    return fleet(source.config, "settings", "-", *words, text=text)


def test_the_first_import_gives_them_and_a_change_is_live(source: FleetSource, folder: EdgeFolder) -> None:
    imported(source)
    shown = fleet(source.config, "settings")
    assert shown.exit_code == 0
    assert "198.51.100.1" in shown.output
    assert "ns1.edge.example" in shown.output
    assert "listen" not in shown.output
    without_shared(folder.config)
    with folder.serving() as edge:
        assert edge.addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]
        planned = change(source, OTHER, "--plan")
        assert planned.exit_code == 0, planned.output
        assert "default_addresses: 198.51.100.1, 2001:db8:f::1 -> 198.51.100.9, 2001:db8:f::9\n" in planned.output
        assert "with default_addresses, 1 name of 1 account change their addresses" in planned.output
        assert planned.output.endswith("1 setting would change\n")
        assert edge.addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]
        changed = change(source, OTHER)
        assert changed.output == planned.output.replace("would change", "changed")
        edge.becomes("www.west.example", ["2001:db8:f::9"], "AAAA")
        assert fleet(source.config, "settings").stdout_bytes == OTHER.encode()
        target = source.accounts.parent / "settings.yaml"
        done = fleet(source.config, "export", str(source.accounts.parent / "out"), "--settings", str(target))
        assert done.exit_code == 0, done.output
        assert target.read_bytes() == OTHER.encode()
    imported(source)  # later ones leave them as they are
    assert fleet(source.config, "settings").stdout_bytes == OTHER.encode()
    assert "198.51.100.9" in (folder.state / "fleet_settings.yaml").read_text()


LATER = {
    "keys": settings_value((OTHER + "of_a_later_version: 1\n").encode(), 9),
    "form": b'{"v":2,"modified":9}\nanything',
}


@pytest.mark.parametrize("what", LATER)
def test_those_of_a_later_version_leave_the_last_good_ones_in_force(
    source: FleetSource, folder: EdgeFolder, root: RootFolder, what: str
) -> None:
    imported(source)
    without_shared(folder.config)
    for is_restarted in (False, True):
        with folder.serving() as edge:
            if not is_restarted:
                put_shared(root, SETTINGS, lambda _: LATER[what])
            said = "fleet's settings cannot be used, and the last good ones stay in force"
            wait_for(lambda: said in edge.server.stderr.text())  # noqa: B023
            assert edge.addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]
            source.send({MAP: FILES[MAP] if is_restarted else None})  # accounts' changes come
            edge.becomes("www.ost.example", ["203.0.113.7"] if is_restarted else POOL)
    put_shared(root, SETTINGS, lambda _: settings_value(OTHER.encode(), 10))
    with folder.serving() as edge:
        edge.becomes("www.west.example", ["2001:db8:f::9"], "AAAA")


def test_a_nodes_own_keys_hold_while_the_fleet_has_none(
    source: FleetSource, folder: EdgeFolder, root: RootFolder
) -> None:
    source.send()
    empty = fleet(source.config, "settings")
    assert empty.exit_code == 1
    assert "the fleet has no settings: each node has its own" in empty.output
    put_shared(root, META, lambda meta: json.dumps(json.loads(meta or b"") | {"level": 1}).encode())
    with folder.serving() as edge:
        assert edge.addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]
        early = change(source, OTHER)
        assert early.exit_code == 1
        assert "the fleet has level 1" in early.output
        assert "`dnsd fleet level 2`" in early.output
        assert fleet(source.config, "level").output == "level 1\n"
        assert fleet(source.config, "level", "2").output == "level 1 -> 2\n"
        assert change(source, OTHER).exit_code == 0
        edge.becomes("www.west.example", ["2001:db8:f::9"], "AAAA")
        wait_for(lambda: ": default_addresses: differs from the fleet's settings" in edge.server.stderr.text())
    checked = CliRunner().invoke(main, ["check", "-c", str(folder.config)])
    assert checked.exit_code == 0
    assert "default_addresses: differs from the fleet's settings, which are in force: remove it here" in checked.output


def test_a_level_does_not_go_back_nor_beyond_this_version(source: FleetSource) -> None:
    imported(source)
    assert fleet(source.config, "level").output == f"level {NEWEST_LEVEL}\n"
    for level, said in ((1, "does not go back"), (NEWEST_LEVEL + 1, "upgrade this control first")):
        refused = fleet(source.config, "level", str(level))
        assert refused.exit_code == 1
        assert said in refused.output


def test_what_would_put_an_account_in_error_is_refused(source: FleetSource) -> None:
    two = "- {name: two, type: A, content: 192.0.2.1}\n- {name: two, type: A, content: 192.0.2.2}\n"
    source.put({"west/zones/two.example.yaml": f"records:\n{two}"})
    imported(source)
    tight = f"{OTHER}limits: {{rrset_records: 1}}\n"
    refused = change(source, tight)
    assert refused.exit_code == 1
    assert "2 A records at" in refused.output
    assert refused.output.endswith("nothing was changed\n")
    assert "rrset_records" not in fleet(source.config, "settings").output


WRONG = {
    "a node's key": ("listen: 127.0.0.1:53\n", "standard input:4:1: listen: is a setting of each node"),
    "an unknown key": ("missing_famly: x\n", "standard input:4:1: missing_famly: unknown key"),
    "too much": ("#" * 70_000, "standard input:1:1: has 65,537 octets; the limit is 65,536"),
}


@pytest.mark.parametrize("what", WRONG)
def test_errors_are_those_of_the_settings_file(source: FleetSource, what: str) -> None:
    text, said = WRONG[what]
    refused = change(source, OTHER.replace("\r\n", "\n") + text)
    assert refused.exit_code == 1
    assert said in refused.output


def test_a_change_that_others_overtake_changes_nothing(
    source: FleetSource, root: RootFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(source)
    real = settings_change.planned_settings

    def planned(*args: Any, **more: Any) -> Any:
        put_shared(root, SETTINGS, lambda _: settings_value(b"default_addresses: [198.51.100.7]\n", 9))
        return real(*args, **more)

    monkeypatch.setattr(settings_change, "planned_settings", planned)
    refused = change(source, OTHER)
    assert refused.exit_code == 1
    assert "others have changed the settings meanwhile: nothing was changed" in refused.output
    assert fleet(source.config, "settings").output == "default_addresses: [198.51.100.7]\n"


def test_a_change_goes_on_while_others_change_other_shared_objects(
    source: FleetSource, root: RootFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(source)
    real = settings_change.settings_value

    def value(*args: Any) -> bytes:
        monkeypatch.setattr(settings_change, "settings_value", real)
        put_shared(root, "dnsd.s.e.pop-1", lambda _: b"{}")  # after the head was read, in another process
        return real(*args)

    monkeypatch.setattr(settings_change, "settings_value", lambda *args: in_thread(value, *args))
    assert change(source, OTHER).exit_code == 0
    assert fleet(source.config, "settings").stdout_bytes == OTHER.encode()


def test_a_level_waits_for_all_edges(source: FleetSource, root: RootFolder) -> None:
    imported(source)
    put_shared(root, META, lambda meta: json.dumps(json.loads(meta or b"") | {"level": 1}).encode())
    put_shared(root, edge_subject("pop-1"), lambda _: EdgeRecord("U").packed())
    silent = fleet(source.config, "level", "2")
    assert silent.exit_code == 1
    assert "not all edges read level 2: pop-1 tells nothing: nothing was changed" in silent.output
    with telling(root, "pop-1", b'{"v":1,"level":1}'):
        older = fleet(source.config, "level", "2", "--force")
        assert "pop-1 reads level 1 at most" in older.output
    with telling(root, "pop-1", b'{"v":1}'):
        assert fleet(source.config, "level", "2").output == "level 1 -> 2\n"


@contextmanager
def telling(root: RootFolder, name: str, status: bytes) -> Iterator[None]:
    """An edge that tells this status again and again."""
    ended, folder = threading.Event(), new_edge(root, name)

    async def tell() -> None:
        async with connected(root, folder) as edge:
            while not ended.is_set():
                await edge.connection.publish(f"dnsd.edge.{name}.status", status)
                await edge.connection.flush()
                await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: run(tell()))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def in_thread(work: Any, *args: Any) -> Any:
    """The result of work that runs an event loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *args).result()


def test_an_import_is_judged_by_the_settings_of_the_fleet(source: FleetSource) -> None:
    imported(source)
    assert change(source, f"{OTHER}limits: {{rrset_records: 1}}\n").exit_code == 0
    two = "- {name: two, type: A, content: 192.0.2.1}\n- {name: two, type: A, content: 192.0.2.2}\n"
    source.put({"west/zones/two.example.yaml": f"records:\n{two}"})
    refused = fleet(source.config, "import", str(source.accounts))
    assert refused.exit_code == 1
    assert "2 A records at" in refused.output


def test_commands_say_what_is_missing(source: FleetSource) -> None:
    for words in (("settings",), ("settings", "-"), ("level",), ("level", "2"), ("push", str(source.accounts))):
        empty = fleet(source.config, *words, text=OTHER)
        assert empty.exit_code == 1
        assert "the fleet has no state yet: `dnsd fleet import` makes it" in empty.output


def test_a_control_obeys_them_at_once(source: FleetSource, root: RootFolder, tmp_path: Path) -> None:
    source.put(dict.fromkeys(FILES) | API_FILES)
    imported(source)
    with ControlApi(root, tmp_path / "control").running() as api:
        text = fleet(source.config, "settings").output
        assert change(source, f"{text}quotas: {{zones: 1}}\n").exit_code == 0
        for number in range(500):
            body = {"name": f"n{number}.example", "account": {"id": A1}}
            if not (response := api.call("POST", "/zones", body)).is_success:
                break
        assert "the quota `zones` is 1" in response.text


def test_at_a_later_level_this_version_writes_nothing(source: FleetSource, root: RootFolder, tmp_path: Path) -> None:
    source.put(dict.fromkeys(FILES) | API_FILES)
    imported(source)
    with ControlApi(root, tmp_path / "control").running() as api:
        put_shared(root, META, lambda meta: json.dumps(json.loads(meta or b"") | {"level": 99}).encode())
        wait_for(lambda: "the fleet has level 99" in api.dns.stderr.text())
        status, code, message = api.refused("POST", "/zones", {"name": "new.example", "account": {"id": A1}})
        assert (status, code) == (503, 1007)
        assert "the fleet has level 99" in message
    source.put({"west/account.yaml": "name: West\n"})
    for words in (("import", str(source.accounts)), ("settings", "-"), ("level", "2")):
        refused = fleet(source.config, *words, text=OTHER)
        assert refused.exit_code == 1
        assert "the fleet has level 99" in refused.output


def test_an_import_waits_for_a_new_cluster(source: FleetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    real, silent = import_folder.fleet_settings, [NoAnswerError("no answer"), EngineRefusedError("not ready", 10008)]

    async def at_first(node: FleetNode) -> Any:
        if silent:
            raise silent.pop()
        return await real(node)

    monkeypatch.setattr(import_folder, "fleet_settings", at_first)
    imported(source)
    assert silent == []
