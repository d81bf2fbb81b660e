"""Papers are renewed in time without a restart, under traffic, and not once an edge has left."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from dnsd.fleet.admission import Admission
from dnsd.fleet.certificates import AUTHORITY_LIFE, NODE_LIFE, CertificateError, parse_chain, request_of
from dnsd.fleet.edge_list import AdmissionError, RecordChange
from dnsd.fleet.edge_record import EdgeRecord
from dnsd.fleet.identity import (
    CERTIFICATE_FILE,
    IdentityError,
    NodeIdentity,
    Papers,
    check_papers,
    load_identity,
    renew_identity,
    root_of,
)
from dnsd.fleet.issuer import load_issuer
from dnsd.fleet.link import Link, NoAnswerError
from dnsd.fleet.node import FleetNode, control_node, edge_node
from dnsd.fleet.papers_talk import PapersRefusedError
from dnsd.fleet.renewal import PapersKeeper, asked_papers, own_papers
from dnsd.fleet.root import RootFolder
from tests.fleet.edges import BUTIK, POOL, Edge, EdgeFolder, FleetSource, urls_of
from tests.fleet.fleets import run
from tests.fleet.gates import Gate, gate, joined
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import control_folder, new_edge
from tests.fleet.test_edge_start import status
from tests.limits import HANG_S

pytestmark = needs_nats_server
MAP = "öst/maps/butik 1.yaml"
SHORT = timedelta(seconds=12)


def age(root: RootFolder, identity: Path, *, days: float = 0, life: timedelta = NODE_LIFE) -> None:
    """Replace an edge's papers by some of another time or life."""
    own, issuer = load_identity(identity), load_issuer(control_folder(root))
    now = datetime.now(UTC) - timedelta(days=days)
    renew_identity(identity, issuer.edge_papers(own.name, request_of(own.name, own.key.private), now=now, life=life))


def identity_of(folder: EdgeFolder) -> Path:
    return Path(json.loads(folder.config.read_text())["fleet"]["identity"])


def of_another_version(chain: bytes) -> bytes:
    """A certificate in PEM that says it is of version 6 of X.509."""
    octets = x509.load_pem_x509_certificates(chain)[0].public_bytes(Encoding.DER)
    changed = octets.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1)
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(changed) + b"-----END CERTIFICATE-----\n"


class Traffic:
    """Questions without a pause, and those that got no good answer."""

    def __init__(self, edge: Edge) -> None:
        self.edge, self.asked, self.lost = edge, 0, list[str]()
        self._has_ended = threading.Event()

    @contextmanager
    def going(self) -> Iterator[Traffic]:
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield self
        finally:
            self._has_ended.set()
            thread.join()

    def _ask(self) -> None:
        while not self._has_ended.wait(0.005):
            self.asked += 1
            try:
                if (found := self.edge.addresses("www.west.example", "AAAA")) != ["2001:db8:f::1"]:
                    self.lost.append(str(found))
            except OSError as error:
                self.lost.append(str(error))


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_edge_goes_on_under_traffic_while_its_papers_change(
    root: RootFolder, filled: FleetSource, folder: EdgeFolder
) -> None:
    """The papers live for twelve seconds: those of the start have long ended at the end."""
    identity = identity_of(folder)
    age(root, identity, life=SHORT)
    first = load_identity(identity)

    def work() -> None:
        with folder.serving() as edge:
            pids = [one["pid"] for one in status(folder)["processes"]]
            with Traffic(edge).going() as traffic:
                for number in range(2):
                    before = (identity / CERTIFICATE_FILE).read_bytes()
                    wait_for(lambda before=before: (identity / CERTIFICATE_FILE).read_bytes() != before)
                    filled.send({MAP: BUTIK.replace("203.0.113.7", f"203.0.113.{10 + number}")})
                    edge.becomes("www.ost.example", [f"203.0.113.{10 + number}"])
                wait_for(lambda: datetime.now(UTC) > first.expires + timedelta(seconds=3))
                filled.send({MAP: None})
                edge.becomes("www.ost.example", POOL)
            assert traffic.asked > 100
            assert traffic.lost == []
            assert [one["pid"] for one in status(folder)["processes"]] == pids
            assert status(folder)["reasons"] == []
            said = edge.server.stderr.text()
            assert not re.search("interrupted|silent|papers|reached", said), said
        now = load_identity(identity)
        assert (now.key.public, now.name) == (first.key.public, first.name)

    async def test() -> None:
        async with gate(root, life=SHORT) as control:
            await asyncio.to_thread(work)
            assert await control.record("e1") == EdgeRecord(first.key.public)

    run(test())


