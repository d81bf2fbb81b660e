"""An edge's credentials in an attacker's hands change nothing and read nothing but state; others' are refused."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from nats.aio.msg import Msg

from dnsd.errors import DnsdError
from dnsd.fleet import access, edge_list
from dnsd.fleet.admission import Admission
from dnsd.fleet.ask_service import USUAL, WITHIN_S, AskService
from dnsd.fleet.certificates import NODE_LIFE, pem, request_of, root_authority
from dnsd.fleet.identity import Papers, load_identity, make_identity, renew_identity
from dnsd.fleet.issuer import load_issuer
from dnsd.fleet.join_code import parse_code
from dnsd.fleet.jwt import signed_jwt
from dnsd.fleet.link import Link, NoAnswerError
from dnsd.fleet.nkeys import Nkey, NkeyKind
from dnsd.fleet.node import edge_node
from dnsd.fleet.papers_talk import PapersRefusedError, RenewalQuestion, join_question, parse_papers
from dnsd.fleet.renewal import asked_papers
from dnsd.fleet.root import RootFolder, RootFolderError, load_root
from dnsd.fleet.send_accounts import send_accounts
from dnsd.fleet.server_file import ROUTES_ABOVE
from dnsd.net.strangers import Allowances
from tests.fleet.edges import urls_of
from tests.fleet.gates import Gate, gate
from tests.fleet.servers import (
    Client,
    connected,
    control_folder,
    make_stream,
    new_edge,
    new_root,
    run,
    running,
)
from tests.limits import HANG_S

pytestmark = pytest.mark.xdist_group("fleet-security")
CREATE = "hub.create.edge-e1.dnsd.s.>"
API = "$JS.API"
PEM = Encoding.PEM
UNSIGNED = json.dumps({"v": 1, "code": "0" * 64, "request": "x", "signature": ""}).encode() + b"\n"
STATE = {
    "dnsd.s.meta": b"meta",
    "dnsd.s.o.acme.account": b"account",
    "dnsd.c.token.one": b"secret",
    "dnsd.c.session.one": b"secret",
    "dnsd.c.x.pending.acme.one": b"secret",
}
CONNECT = {"server_id": "NEVIL", "name": "evil", "cluster": "dnsd", "tls_required": True}  # of a server
OWN_CONSUMER = {"name": "edge-e1", "ack_policy": "none", "mem_storage": True, "filter_subject": "dnsd.s.>"}


class World:
    """A server with some state, a control and two edges; `run` gives a test clients of all three."""

    def __init__(self, root: RootFolder) -> None:
        self.root, self.e1, self.e2 = root, new_edge(root, "e1"), new_edge(root, "e2")

    def run(self, test: Callable[[Client, Client, Client], Coroutine[Any, Any, None]]) -> None:
        async def with_clients() -> None:
            async with (
                connected(self.root, control_folder(self.root)) as control,
                connected(self.root, self.e1) as edge,
                connected(self.root, self.e2) as other,
            ):
                await test(control, edge, other)

        asyncio.run(with_clients())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = new_root(tmp_path_factory.mktemp("fleet"))

    async def fill() -> None:
        async with connected(root, control_folder(root)) as control:
            await make_stream(control)
            await make_stream(control, name="DNSD_LOG", subjects=["dnsd.log.>"], max_msgs_per_subject=-1)
            for subject, value in STATE.items():
                await control.ask_raw(subject, value)

    with running(root):
        asyncio.run(fill())
        yield World(root)


async def state_of(control: Client) -> dict[str, Any]:
    """All objects with their numbers, and the number of log messages."""
    info = await control.ask(f"{API}.STREAM.INFO.DNSD", {"subjects_filter": ">"})
    log = await control.ask(f"{API}.STREAM.INFO.DNSD_LOG")
    return {**info["state"]["subjects"], "last": info["state"]["last_seq"], "log": log["state"]["messages"]}


# What an edge may do


def test_an_edge_reads_the_state_and_reports(world: World) -> None:
    async def test(control: Client, edge: Client, other: Client) -> None:
        statuses = await control.connection.subscribe("dnsd.edge.*.status")
        asked = await control.connection.subscribe("dnsd.ask.*")
        beats = await edge.connection.subscribe("dnsd.beat")
        await control.connection.flush()
        await edge.connection.flush()
        made = await edge.ask(CREATE, {"stream_name": "DNSD", "config": OWN_CONSUMER})
        assert made["config"]["filter_subject"] == "dnsd.s.>", made
        inbox = edge.connection.new_inbox()
        messages = await edge.connection.subscribe(inbox)
        await edge.connection.publish("hub.next.edge-e1", b'{"batch": 10}', reply=inbox)
        found = [await messages.next_msg(HANG_S) for _ in range(2)]
        assert {one.subject: one.data for one in found} == {k: v for k, v in STATE.items() if ".s." in k}
        got = await edge.connection.request("hub.get.dnsd.s.meta", b"", timeout=HANG_S)
        assert got.data == b"meta"
        await edge.connection.publish("dnsd.edge.e1.status", b"well")
        assert (await statuses.next_msg(HANG_S)).subject == "dnsd.edge.e1.status"
        await control.connection.publish("dnsd.beat", b"beat")
        assert (await beats.next_msg(HANG_S)).data == b"beat"
        reply = asyncio.create_task(edge.connection.request("hub.ask.e1", b"renew", timeout=HANG_S))
        question = await asked.next_msg(HANG_S)
        assert (question.subject, question.data) == ("dnsd.ask.e1", b"renew")
        await question.respond(b"papers")
        assert (await reply).data == b"papers"
        assert (await edge.ask("hub.delete.edge-e1"))["success"]
        assert edge.errors == control.errors == []

    world.run(test)


def test_a_control_hears_beats(world: World) -> None:
    async def test(control: Client, edge: Client, other: Client) -> None:
        beats = await control.connection.subscribe(access.BEAT)
        await control.connection.publish(access.BEAT, b"beat")
        assert (await beats.next_msg(HANG_S)).data == b"beat"
        assert control.errors == []

    world.run(test)


def test_an_edge_that_sends_a_large_message_is_cut(world: World) -> None:
    async def test(control: Client, edge: Client, other: Client) -> None:
        statuses = await control.connection.subscribe("dnsd.edge.*.status")
        await control.connection.flush()
        edge.connection._max_payload = 1024 * 1024  # an attacker's client has no limit of its own
        await edge.connection.publish("dnsd.edge.e1.status", b"x" * (access.MAX_PAYLOAD + 1))
        await edge.is_closed.wait()
        await other.connection.publish("dnsd.edge.e2.status", b"x" * access.MAX_PAYLOAD)
        assert (await statuses.next_msg(HANG_S)).subject == "dnsd.edge.e2.status"

    world.run(test)


@pytest.mark.parametrize(
    "changes", [{"name": "edge-e2"}, {"durable_name": "edge-e1"}, {"ack_policy": "explicit"}], ids=str
)
def test_an_edge_may_shape_its_own_consumer(world: World, changes: dict[str, Any]) -> None:
    """The subject has its name and its filter. A durable one stays until it is deleted; it reads the same."""

    async def test(control: Client, edge: Client, other: Client) -> None:
        before = await state_of(control)
        made = await edge.ask(CREATE, {"stream_name": "DNSD", "config": OWN_CONSUMER | changes})
        assert (made["name"], made["config"]["filter_subject"]) == ("edge-e1", "dnsd.s.>")
        assert (await edge.ask("hub.delete.edge-e1"))["success"]
        assert await state_of(control) == before

    world.run(test)


# What is refused


@pytest.mark.parametrize(
    "subject",
    [
        "dnsd.s.o.acme.account",
        "dnsd.s.meta",
        "dnsd.c.token.one",
        "dnsd.c.tokens",
        "dnsd.c.session.one",
        "dnsd.c.x.pending.acme.one",
        "dnsd.c.x.brake.one",
        "dnsd.c.lease.pending.one",
        "dnsd.c.op.one",
        "dnsd.log.audit.acme.one",
        "dnsd.beat",
        "dnsd.ask.e1",
        "dnsd.edge.e2.status",
        "hub.ask.e2",
        "hub.get.dnsd.c.token.one",
        "hub.get.dnsd.c.session.one",
        "hub.get.dnsd.c.x.pending.acme.one",
        "hub.create.edge-e1",
        "hub.create.edge-e1.dnsd.c.>",
        "hub.create.edge-e1.>",
        "hub.create.edge-e2.dnsd.s.>",
        "hub.delete.edge-e2",
        "hub.next.edge-e2",
        f"{API}.INFO",
        f"{API}.STREAM.INFO.DNSD",
        f"{API}.STREAM.MSG.GET.DNSD",
        f"{API}.STREAM.DELETE.DNSD",
        f"{API}.STREAM.UPDATE.DNSD",
        f"{API}.DIRECT.GET.DNSD",
        f"{API}.DIRECT.GET.DNSD.dnsd.c.token.one",
        f"{API}.DIRECT.GET.DNSD.dnsd.c.session.one",
        f"{API}.CONSUMER.CREATE.DNSD.shared-c1",
        f"{API}.CONSUMER.MSG.NEXT.DNSD.shared-c1",
        f"{API}.CONSUMER.CREATE.DNSD.edge-e1.dnsd.s.>",
        f"{API}.CONSUMER.DURABLE.CREATE.DNSD.edge-e1",
        f"{API}.CONSUMER.LIST.DNSD",
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.SERVER.PING",
        "_INBOX_e2.x",
        "_INBOX_c1.x",
    ],
)
def test_an_edge_publishes_nothing_else(world: World, subject: str) -> None:
    async def test(control: Client, edge: Client, other: Client) -> None:
        before = await state_of(control)
        await edge.connection.publish(subject, b"evil", reply=edge.connection.new_inbox())
        assert f'permissions violation for publish to "{subject.lower()}' in (await edge.refusal()).lower()
        assert await state_of(control) == before

    world.run(test)


@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "*",
        "dnsd.>",
        "dnsd.s.>",
        "dnsd.s.meta",
        "dnsd.c.>",
        "dnsd.c.token.one",
        "dnsd.c.tokens",
        "dnsd.c.session.one",
        "dnsd.c.x.pending.acme.one",
        "dnsd.c.x.brake.one",
        "dnsd.c.lease.pending.one",
        "dnsd.log.>",
        "dnsd.ask.*",
        "dnsd.edge.*.status",
        "dnsd.edge.e2.status",
        "hub.>",
        "hub.ask.e2",
        "_INBOX.>",
        "_INBOX_e2.>",
        "_INBOX_c1.>",
        "$JS.>",
        "$SYS.>",
    ],
)
def test_an_edge_hears_nothing_else(world: World, subject: str) -> None:
    async def test(control: Client, edge: Client, other: Client) -> None:
        await edge.connection.subscribe(subject)
        assert f'permissions violation for subscription to "{subject.lower()}' in (await edge.refusal()).lower()

    world.run(test)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"filter_subject": "dnsd.c.>"}, 10131),
        ({"filter_subject": ">"}, 10131),
        ({"filter_subject": "dnsd.c.token.one"}, 10131),
        ({"filter_subject": "", "filter_subjects": ["dnsd.c.token.>", "dnsd.c.session.>"]}, 10137),
        ({"filter_subject": ""}, 10131),
        ({"filter_subject": "", "filter_subjects": ["dnsd.s.>", "dnsd.c.>"]}, 10137),
        ({"name": "", "durable_name": "edge-e2"}, 10017),
        ({"deliver_subject": "dnsd.s.o.acme.account"}, 10081),
        ({"deliver_subject": "dnsd.c.token.one"}, 10081),
    ],
    ids=str,
)
def test_an_edge_makes_no_other_consumer(world: World, changes: dict[str, Any], code: int) -> None:
    async def test(control: Client, edge: Client, other: Client) -> None:
        before = await state_of(control)
        reply = await edge.ask(CREATE, {"stream_name": "DNSD", "config": OWN_CONSUMER | changes})
        assert reply["error"]["err_code"] == code, reply
        assert (await control.ask(f"{API}.CONSUMER.LIST.DNSD"))["consumers"] == []
        assert await state_of(control) == before

    world.run(test)


@pytest.mark.parametrize("target", ["dnsd.log.audit.evil", f"{API}.STREAM.DELETE.DNSD"])
def test_a_push_consumer_of_an_edge_changes_nothing(world: World, target: str) -> None:
    async def test(control: Client, edge: Client, other: Client) -> None:
        before = await state_of(control)
        body = {"stream_name": "DNSD", "config": OWN_CONSUMER | {"deliver_subject": target}}
        await edge.ask(CREATE, body)
        for _ in range(10):
            assert await state_of(control) == before
            await asyncio.sleep(0.02)
        await edge.ask("hub.delete.edge-e1")

    world.run(test)


TARGETS = ["dnsd.s.o.acme.account", "dnsd.c.token.one", "dnsd.c.session.two", "dnsd.log.audit.evil", "dnsd.beat"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("request_subject", [CREATE, "hub.next.edge-e1", "hub.get.dnsd.s.meta", "hub.ask.e1"])
def test_a_reply_subject_of_an_edge_changes_nothing(world: World, request_subject: str, target: str) -> None:
    async def test(control: Client, edge: Client, other: Client) -> None:
        asked, statuses = [await control.connection.subscribe(one) for one in ("dnsd.ask.*", "dnsd.edge.*.status")]
        await control.connection.flush()
        heard = await other.connection.subscribe("dnsd.beat")
        await other.connection.flush()
        body = {"stream_name": "DNSD", "config": OWN_CONSUMER}
        await edge.ask(CREATE, body)
        before = await state_of(control)
        payload = json.dumps(body).encode() if request_subject == CREATE else b""
        await edge.connection.publish(request_subject, payload, reply=target)
        await edge.connection.flush()
        if request_subject == "hub.ask.e1":
            await (await asked.next_msg(HANG_S)).respond(b"evil")
            await control.connection.flush()
        for _ in range(5):
            assert await state_of(control) == before
            await asyncio.sleep(0.02)
        assert statuses.pending_msgs == 0
        assert target == "dnsd.beat" or heard.pending_msgs == 0  # other edges may hear a beat that is none
        await edge.ask("hub.delete.edge-e1")

    world.run(test)


def test_in_the_account_of_the_stream_a_reply_subject_would_write(world: World, tmp_path: Path) -> None:
    """The attack that the second account prevents; without it, the tests above would prove nothing."""
    root = world.root
    issuer, key = load_issuer(control_folder(root)), Nkey.generate(NkeyKind.USER)
    claims = access.control_claims("spy", issuer.accounts[access.DNSD])
    claims["pub"] = {"allow": [f"{API}.DIRECT.GET.DNSD.dnsd.s.>"]}
    now = datetime.now(UTC)
    chain = issuer.authority.issue("spy", key.private.public_key(), now=now, life=NODE_LIFE)
    jwt = signed_jwt(issuer.signing, key.public, claims, name="spy", issued=now)
    make_identity(tmp_path / "spy", key.private, (root.folder / "ca.pem").read_bytes(), Papers(chain, jwt))

    async def test() -> None:
        async with (
            connected(root, control_folder(root)) as control,
            connected(root, tmp_path / "spy") as spy,
        ):
            before = (await state_of(control))["last"]
            await spy.connection.publish(f"{API}.DIRECT.GET.DNSD.dnsd.s.meta", b"", reply="dnsd.s.x.stolen")
            async with asyncio.timeout(HANG_S):
                while (await state_of(control))["last"] == before:
                    await asyncio.sleep(0.02)

    asyncio.run(test())


# Whom servers let in


def refused(root: RootFolder, folder: Path, **options: Any) -> str:
    """The reason why a server refuses a connection."""

    async def test() -> str:
        try:
            async with connected(root, folder, **options) as client:
                await client.connection.flush()
        except (OSError, nats.errors.Error) as error:
            return str(error) or type(error).__name__
        raise AssertionError("the server let it in")

    return run(test())


def context_of(folder: Path) -> ssl.SSLContext:
    return load_identity(folder).context()


def test_a_client_without_a_certificate_is_refused(world: World) -> None:
    context = ssl.create_default_context(cafile=world.e1 / "ca.pem")
    refused(world.root, world.e1, tls=context)


def test_a_certificate_of_another_authority_is_refused(world: World, tmp_path: Path) -> None:
    foreign, key = root_authority(datetime.now(UTC)), load_identity(world.e1).key.private
    chain = foreign.issue("e1", key.public_key(), now=datetime.now(UTC), life=NODE_LIFE)
    shutil.copytree(world.e1, tmp_path / "e1")
    (tmp_path / "e1" / "cert.pem").write_bytes(chain)
    refused(world.root, tmp_path / "e1")


def test_a_server_of_another_authority_is_refused_by_the_client(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.e1, tmp_path / "e1")
    (tmp_path / "e1" / "ca.pem").write_bytes(pem(root_authority(datetime.now(UTC)).certificate))
    assert "CERTIFICATE_VERIFY_FAILED" in refused(world.root, tmp_path / "e1")


def test_tls_below_1_3_is_refused(world: World) -> None:
    context = context_of(world.e1)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert "protocol version" in refused(world.root, world.e1, tls=context).lower().replace("_", " ")


def test_a_jwt_of_another_fleet_is_refused(world: World, tmp_path: Path) -> None:
    """With a good certificate, so that only the JWT is at fault."""
    foreign = load_identity(new_edge(new_root(tmp_path), "e1"))
    reason = refused(
        world.root,
        world.e1,
        user_jwt_cb=foreign.jwt.encode,
        signature_cb=foreign.connect_options()["signature_cb"],
    )
    assert "Authorization Violation" in reason


def test_a_jwt_that_an_edge_signs_itself_is_refused(world: World, tmp_path: Path) -> None:
    own = load_identity(world.e1)
    issuer = Nkey(NkeyKind.ACCOUNT, own.key.private)
    claims = access.control_claims("e1", own.account)
    shutil.copytree(world.e1, tmp_path / "e1")
    jwt = signed_jwt(issuer, own.key.public, claims, name="e1", issued=datetime.now(UTC))
    (tmp_path / "e1" / "user.jwt").write_text(jwt)
    assert "Authorization Violation" in refused(world.root, tmp_path / "e1")


def test_a_jwt_without_its_key_is_refused(world: World) -> None:
    stolen = load_identity(world.e2).jwt
    assert "Authorization Violation" in refused(world.root, world.e1, user_jwt_cb=stolen.encode)


def test_an_expired_jwt_is_refused(world: World, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    old = new_edge(world.root, "e1", now=now - NODE_LIFE - timedelta(days=1))
    fresh = load_issuer(control_folder(world.root)).edge_papers(
        "e1", request_of("e1", load_identity(old).key.private), now=now
    )
    (old / "cert.pem").write_bytes(fresh.chain)
    assert "Authorization Violation" in refused(world.root, old)


def test_an_expired_certificate_is_refused(world: World) -> None:
    now = datetime.now(UTC)
    old = new_edge(world.root, "e1", now=now - NODE_LIFE - timedelta(days=1))
    issuer = load_issuer(control_folder(world.root))
    fresh = issuer.edge_papers("e1", request_of("e1", load_identity(old).key.private), now=now)
    (old / "user.jwt").write_text(fresh.jwt)
    refused(world.root, old)


def test_a_connection_ends_when_its_jwt_expires_and_renewed_papers_open_a_new_one(world: World) -> None:
    now = datetime.now(UTC)
    edge = new_edge(world.root, "e1", now=now - NODE_LIFE + timedelta(seconds=3))

    async def test() -> None:
        async with connected(world.root, edge) as client:
            async with asyncio.timeout(HANG_S):
                await client.is_closed.wait()
        issuer = load_issuer(control_folder(world.root))
        renew_identity(edge, issuer.edge_papers("e1", request_of("e1", load_identity(edge).key.private), now=now))
        async with connected(world.root, edge) as client:
            await client.connection.flush()

    run(test())


# Revocation and renewal


def test_a_revoked_edge_is_cut_at_once_and_stays_out_while_others_stay(tmp_path: Path) -> None:
    root = new_root(tmp_path, controls=("c1", "c2"))
    e1, e2 = new_edge(root, "e1"), new_edge(root, "e2", control="c2")

    async def revoke() -> None:
        async with (
            connected(root, control_folder(root)) as control,
            connected(root, e1) as cut,
            connected(root, e2) as other,
        ):
            root.revoke_edge(load_identity(e1).key.public, now=datetime.now(UTC))
            assert await asyncio.to_thread(send_accounts, root, now=datetime.now(UTC)) == {"n0"}
            async with asyncio.timeout(HANG_S):
                await cut.is_closed.wait()
            for stays in (control, other):
                await stays.connection.flush()
                assert (stays.connection.stats["reconnects"], stays.errors) == (0, [])

    file = root.folder / "servers" / "n0" / "nats.conf"
    first_day = file.read_bytes()
    with running(root) as (server,):
        run(revoke())
        assert "Authorization Violation" in refused(root, e1)
        file.write_bytes(first_day)  # a server's copy still has the accounts of the first day
        server.reload()
        assert "Authorization Violation" in refused(root, e1)
    with running(root):
        assert "Authorization Violation" in refused(root, e1)
        let_in(root, e2)
        let_in(root, new_edge(root, "e1"))


def test_a_revoked_control_is_cut_with_its_edges_and_another_goes_on(tmp_path: Path) -> None:
    root = new_root(tmp_path, controls=("c1", "c2"))
    e1, e2 = new_edge(root, "e1"), new_edge(root, "e2", control="c2")

    async def revoke() -> None:
        async with (
            connected(root, control_folder(root)) as control,
            connected(root, control_folder(root, "c2")) as stays,
            connected(root, e1) as edge,
        ):
            root.revoke_control("c1", now=datetime.now(UTC))
            await asyncio.to_thread(send_accounts, root, now=datetime.now(UTC))
            async with asyncio.timeout(HANG_S):
                await control.is_closed.wait()
                await edge.is_closed.wait()
            await stays.connection.flush()

    with running(root):
        run(revoke())
        for folder in (control_folder(root), e1, new_edge(root, "e3")):
            assert "Authorization Violation" in refused(root, folder)
        let_in(root, e2)


def test_a_server_set_up_again_from_the_root_folder_keeps_withdrawn_nodes_out(tmp_path: Path) -> None:
    root = new_root(tmp_path, controls=("c1", "c2"))
    e1, e2 = (new_edge(root, name, control="c2") for name in ("e1", "e2"))
    root.revoke_control("c1", now=datetime.now(UTC))
    load_root(root.folder).revoke_edge(load_identity(e1).key.public, now=datetime.now(UTC))
    with running(root):  # for the first time, as on an empty disk
        for folder in (control_folder(root), e1):
            assert "Authorization Violation" in refused(root, folder)
        let_in(root, e2)


@pytest.mark.parametrize("withdrawn", ["edge", "control"])
def test_an_older_copy_of_the_root_folder_takes_no_revocation_back(tmp_path: Path, withdrawn: str) -> None:
    root = new_root(tmp_path, controls=("c1", "c2"))
    folder = control_folder(root) if withdrawn == "control" else new_edge(root, "e1")
    key = load_identity(folder).key.public
    shutil.copytree(root.folder, tmp_path / "copy")

    def revoke(which: Path, *, hours: int) -> None:
        now, there = datetime.now(UTC) + timedelta(hours=hours), load_root(which)
        if withdrawn == "control":
            there.revoke_control("c1", now=now)
        else:
            there.revoke_edge(key, now=now)

    with running(root):
        revoke(root.folder, hours=0)
        assert send_accounts(load_root(root.folder), now=datetime.now(UTC)) == {"n0"}
        other = load_identity(new_edge(root, "e9", control="c2")).key.public
        load_root(tmp_path / "copy").revoke_edge(other, now=datetime.now(UTC) + timedelta(hours=1))
        missing = "--control c1" if withdrawn == "control" else f"--edge {key}"
        with pytest.raises(RootFolderError, match=f"copy is an older copy of the root folder.*: {missing}$"):
            send_accounts(load_root(tmp_path / "copy"), now=datetime.now(UTC))
        assert "Authorization Violation" in refused(root, folder)
        revoke(tmp_path / "copy", hours=1)  # if no newer copy is left
        assert send_accounts(load_root(tmp_path / "copy"), now=datetime.now(UTC)) == {"n0"}
        assert "Authorization Violation" in refused(root, folder)


def test_a_server_takes_a_renewed_certificate_without_losing_a_connection(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    folder = control_folder(root)

    async def test() -> None:
        async with connected(root, folder) as control:
            await make_stream(control)
            before = await shown_certificate(root, folder)
            root.renew_server("n0", now=datetime.now(UTC))
            server.reload()
            assert await shown_certificate(root, folder) != before
            await control.ask_raw("dnsd.s.meta", b"after")
            assert (control.connection.stats["reconnects"], control.errors) == (0, [])

    with running(root) as (server,):
        run(test())


async def shown_certificate(root: RootFolder, folder: Path) -> bytes:
    async with connected(root, folder) as client:
        shown = client.connection._transport._io_writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return bytes(shown)


def let_in(root: RootFolder, folder: Path) -> None:
    async def test() -> None:
        async with connected(root, folder) as client:
            await client.connection.flush()

    run(test())


def test_accounts_sent_to_no_server_fail_in_words(tmp_path: Path) -> None:
    root = new_root(tmp_path)
    with pytest.raises(RootFolderError, match="no server can be reached at tls://127"):
        send_accounts(root, now=datetime.now(UTC))


def test_a_server_that_stands_still_delays_a_revocation_and_does_not_prevent_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nats.aio.client.shuffle", lambda _: None)  # the first server is asked first
    root = new_root(tmp_path, 3)
    with running(root) as servers:
        three_replicas(root)
        servers[0].process.send_signal(signal.SIGSTOP)  # its kernel still accepts connections
        assert send_accounts(root, now=datetime.now(UTC)) == {"n1", "n2"}
        servers[0].process.send_signal(signal.SIGCONT)


# The port for servers


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RootFolder]:
    root = new_root(tmp_path_factory.mktemp("cluster"), 3)
    with running(root):
        yield root


def test_an_edge_does_not_pass_as_a_server(cluster: RootFolder) -> None:
    """At the port for routes, a server may write everything; an edge's certificate leads to the same root."""
    root, edge = cluster, new_edge(cluster, "e1")

    def first_reply(login: dict[str, str]) -> bytes:
        context = context_of(edge)
        context.check_hostname = False
        server = root.servers[0]
        with (
            socket.create_connection((server.host, server.port + ROUTES_ABOVE), HANG_S) as plain,
            context.wrap_socket(plain) as route,
            route.makefile("rb") as replies,
        ):
            assert replies.readline().startswith(b"INFO {")
            route.sendall(f"CONNECT {json.dumps(CONNECT | login)}\r\nPING\r\n".encode())
            return replies.readline()

    for login in ({}, {"user": "server", "pass": "guess"}, {"jwt": load_identity(edge).jwt}):
        assert first_reply(login) == b"-ERR 'Authorization Violation'\r\n"
    secret = (root.folder / "servers" / "n0" / "nats.conf").read_text().partition('password: "')[2][:64]
    assert first_reply({"user": "server", "pass": secret}) == b"PONG\r\n"  # nothing but the secret is between them


