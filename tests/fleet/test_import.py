"""Imports that are cut, overtaken or refused, and what edges and operators see of it; a real nats-server judges."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dnsd.cli.commands import main
from dnsd.fleet import writer as writer_module
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.identity import load_identity, renew_identity
from dnsd.fleet.import_files import ImportRefusedError
from dnsd.fleet.issuer import load_issuer
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.root import RootFolder
from dnsd.fleet.writer import Commit, FleetAwayError, Writer
from dnsd.store.directory import Files
from tests.fleet.edges import FILES, EdgeFolder, FleetSource, urls_of
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, control_folder, new_edge
from tests.limits import HANG_S

pytestmark = needs_nats_server
ACCOUNTS = {f"c{number}/account.yaml": f"name: C{number}\n" for number in range(30)}
EAST = "west/zones/east.example.yaml"
ZONE = "records:\n- {name: www, type: A, content: 192.0.2.9}\n"


@pytest.fixture
def source(root: RootFolder, tmp_path: Path) -> FleetSource:
    source = FleetSource(root, tmp_path)
    source.use(control_folder(root))
    return source


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batches of 20 messages; the list has how many more of them are stored before no server answers."""
    left: list[int] = []
    real = Writer._store

    async def store(writer: Writer, *parts: Any) -> int:
        if left:
            left[0] -= 1
            if left[0] < 0:
                raise FleetAwayError("op")
        return await real(writer, *parts)

    monkeypatch.setattr(writer_module, "MAX_BATCH", 20)
    monkeypatch.setattr(Writer, "_store", store)
    return left


def state_of(root: RootFolder) -> tuple[Files, bool]:
    """The files of a fleet, and whether its first import is not complete."""

    async def fetched(node: FleetNode) -> tuple[Files, bool]:
        async with fetched_state(node) as state:
            return state.files, state.is_filling

    return as_control(control_folder(root), urls_of(root), fetched)


def fleet(words: str, source: FleetSource) -> Result:
    """The outcome of a command."""
    return CliRunner().invoke(main, ["fleet", *words.split(), "-c", str(source.config)])


def test_edges_keep_their_copy_until_a_first_import_is_complete(
    root: RootFolder, source: FleetSource, tmp_path: Path, cutting: list[int]
) -> None:
    folder, new = EdgeFolder(root, tmp_path / "edge"), EdgeFolder(root, tmp_path / "new", "e2")
    server = NatsServer(root, root.servers[0])
    with server:
        source.send({**FILES, **ACCOUNTS})
        with folder.serving() as edge:
            edge.becomes("www.ost.example", ["203.0.113.7"])
    shutil.rmtree(server.folder / "js")  # the servers have lost their state
    with server, folder.serving() as edge:
        cutting.append(3)  # the first object, and two batches
        with pytest.raises(FleetAwayError):
            source.send({EAST: ZONE})
        files, is_filling = state_of(root)
        assert 0 < len(files.files) < len(ACCOUNTS)
        assert is_filling
        for words in ("export out", "accept-shrink"):
            refused = fleet(words, source)
            assert refused.exit_code == 1
            assert "the first import is not complete" in refused.output
        deadline = time.monotonic() + HANG_S
        while "the first import into the fleet's state is not complete" not in edge.server.stderr.text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert edge.addresses("www.ost.example") == ["203.0.113.7"]
        cutting.clear()
        source.send()
        assert not state_of(root)[1]
        edge.becomes("www.east.example", ["192.0.2.9"])
        assert edge.addresses("www.ost.example") == ["203.0.113.7"]
        with new.serving() as other:
            assert other.addresses("www.east.example") == ["192.0.2.9"]


@pytest.mark.usefixtures("server")
def test_a_later_import_says_what_a_cut_one_has_stored(
    source: FleetSource, root: RootFolder, cutting: list[int]
) -> None:
    source.send(FILES)
    source.put(ACCOUNTS)
    cutting.append(2)
    cut = fleet(f"import {source.accounts}", source)
    assert cut.exit_code == 3
    assert "17 of 30 objects are stored, the others are not: run it again" in cut.output
    assert "the fleet's servers do not answer" in cut.output
    cutting.clear()
    assert fleet(f"import {source.accounts}", source).output == "13 new, 0 changed, 0 removed\n"
    assert len(state_of(root)[0].files) == len(FILES) + len(ACCOUNTS)


@pytest.mark.usefixtures("server")
def test_an_import_over_several_batches_comes_whole(source: FleetSource, root: RootFolder) -> None:
    many = {f"west/zones/z{number}.example.yaml": "records: []\n" for number in range(1200)}
    assert source.send({**FILES, **many}) == (len(FILES) + 1200, 0, 0)
    assert len(state_of(root)[0].files) == len(FILES) + 1200
    assert source.send({name: f"records: [] # {name}\n" for name in many}) == (0, 1200, 0)
    assert source.send() == (0, 0, 0)


@pytest.mark.usefixtures("server")
def test_commands_of_one_control_at_once_do_not_disturb_each_other(source: FleetSource, root: RootFolder) -> None:
    source.send({**FILES, **ACCOUNTS})
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(lambda _: state_of(root)[0], range(4))]
    assert {len(files.files) for files in found} == {len(FILES) + len(ACCOUNTS)}


