"""Starts of an edge: with an account that it cannot read, with a damaged copy, with settings of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.heads import AccountState
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.root import RootFolder
from dnsd.fleet.subjects import account_of_subject, object_subject
from dnsd.fleet.values import FleetFile, pack_value
from dnsd.fleet.writer import Commit, ObjectWrite, Writer
from tests.fleet.edges import FILES, POOL, EdgeFolder, FleetSource, urls_of
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, control_folder
from tests.limits import HANG_S
from tests.stores import named

pytestmark = needs_nats_server
MAP = "öst/maps/butik 1.yaml"
LATER = b'{"v":2,"modified":5}\n'


def commit(root: RootFolder, values: Mapping[str, str | bytes]) -> None:
    """Write files, or values of them, that nobody judges."""

    async def work(node: FleetNode) -> None:
        async with fetched_state(node) as state:
            writes = []
            for name, value in values.items():
                subject = object_subject(*named(name))
                new = pack_value(FleetFile(value.encode(), 1_800_000_000)) if isinstance(value, str) else value
                writes.append(ObjectWrite(subject, state.reader.value(account_of_subject(subject), subject), new))
            accounts = {account_of_subject(write.subject) for write in writes}
            states = {account: state.heads.get(account, AccountState()) for account in accounts}
            await Writer(node.line.link).commit(Commit(str(uuid4()), b"{}", writes, states))

    as_control(control_folder(root), urls_of(root), work)


def status(folder: EdgeFolder) -> Any:
    run = [sys.executable, "-m", "dnsd", "status", "--json", "-c", str(folder.config)]
    return json.loads(subprocess.run(run, capture_output=True, text=True, check=False, timeout=HANG_S).stdout)


@pytest.mark.usefixtures("server")
def test_an_account_that_a_new_edge_cannot_read_keeps_no_other_from_being_served(
    root: RootFolder, source: FleetSource, folder: EdgeFolder
) -> None:
    source.send(FILES)
    commit(root, {"west/account.yaml": LATER})
    with folder.serving() as edge:
        assert edge.addresses("www.ost.example") == ["203.0.113.7"]
        assert edge.addresses("www.west.example", "AAAA") == ["REFUSED"]
        assert edge.server.stderr.text().count("the value has version 2") == 1
        assert any("west" in reason and "upgrade this node" in reason for reason in status(folder)["reasons"])
        commit(root, {"west/account.yaml": str(FILES["west/account.yaml"])})
        edge.becomes("www.west.example", ["2001:db8:f::1"], "AAAA")
        commit(root, {"west/account.yaml": LATER})  # now it has a last good version
        commit(root, {MAP: "enabled: false\n"})
        edge.becomes("www.ost.example", POOL)
        assert edge.addresses("www.west.example", "AAAA") == ["2001:db8:f::1"]


@pytest.mark.usefixtures("server")
def test_edges_do_not_judge_a_slip_so_that_all_answer_alike(
    root: RootFolder, source: FleetSource, folder: EdgeFolder, tmp_path: Path
) -> None:
    text = str(FILES["öst/account.yaml"])
    everything = "enabled: true\nips: [203.0.113.9]\nmemberships:\n- {kind: account, identifier: öst}\n"
    source.send({**FILES, "öst/account.yaml": f"{text}pool: never\n", "öst/maps/all.yaml": everything})
    with folder.serving() as edge:
        commit(root, {"öst/account.yaml": text, MAP: "enabled: false\n", "öst/maps/all.yaml": "enabled: false\n"})
        edge.becomes("www.ost.example", POOL)
        with EdgeFolder(root, tmp_path / "other", "e2").serving() as other:
            assert other.addresses("www.ost.example") == POOL


def test_an_edge_is_ready_while_it_answers(root: RootFolder, source: FleetSource, folder: EdgeFolder) -> None:
    settings = json.loads(folder.config.read_text())
    folder.config.write_text(json.dumps({**settings, "reload": {"watch": False}}))  # of files, which it has not
    with NatsServer(root, root.servers[0]):
        source.send(FILES)
        with folder.serving() as edge:
            source.send({MAP: None})
            edge.becomes("www.ost.example", POOL)
    with folder.serving() as edge:
        assert edge.addresses("www.ost.example") == POOL
        said = edge.server.stderr.text()
        assert not any(words in said for words in ("has not come yet", "cannot be used", "still serving"))
    for name in ("replica.db-wal", "replica.db-shm"):
        (folder.state / name).unlink(missing_ok=True)
    (folder.state / "replica.db").write_bytes(b"damaged")
    with folder.serving() as edge:
        assert edge.addresses("www.ost.example") == POOL
        found = status(folder)
        assert (found["ready"], found["answering"]) == (True, True)
        assert any("the fleet's state has not come yet" in reason for reason in found["reasons"])