def test_three_servers_form_a_cluster(cluster: RootFolder) -> None:
    assert three_replicas(cluster) == 3


def three_replicas(root: RootFolder) -> int:
    """Wait until three servers keep a stream, and return the number of its copies."""

    async def test() -> int:
        body = {"name": "T", "subjects": ["t"], "num_replicas": 3}
        async with connected(root, control_folder(root)) as control, asyncio.timeout(HANG_S):
            while True:  # requests in the first seconds of a cluster remain unanswered
                with suppress(nats.errors.TimeoutError):
                    made = await control.ask(f"{API}.STREAM.CREATE.T", body, within_s=1)
                    if "error" not in made:
                        return 1 + len(made["cluster"]["replicas"])

    return run(test())


# Questions for papers


def question_of(identity: Path, name: str = "e1") -> bytes:
    own = load_identity(identity)
    return RenewalQuestion(request_of(name, own.key.private), (identity / "cert.pem").read_bytes()).packed()


def bounded(test: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        async with asyncio.timeout(HANG_S):
            await test

    run(within())


async def subjects_of(control: Client) -> dict[str, Any]:
    """All objects, but for the markers of commits."""
    found = (await control.ask(f"{API}.STREAM.INFO.DNSD", {"subjects_filter": ">"}))["state"]["subjects"]
    return {subject: number for subject, number in found.items() if not subject.startswith("dnsd.c.op.")}


def rsa_request() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256()).public_bytes(PEM)