def test_an_edge_whose_papers_end_answers_on_and_joins_again_without_a_restart(
    root: RootFolder, filled: FleetSource, folder: EdgeFolder
) -> None:
    identity = identity_of(folder)
    with folder.serving() as edge:  # it gets its copy
        edge.becomes("www.ost.example", ["203.0.113.7"])
    age(root, identity, life=timedelta(seconds=9))

    def until_expired(edge: Edge) -> None:
        wait_for(lambda: "have expired, " in edge.server.stderr.text())
        filled.send({MAP: None})
        assert edge.addresses("www.ost.example") == ["203.0.113.7"]
        now = status(folder)
        assert now["answering"] is True
        assert any("have expired, " in reason for reason in now["reasons"])

    async def test() -> None:
        with folder.serving() as edge:
            await asyncio.to_thread(until_expired, edge)
            async with gate(root) as control:
                await joined(await control.code("e1"), identity, is_again=True)
                await asyncio.to_thread(edge.becomes, "www.ost.example", POOL)
                await asyncio.to_thread(wait_for, lambda: status(folder)["reasons"] == [])

    run(test())


def test_an_edge_of_the_root_folder_is_renewed_and_refused_once_it_has_left(
    root: RootFolder, filled: FleetSource, folder: EdgeFolder
) -> None:
    identity = identity_of(folder)
    age(root, identity, days=61)
    before = load_identity(identity)

    def renewed() -> None:
        with folder.serving():
            wait_for(lambda: load_identity(identity).expires > before.expires)

    def refused() -> None:
        age(root, identity, days=61)
        with folder.serving() as edge:
            wait_for(lambda: any("e1 has left the fleet" in reason for reason in status(folder)["reasons"]))
            assert edge.addresses("www.ost.example") == ["203.0.113.7"]

    async def test() -> None:
        async with gate(root) as control:
            await asyncio.to_thread(renewed)
            assert await control.record("e1") == EdgeRecord(before.key.public)
            assert (await control.edges.leave("e1")).key == before.key.public
            await asyncio.to_thread(refused)
            assert await control.record("e1") is None
            node = edge_node(identity, urls_of(root), lambda: 100)
            age(root, identity, days=-2 / 24 / 60)  # given by a control whose clock is ahead, or while it left
            with pytest.raises(PapersRefusedError, match="e1 has left the fleet"):
                await asked_papers(node, load_identity(identity))
            assert await control.record("e1") is None
            age(root, identity, days=-6 / 24 / 60)  # from the root folder, well after it has left: that is meant
            assert (await asked_papers(node, load_identity(identity))).expires() > datetime.now(UTC)
            await node.line.close()
            assert await control.record("e1") == EdgeRecord(before.key.public)

    run(test())


@pytest.mark.usefixtures("filled")
def test_an_edge_with_a_ring_before_its_key_is_known_keeps_the_ring(root: RootFolder) -> None:
    placed = EdgeRecord("", 2, "Oslo")  # by an operator, of an edge from the root folder

    async def test() -> None:
        async def place(link: Link, record: EdgeRecord | None) -> RecordChange:
            return RecordChange(placed)

        async with gate(root) as control:
            await control.edges._change("e1", "edge.change", place)
            await control.edges.know("e1", "UABC", datetime.now(UTC))
            assert await control.record("e1") == placed._replace(key="UABC")
            await control.edges._change("e1", "edge.change", place)
            assert await control.edges.leave("e1") == placed
            assert await control.record("e1") is None

    run(test())


@pytest.mark.usefixtures("filled")
def test_an_edge_that_is_not_due_becomes_known_soon(root: RootFolder, folder: EdgeFolder) -> None:
    key = load_identity(identity_of(folder)).key.public

    async def test() -> None:
        with folder.serving():
            async with gate(root) as control:
                while await control.record("e1") is None:
                    await asyncio.sleep(0.05)
                assert await control.record("e1") == EdgeRecord(key)

    run(test())


# What a control is asked