@pytest.mark.usefixtures("server")
def test_an_overtaken_import_changes_nothing_and_says_so(source: FleetSource, monkeypatch: pytest.MonkeyPatch) -> None:
    source.send(FILES)
    real = Writer.commit

    async def overtaken(writer: Writer, change: Any, **more: Any) -> Any:
        monkeypatch.setattr(Writer, "commit", real)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(source.send, {EAST: ZONE}).result()
        return await real(writer, change, **more)

    source.put({EAST: ZONE})
    monkeypatch.setattr(Writer, "commit", overtaken)
    with pytest.raises(ImportRefusedError, match=r"others have changed .* nothing was changed; run it again"):
        source.send()
    assert source.send() == (0, 0, 0)


@pytest.mark.usefixtures("server")
def test_what_a_reload_refuses_is_not_sent(source: FleetSource, root: RootFolder) -> None:
    names = "".join(f"- {{name: n{one}, type: A, content: 192.0.2.{one}, proxied: true}}\n" for one in range(20))
    source.send({**FILES, EAST: f"records:\n{names}"})
    source.put({EAST: f"records:\n{names.replace('true', 'false')}"})
    refused = fleet(f"import {source.accounts}", source)
    assert refused.exit_code == 1
    assert "20 of 21 proxied names of the account would lose `proxied`" in refused.output
    assert refused.output.endswith("use `dnsd fleet import --force` to apply it anyway\nnothing was changed\n")
    assert "true" in (state_of(root)[0].by_key()[EAST.removesuffix(".yaml")].content.text or "")
    assert fleet(f"import {source.accounts} --force", source).output == "0 new, 1 changed, 0 removed\n"


def test_commands_without_servers_or_state_end_at_once(source: FleetSource, root: RootFolder, tmp_path: Path) -> None:
    source.put(FILES)
    commands = (f"export {tmp_path / 'out'}", "accept-shrink")
    for words in (f"import {source.accounts}", *commands):
        away = fleet(words, source)
        assert (away.exit_code, away.output.count("\n")) == (3, 1)
        assert "no server of the fleet can be reached" in away.output
    with NatsServer(root, root.servers[0]):
        for words in commands:
            empty = fleet(words, source)
            assert empty.exit_code == 1
            assert "the fleet has no state yet: `dnsd fleet import` makes it" in empty.output
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("server")
def test_the_papers_of_a_command_are_checked_first(source: FleetSource, root: RootFolder) -> None:
    source.put(FILES)
    words = f"import {source.accounts}"
    source.use(new_edge(root, "e1"))
    wrong = fleet(words, source)
    assert wrong.exit_code == 1
    assert "has the papers of an edge; this needs those of a control" in wrong.output
    source.use(control_folder(root))
    issuer, key = load_issuer(control_folder(root)), load_identity(control_folder(root)).key.private
    for age, status, said in ((91, 1, "have expired"), (61, 0, "are valid until"), (0, 0, "")):
        now = datetime.now(UTC) - timedelta(days=age)
        renew_identity(control_folder(root), issuer.control_papers("c1", key.public_key(), now=now))
        done = fleet(words, source)
        assert done.exit_code == status, done.output
        assert said in done.output
        assert ("run `dnsd fleet renew FOLDER c1`, and copy cert.pem and user.jwt" in done.output) == bool(said)


def test_fewer_copies_than_servers_are_said(source: FleetSource, root: RootFolder) -> None:
    with NatsServer(root, root.servers[0]):
        assert "warning" not in fleet(f"import {source.accounts}", source).output
        source.use(control_folder(root), servers=urls_of(root) * 3)
        again = fleet(f"import {source.accounts}", source)
        assert again.exit_code == 0
        assert "warning: 1 of the 3 servers listed keeps the state" in again.output


@pytest.mark.usefixtures("server")
def test_an_export_writes_all_that_is_readable(
    source: FleetSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source.send({**FILES, EAST: ZONE})
    real = Writer.commit

    async def cut(writer: Writer, change: Commit, **more: Any) -> Any:
        return await real(writer, replace(change, writes=[one for one in change.writes if one.new is not None]), **more)

    monkeypatch.setattr(Writer, "commit", cut)
    source.send({EAST: None, EAST.replace("yaml", "zone"): "@ SOA ns1 h 7 2 3 4 5\n@ NS ns1.example.\n"})
    monkeypatch.setattr(Writer, "commit", real)
    target = tmp_path / "out"
    done = fleet(f"export {target}", source)
    assert done.exit_code == 1
    assert "east.example" in done.output
    assert "is defined twice" in done.output
    assert done.output.endswith(f"{len(FILES):,} files\n")
    assert {str(file.relative_to(target)) for file in target.rglob("[!.]*.*") if file.is_file()} == {*FILES}
    source.send()  # mends it
    shutil.rmtree(target)
    assert fleet(f"export {target}", source).output == f"{len(FILES) + 1:,} files\n"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.mark.usefixtures("server")
def test_a_folder_with_errors_is_not_sent(source: FleetSource) -> None:
    source.put({**FILES, EAST: "records: nothing\n", "west/account.yaml": "nam: West\n"})
    wrong = fleet(f"import {source.accounts}", source)
    assert wrong.exit_code == 1
    assert f"{source.accounts}/{EAST}:1:1: records: " in wrong.output
    assert f"{source.accounts}/west/account.yaml:1:1: nam: " in wrong.output
    source.put({**FILES, EAST: ZONE})
    source.config.write_text('default_addresses: ["198.51.100.1"]\n')
    missing = fleet(f"import {source.accounts}", source)
    assert missing.exit_code == 1
    assert "has no section `fleet`, with `servers` and a node's `identity`" in missing.output