@pytest.mark.usefixtures("filled")
def test_malformed_questions_change_nothing(root: RootFolder) -> None:
    identity = new_edge(root, "e1")
    chain = (identity / "cert.pem").read_text()
    request = request_of("e1", load_identity(identity).key.private).decode()
    refused: list[tuple[bytes, str]] = [
        (b"", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (b"[]", "not an object"),
        (b'{"v":2}', "another version"),
        (b'{"v":1}', "no request"),
        (json.dumps({"v": 1, "request": 5, "chain": chain}).encode(), "no request"),
        (json.dumps({"v": 1, "request": request}).encode(), "no chain"),
        (json.dumps({"v": 1, "request": "é\u0000", "chain": chain}).encode(), "not a certificate request"),
        (json.dumps({"v": 1, "request": request[:-50], "chain": chain}).encode(), "not a certificate request"),
        (json.dumps({"v": 1, "request": rsa_request().decode(), "chain": chain}).encode(), "needs an Ed25519 key"),
        (json.dumps({"v": 1, "request": request, "chain": ""}).encode(), "not a certificate in PEM"),
        (json.dumps({"v": 1, "request": request, "chain": chain * 3}).encode(), "does not lead to the fleet's root"),
    ]

    async def test() -> None:
        async with (
            gate(root) as control,
            connected(root, control_folder(root)) as watch,
            connected(root, identity) as edge,
        ):
            control.asks._allowances = Allowances(1000, 1.0)
            before = await subjects_of(watch)
            for payload, words in refused:
                answer = json.loads((await edge.connection.request("hub.ask.e1", payload, timeout=HANG_S)).data)
                assert words in answer["refused"], payload[:80]
            assert await subjects_of(watch) == before
            assert "chain" in json.loads((await ask_papers(edge, identity)).data)

    bounded(test())


async def ask_papers(edge: Client, identity: Path) -> Any:
    return await edge.connection.request("hub.ask.e1", question_of(identity), timeout=HANG_S)


@pytest.mark.usefixtures("filled")
def test_a_flood_of_questions_is_bounded_and_keeps_no_edge_from_its_papers(
    root: RootFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed: list[str] = []
    real = Admission.renew

    async def renew(admission: Admission, name: str, *rest: Any) -> Papers:
        renewed.append(name)
        return await real(admission, name, *rest)

    monkeypatch.setattr(Admission, "renew", renew)
    evil, good = new_edge(root, "e1"), new_edge(root, "e2")

    async def test() -> None:
        node = edge_node(good, urls_of(root), lambda: 100)
        async with gate(root) as control, connected(root, evil) as edge:
            payload, inbox = question_of(evil), edge.connection.new_inbox()

            is_over = asyncio.Event()

            async def flood() -> None:
                while not is_over.is_set():
                    for _ in range(200):
                        await edge.connection.publish("hub.ask.e1", payload, reply=inbox)
                    await edge.connection.flush(HANG_S)

            loop = asyncio.get_running_loop()
            began = loop.time()
            flooding = asyncio.create_task(flood())
            for _ in range(3):
                while True:
                    with suppress(NoAnswerError):
                        assert (await asked_papers(node, load_identity(good))).jwt
                        break
                assert len(control.asks._tasks) <= 2
            while edge.connection.stats["out_msgs"] < 20_000:
                await asyncio.sleep(0.02)
            is_over.set()
            await flooding
            allowed = USUAL + 1 + (loop.time() - began) * USUAL / WITHIN_S
            assert renewed.count("e2") == 3
            assert 1 <= renewed.count("e1") <= allowed
        await node.line.close()

    bounded(test())


@pytest.mark.usefixtures("filled")
def test_a_consumer_aimed_at_questions_asks_nothing(root: RootFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    evil, good = new_edge(root, "e1"), new_edge(root, "e2")
    begun: list[str] = []
    real = AskService._answer

    async def answer(service: AskService, admission: Admission, link: Link, edge: str, message: Any) -> None:
        begun.append(edge)
        await real(service, admission, link, edge, message)

    monkeypatch.setattr(AskService, "_answer", answer)

    async def test() -> None:
        node = edge_node(good, urls_of(root), lambda: 100)
        async with gate(root) as control, connected(root, evil) as edge:
            config = OWN_CONSUMER | {"deliver_subject": "dnsd.ask.e2"}
            assert "error" not in await edge.ask(CREATE, {"stream_name": "DNSD", "config": config})
            link = await control.node.line.link()
            reply = "$JS.ACK.DNSD.edge-e1.1.1.1.1764400000000000000.0"  # of what a consumer sends
            aimed = Msg(link.client, "dnsd.ask.e2", reply, question_of(good, "e2"))
            control.asks._take(None, link, aimed)  # type: ignore[arg-type]
            assert control.asks._tasks == {}
            await asked_papers(node, load_identity(good))
            assert begun == ["e2"]
        await node.line.close()

    bounded(test())


# The port for codes


async def guess(gate: Gate, secret: bytes, identity: Path, source: str) -> Papers:
    """What a stranger without a good code does. Raises PapersRefusedError, and OSError without an answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    place: dict[str, Any] = {"local_addr": (source, 0), "ssl_shutdown_timeout": 1}
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port, ssl=context, **place)
    try:
        if not await reader.readline():
            raise ConnectionError("closed")
        writer.write(join_question(secret, request_of("e9", load_identity(identity).key.private)).packed())
        return parse_papers(await reader.readline())
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.mark.usefixtures("filled")
def test_a_stranger_guesses_no_secret_and_keeps_nobody_out(root: RootFolder) -> None:
    stranger = new_edge(root, "e9")  # an edge in wrong hands, too, has no more than others

    async def test() -> None:
        async with gate(root) as control, connected(root, control_folder(root)) as watch:
            code = parse_code(await control.code("pop-1"))
            before = await subjects_of(watch)
            guesses = [bytes(16), code.secret[::-1], *(os.urandom(16) for _ in range(18))]
            said: list[str] = []
            for one in guesses:
                try:
                    await guess(control, one, stranger, "127.0.0.1")
                except (DnsdError, OSError) as error:
                    said.append(str(error) if isinstance(error, PapersRefusedError) else "closed")
            assert said == [edge_list.UNKNOWN_CODE] * 10 + ["closed"] * 10
            assert await subjects_of(watch) == before
            assert (await guess(control, code.secret, stranger, "127.0.0.2")).jwt  # with the code: it is who has it
            assert not [one for one in control.said if any(secret.hex() in one for secret in [*guesses, code.secret])]
            assert len([one for one in control.said if "an edge was not let in" in one]) == 1  # a line in ten seconds

    bounded(test())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"GET / HTTP/1.1\n", "not JSON"),
        (b'{"v":1,"code":"00","request":"x","signature":""}\n', "no digest of a code"),
        (b'{"v":1,"code":5,"request":"x"}\n', "no code"),
        (b'{"v":9}\n', "another version"),
        (UNSIGNED, "not a certificate request"),
    ],
)
@pytest.mark.usefixtures("filled")
def test_a_stranger_that_asks_nonsense_is_told_so(root: RootFolder, line: bytes, words: str) -> None:
    async def test() -> None:
        async with gate(root) as control, connected(root, control_folder(root)) as watch:
            before = await subjects_of(watch)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            reader, writer = await asyncio.open_connection("127.0.0.1", control.port, ssl=context)
            await reader.readline()
            writer.write(line)
            assert words in json.loads(await reader.readline())["refused"]
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            assert await subjects_of(watch) == before

    bounded(test())