@pytest.mark.usefixtures("filled")
def test_papers_go_to_the_edge_of_the_name_alone(root: RootFolder) -> None:
    one, other = (load_identity(new_edge(root, name)) for name in ("e1", "e2"))
    twin, old = load_identity(new_edge(root, "e1")), load_identity(new_edge(root, "e1"))
    foreign = Ed25519PrivateKey.generate()
    age(root, old.folder, days=91)

    def chain(identity: NodeIdentity) -> bytes:
        return (identity.folder / CERTIFICATE_FILE).read_bytes()

    def request(key: Ed25519PrivateKey) -> bytes:
        return request_of("e1", key)

    control = load_identity(control_folder(root))
    refused: list[tuple[str, bytes, bytes, str]] = [
        ("e1", request(foreign), chain(one), "is not one of e1 with the key of the request"),
        ("e1", request(other.key.private), chain(other), "is not one of e1 with the key of the request"),
        ("e2", request(one.key.private), chain(one), "is not one of e2 with the key of the request"),
        ("e1", request(control.key.private), chain(control), "is not one of e1"),
        ("e1", request(old.key.private), chain(old), "not valid now"),
        ("e1", request(one.key.private), b"", "not a certificate in PEM"),
        ("e1", request(one.key.private), of_another_version(chain(one)), "not a certificate in PEM"),
        ("e1", b"nonsense", chain(one), "not a certificate request in PEM"),
        ("e1", request(twin.key.private), chain(twin), "another edge has joined as e1"),
    ]

    async def test() -> None:
        async with gate(root) as running:
            admission = Admission(running.edges, load_issuer(control_folder(root)), root_of(control_folder(root)))
            now = datetime.now(UTC)
            await admission.renew("e1", request(one.key.private), chain(one), now)
            for name, asked, shown, words in refused:
                with pytest.raises((AdmissionError, CertificateError), match=words):
                    await admission.renew(name, asked, shown, now)
            assert await running.record("e1") == EdgeRecord(one.key.public)
            assert await running.record("e2") is None
            refusal = edge_node(twin.folder, urls_of(root), lambda: 100)
            with pytest.raises(PapersRefusedError, match="another edge has joined as e1"):
                await asked_papers(refusal, twin)
            await refusal.line.close()

    run(test())


@pytest.mark.usefixtures("filled")
def test_without_a_control_an_edge_is_told_that_nobody_answers(root: RootFolder) -> None:
    identity = load_identity(new_edge(root, "e1"))

    async def test() -> None:
        node = edge_node(identity.folder, urls_of(root), lambda: 100)
        with pytest.raises(NoAnswerError):
            await asked_papers(node, identity)
        await node.line.close()

    run(test())


# What a node takes


def test_papers_of_others_are_not_written(root: RootFolder, tmp_path: Path) -> None:
    issuer, now = load_issuer(control_folder(root)), datetime.now(UTC)
    one, other = (load_identity(new_edge(root, name)) for name in ("e1", "e2"))

    def papers(name: str, identity: NodeIdentity, **more: Any) -> Papers:
        return issuer.edge_papers(name, request_of(name, identity.key.private), now=now, **more)

    good, ca = papers("e1", one), root_of(one.folder)
    check_papers(good, "e1", one.key.private, ca, now=now)
    wrong = [
        papers("e2", one),
        papers("e1", other),
        Papers(good.chain, papers("e1", other).jwt),
        Papers(papers("e1", other).chain, good.jwt),
        Papers(good.chain, "nonsense"),
        Papers(b"nonsense", good.jwt),
        papers("e1", one, life=timedelta(seconds=-1)),
    ]
    for one_wrong in wrong:
        with pytest.raises(IdentityError, match="papers came"):
            check_papers(one_wrong, "e1", one.key.private, ca, now=now)


# A control's own papers


@pytest.mark.parametrize("days", [61, 91])
def test_a_control_renews_its_own_papers_also_once_they_have_expired(
    root: RootFolder, filled: FleetSource, days: int
) -> None:
    folder = control_folder(root)
    own, issuer = load_identity(folder), load_issuer(folder)
    then = datetime.now(UTC) - timedelta(days=days)
    renew_identity(folder, issuer.control_papers("c1", own.key.private.public_key(), now=then))

    async def test() -> None:
        node, said = control_node(folder, urls_of(root), 100), list[str]()
        task = asyncio.create_task(PapersKeeper(folder, own_papers, said.append).run(node))
        while load_identity(folder).expires < datetime.now(UTC) + NODE_LIFE - timedelta(hours=1):
            await asyncio.sleep(0.05)
        await node.line.link()
        task.cancel()
        await asyncio.wait([task])
        await node.line.close()
        assert not any(said), said
        assert load_identity(folder).key.public == own.key.public

    run(test())


def test_a_control_whose_authority_ends_says_so(root: RootFolder, filled: FleetSource) -> None:
    folder, said = control_folder(root), list[str]()
    own, issuer = load_identity(folder), load_issuer(folder)
    end = parse_chain(own.folder.joinpath(CERTIFICATE_FILE).read_bytes())[0].not_valid_after_utc
    then = datetime.now(UTC) - timedelta(days=61)
    renew_identity(folder, issuer.control_papers("c1", own.key.private.public_key(), now=then))
    short = load_identity(folder).expires

    async def new_papers(node: FleetNode, identity: NodeIdentity) -> Papers:
        life = short - datetime.now(UTC)
        return issuer.control_papers("c1", identity.key.private.public_key(), now=datetime.now(UTC), life=life)

    async def test() -> None:
        node = control_node(folder, urls_of(root), 100)
        task = asyncio.create_task(PapersKeeper(folder, new_papers, said.append).run(node))
        while not any("with the authority of the control" in words for words in said):
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])
        await node.line.close()
        assert load_identity(folder).expires == short < end

    run(test())


def test_a_control_whose_authority_has_ended_goes_on_and_says_so(root: RootFolder, filled: FleetSource) -> None:
    folder, then = control_folder(root), datetime.now(UTC) - timedelta(days=61)
    own, edge, issuer = load_identity(folder), load_identity(new_edge(root, "e1")), load_issuer(folder)
    renew_identity(folder, issuer.control_papers("c1", own.key.private.public_key(), now=then))
    ended = root.authority.issue_authority("c1", now=then - AUTHORITY_LIFE, key=issuer.authority.key)
    replace(issuer, authority=ended).save(folder)
    words = "the authority that signs has ended, "

    async def test() -> None:
        control = Gate(root, "c1", NODE_LIFE)
        kept = list[str]()
        keeper = PapersKeeper(folder, own_papers, kept.append)
        tasks = [asyncio.create_task(one.run(control.node)) for one in (keeper, control.join, control.asks)]
        await control.until_said(f"no edge can join here: {words}")
        while not any(f"are not renewed: {words}" in said for said in kept) or "" not in control.asks_said:
            await asyncio.sleep(0.02)
        await (await control.node.line.link()).client.flush()
        node = edge_node(edge.folder, urls_of(root), lambda: 100)
        with pytest.raises(PapersRefusedError, match=words):
            await asked_papers(node, edge)
        assert not any(task.done() for task in tasks)
        root.renew_control("c1", now=datetime.now(UTC))  # the folder is that of the control
        await control.until_said("edges may join at")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for line in (node.line, control.node.line):
            await line.close()

    run(test())


# A connection with renewed papers


@pytest.mark.usefixtures("filled")
def test_another_connection_takes_over_and_loses_no_answer(root: RootFolder) -> None:
    async def test() -> None:
        node = control_node(control_folder(root), urls_of(root), 100)
        first = await node.line.link()
        done = 0

        async def ask(link: Link) -> None:
            nonlocal done
            await link.ask("$JS.API.INFO")
            done += 1

        woken = asyncio.Event()
        first.when_connected = woken.set
        asks = [asyncio.create_task(ask(first)) for _ in range(50)]
        await node.line.renew()
        await asyncio.gather(*asks)
        assert (done, woken.is_set(), first.is_replaced, first.is_closed) == (50, True, True, True)
        second = await node.line.link()
        assert second is not first
        await second.ask("$JS.API.INFO")
        await node.line.close()

    run(test())


@pytest.mark.usefixtures("filled")
def test_papers_with_which_no_server_lets_in_keep_the_connection(root: RootFolder, tmp_path: Path) -> None:
    folder = tmp_path / f"copy-{os.urandom(2).hex()}"
    shutil.copytree(control_folder(root), folder)

    async def test() -> None:
        node = control_node(folder, urls_of(root), 100)
        first = await node.line.link()
        then = datetime.now(UTC) - timedelta(days=91)
        papers = load_issuer(folder).control_papers("c1", load_identity(folder).key.private.public_key(), now=then)
        renew_identity(folder, papers)
        with pytest.raises(NoAnswerError):
            await node.line.renew()
        assert await node.line.link() is first
        await first.ask("$JS.API.INFO")
        await node.line.close()

    run(test())
