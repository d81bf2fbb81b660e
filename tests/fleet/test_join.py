"""A code lets one machine in, once; the machine asks nobody but a control of the code's fleet, and keeps the secret."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import stat
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dnsd.cli.commands import main
from dnsd.fleet import edge_list, identity_place, level
from dnsd.fleet.certificates import pem, request_of, root_digest
from dnsd.fleet.edge_list import AdmissionError, EdgeList, EdgeOffer
from dnsd.fleet.edge_record import EdgeRecord
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.identity import IdentityError, load_identity, renew_identity, root_of
from dnsd.fleet.identity_place import IdentityPlace, give_folder
from dnsd.fleet.issuer import load_issuer
from dnsd.fleet.join import NoControlError, NotJoinedError
from dnsd.fleet.join_code import digest_of, parse_code
from dnsd.fleet.last_message import last_message
from dnsd.fleet.link import EngineRefusedError
from dnsd.fleet.nkeys import Nkey, NkeyKind
from dnsd.fleet.node import control_node, edge_node
from dnsd.fleet.papers_talk import PapersRefusedError, greeting_line, join_question, parse_join
from dnsd.fleet.renewal import asked_papers
from dnsd.fleet.root import RootFolder
from dnsd.fleet.subjects import join_subject
from tests.fleet.edges import FILES, SETTINGS, Edge, EdgeFolder, FleetSource, urls_of
from tests.fleet.fleets import run
from tests.fleet.gates import gate, joined
from tests.fleet.nats_servers import free_ports, needs_nats_server
from tests.fleet.servers import NatsServer, connected, control_folder, make_stream, new_edge, new_root
from tests.fleet.test_renewal import age, wait_for
from tests.live.server import Dnsd

pytestmark = needs_nats_server
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
SERVICE, OTHER = (65_534, 65_533), (65_532, 65_531)  # users and groups
OLDER = "this control changes no edges: the fleet has level 2, and this version of dnsd knows 1 at most"


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return new_root(tmp_path, controls=("c1", "c2"))


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def let_in(root: RootFolder, identity: Path) -> None:
    async with connected(root, identity) as client:
        await client.connection.flush()


@pytest.mark.usefixtures("filled")
def test_a_code_makes_one_machine_an_edge_once(root: RootFolder, tmp_path: Path) -> None:
    async def test() -> None:
        async with gate(root) as control:
            code = await control.code("pop-1", ring=2, label="Zürich, rack 7")
            one, other = tmp_path / "one" / "identity", tmp_path / "other"
            await joined(code, one)
            identity = load_identity(one)
            assert identity.name == "pop-1"
            assert await control.record("pop-1") == EdgeRecord(identity.key.public, 2, "Zürich, rack 7")
            await let_in(root, one)
            assert {file.name for file in one.iterdir()} == {"ca.pem", "cert.pem", "key.pem", "user.jwt"}
            assert {stat.S_IMODE(file.stat().st_mode) for file in one.iterdir()} == {0o600}
            assert stat.S_IMODE(one.stat().st_mode) == 0o700
            assert [*one.parent.iterdir()] == [one]
            with pytest.raises(NotJoinedError, match="no control of this fleet knows the code: it was used, or it is"):
                await joined(code, other)
            assert not other.exists()
            link = await control.node.line.link()
            assert (await last_message(link, join_subject(digest_of(parse_code(code).secret)))).value is None
            async with fetched_state(control.node) as state:  # all sums of the state are right
                assert len(state.files.files) == len(FILES)

    run(test())


@pytest.mark.usefixtures("filled")
def test_of_two_controls_one_redeems_a_code(root: RootFolder) -> None:
    async def test() -> None:
        nodes = [control_node(control_folder(root, name), urls_of(root), 100) for name in ("c1", "c2")]
        lists = [EdgeList(node.line, node.name) for node in nodes]
        for number in range(30):
            secret, name = os.urandom(16), f"e{number}"
            keys = [Nkey.generate(NkeyKind.USER).public for _ in lists]
            await lists[number % 2].offer(secret, EdgeOffer(name))
            question = join_question(secret, b"request")
            work = [one.redeem(question, key) for one, key in zip(lists, keys, strict=True)]
            done = await asyncio.gather(*work, return_exceptions=True)
            assert sorted(map(str, done)) == sorted([name, edge_list.UNKNOWN_CODE])
            record = await lists[0].leave(name)
            assert record.key == keys[done.index(name)]
        async with fetched_state(nodes[0]) as state:
            assert len(state.files.files) == len(FILES)
        for node in nodes:
            await node.line.close()

    run(test())


@pytest.mark.usefixtures("filled")
def test_an_old_code_is_refused(root: RootFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_list, "OFFER_LIVES", "1s")

    async def test() -> None:
        async with gate(root) as control:
            code = await control.code("pop-1")
            subject = join_subject(digest_of(parse_code(code).secret))
            while (await last_message(await control.node.line.link(), subject)).value is not None:
                await asyncio.sleep(0.1)
            with pytest.raises(NotJoinedError, match="it was used, or it is older than an hour"):
                await joined(code, tmp_path / "identity")
            assert await control.record("pop-1") is None

    run(test())


@pytest.mark.usefixtures("filled")
def test_a_name_in_use_is_refused(root: RootFolder, tmp_path: Path, folder: EdgeFolder) -> None:
    async def test() -> None:
        async with gate(root) as control:
            first, second = [await control.code("pop-1") for _ in range(2)]
            await joined(first, tmp_path / "one")
            for work in (joined(second, tmp_path / "two"), control.code("pop-1")):
                with pytest.raises((NotJoinedError, AdmissionError), match="pop-1 is an edge already: choose another"):
                    await work
            assert not (tmp_path / "two").exists()
            with pytest.raises(AdmissionError, match="'Pop 1' is not the name of a node"):
                await control.code("Pop 1")
            with pytest.raises(AdmissionError, match="a ring is a number from 0 to 9"):
                await control.code("pop-3", ring=10)
            with pytest.raises(AdmissionError, match="at most 64 printable characters"):
                await control.code("pop-3", label="x" * 65)

    async def with_a_living_edge() -> None:
        node = control_node(control_folder(root), urls_of(root), 100)  # as of a version that keeps no list
        with pytest.raises(AdmissionError, match="an edge with the name e1 is connected"):
            await EdgeList(node.line, "c1").offer(os.urandom(16), EdgeOffer("e1"))
        await node.line.close()

    run(test())
    with folder.serving() as edge:
        edge.becomes("www.ost.example", ["203.0.113.7"])
        run(with_a_living_edge())


@pytest.mark.usefixtures("filled")
def test_papers_that_are_there_stay_unless_they_are_to_be_replaced(root: RootFolder, tmp_path: Path) -> None:
    async def test() -> None:
        async with gate(root) as control:
            place = tmp_path / "identity"
            await joined(await control.code("pop-1"), place)
            before = content(place)
            other = await control.code("pop-2")
            for is_again in (False, True):
                with pytest.raises(IdentityError, match="has the papers of pop-1; the code is for pop-2"):
                    await joined(other, place, is_again=is_again)
            gone = await control.edges.leave("pop-1")
            code = await control.code("pop-1")
            with pytest.raises(IdentityError, match="has papers of pop-1 already, and stays; --again replaces them"):
                await joined(code, place)
            assert content(place) == before
            await joined(code, place, is_again=True)
            assert content(place).keys() == before.keys()
            assert load_identity(place).key.public != gone.key
            assert [*place.parent.glob(".identity*")] == []
            await let_in(root, place)
            foreign = tmp_path / "foreign"
            foreign.mkdir()
            (foreign / "notes").write_text("mine")
            with pytest.raises(IdentityError, match="has files, and nothing in it was changed"):
                await joined(other, foreign, is_again=True)
            assert content(foreign) == {"notes": b"mine"}
            empty = tmp_path / "empty"
            empty.mkdir()
            await joined(other, empty)
            await let_in(root, empty)

    run(test())


@pytest.mark.usefixtures("filled")
def test_what_fails_late_leaves_nothing(root: RootFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, uid: int, gid: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(identity_place, "hand_over", full)

    async def test() -> None:
        async with gate(root) as control:
            place = tmp_path / "edge" / "identity"
            with pytest.raises(OSError, match="No space left"):
                await joined(await control.code("pop-1"), place)
            assert [*place.parent.iterdir()] == []

    run(test())


@needs_root
@pytest.mark.usefixtures("filled")
def test_root_gives_the_folder_to_its_user(root: RootFolder, tmp_path: Path) -> None:
    def owners(folder: Path) -> set[tuple[int, int]]:
        return {(one.lstat().st_uid, one.lstat().st_gid) for one in (folder, *folder.iterdir())}

    async def test() -> None:
        async with gate(root) as control:
            given, place = tmp_path / "given", tmp_path / "home" / "identity"
            await joined(await control.code("pop-1"), given, owner=SERVICE)
            assert owners(given) == {SERVICE}
            place.parent.mkdir()
            os.chown(place.parent, *OTHER)
            await joined(await control.code("pop-2"), place)  # without `user`, as under systemd
            assert owners(place) == {OTHER}
            os.chown(place, *SERVICE)
            await control.edges.leave("pop-2")
            await joined(await control.code("pop-2"), place, is_again=True)
            assert owners(place) == {SERVICE}

    run(test())


@needs_root
def test_root_gives_no_file_of_others_away(tmp_path: Path) -> None:
    """The folder's parent may be the user's, who can put another folder or a link in place of the new one."""
    mine, place = tmp_path / "mine", IdentityPlace(tmp_path / "identity", is_again=False)
    mine.write_text("")
    with place.new_folder() as (new, fd):
        (new / "key.pem").write_text("")
        os.link(mine, new / "cert.pem")
        give_folder(fd, SERVICE)
        assert (mine.stat().st_uid, (new / "key.pem").stat().st_uid, new.stat().st_uid) == (0, SERVICE[0], SERVICE[0])
    with place.new_folder() as (new, fd):
        (new / "key.pem").symlink_to(mine)
        with pytest.raises(OSError, match="symbolic links"):
            give_folder(fd, SERVICE)
        assert (mine.stat().st_uid, new.stat().st_uid) == (0, 0)  # the folder goes last
    with place.new_folder() as (new, fd):
        new.rename(tmp_path / "new")
        (tmp_path / "of root").mkdir()
        new.symlink_to(tmp_path / "of root")
        give_folder(fd, SERVICE)
        assert ((tmp_path / "new").stat().st_uid, (tmp_path / "of root").stat().st_uid) == (SERVICE[0], 0)


@pytest.mark.usefixtures("filled")
def test_a_folder_that_cannot_be_replaced_uses_up_no_code(
    root: RootFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, rename = tmp_path / "pop" / "identity", os.rename
    place.mkdir(parents=True)

    def busy(old: Path, new: Path) -> None:
        """As for a mount point."""
        if place in (Path(old), Path(new)):
            raise OSError(16, "Device or resource busy")
        rename(old, new)

    async def test() -> None:
        async with gate(root) as control:
            code = await control.code("pop-1")
            with monkeypatch.context() as patch:
                patch.setattr(os, "rename", busy)
                with pytest.raises(IdentityError, match="cannot be replaced: Device or resource busy; below a mount"):
                    await joined(code, place)
            assert [*place.parent.iterdir()] == [place]
            link = tmp_path / "link"
            link.symlink_to(place)
            with pytest.raises(IdentityError, match="is not a folder, and stays"):
                await joined(code, link)
            await joined(code, place)
            await let_in(root, place)

    run(test())


@pytest.mark.usefixtures("filled")
def test_papers_that_were_put_aside_come_back(root: RootFolder, tmp_path: Path) -> None:
    async def test() -> None:
        async with gate(root) as control:
            place = tmp_path / "pop" / "identity"
            await joined(await control.code("pop-1"), place)
            before = content(place)
            await control.edges.leave("pop-1")
            code = await control.code("pop-1")
            place.rename(place.with_name(".identity.before"))  # as a kill between the two steps leaves it
            with pytest.raises(IdentityError, match="has papers of pop-1 already, and stays"):
                await joined(code, place)
            assert content(place) == before
            await joined(code, place, is_again=True)
            assert [*place.parent.iterdir()] == [place]
            await let_in(root, place)

    run(test())


@pytest.mark.usefixtures("filled")
def test_a_control_older_than_the_level_changes_no_edges(
    root: RootFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with gate(root) as control:
            edge, code = new_edge(root, "e1"), await control.code("pop-1")
            identity = load_identity(edge)
            node = edge_node(edge, urls_of(root), lambda: 100)
            monkeypatch.setattr(level, "NEWEST_LEVEL", 1)
            refused = (joined(code, tmp_path / "identity"), control.code("pop-2"), asked_papers(node, identity))
            for work in refused:
                with pytest.raises((NotJoinedError, AdmissionError, PapersRefusedError), match=OLDER):
                    await work
            assert not (tmp_path / "identity").exists()
            monkeypatch.undo()
            await asked_papers(node, identity)  # the fleet knows it now
            monkeypatch.setattr(level, "NEWEST_LEVEL", 1)
            await asked_papers(node, identity)  # changes nothing
            with pytest.raises(AdmissionError, match=OLDER):
                await control.edges.leave("e1")
            assert await control.record("e1") == EdgeRecord(identity.key.public)
            await node.line.close()

    run(test())


# Whom a machine asks


class Impostor:
    """A server with some certificate that says it is a control, and what it hears."""

    def __init__(self, identity: Path, greeting: bytes) -> None:
        self.heard, self._greeting = list[bytes](), greeting
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(identity / "cert.pem", identity / "key.pem")

    async def serve(self, work: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._context)
        async with server:
            await work(f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._greeting)
        with suppress(OSError):
            self.heard.append(await reader.read(10_000))
        writer.close()


@pytest.mark.parametrize("who", ["edge", "other fleet", "other fleet with this root", "nats-server", "no greeting"])
@pytest.mark.usefixtures("filled")
def test_an_impostor_hears_nothing(root: RootFolder, tmp_path: Path, who: str) -> None:
    issuer = load_issuer(control_folder(root))
    above = pem(issuer.authority.certificate) + pem(root_of(control_folder(root)))
    foreign = new_root(tmp_path / "foreign")
    identities = {"edge": new_edge(root, "e1"), "nats-server": root.folder / "servers" / "n0"}
    identity = identities.get(who, control_folder(foreign))
    if who == "other fleet":
        above = pem(load_issuer(identity).authority.certificate) + pem(root_of(identity))
    impostor = Impostor(identity, b"" if who == "no greeting" else greeting_line(above))

    async def test() -> None:
        async with gate(root) as control:

            async def join(url: str) -> None:
                code = await control.code("pop-1", url=url)
                with pytest.raises(NoControlError, match="no control of the code's fleet answers"):
                    await joined(code, tmp_path / "identity")
                both = replace(parse_code(code), urls=(url, control.url)).text()
                await joined(both, tmp_path / "identity")  # so the code was not used up, and the next one is asked

            if who == "no greeting":
                impostor._greeting = b"\n"
            await impostor.serve(join)
            assert b"".join(impostor.heard) == b""
            await let_in(root, tmp_path / "identity")

    run(test())


@pytest.mark.usefixtures("filled")
def test_what_a_control_in_wrong_hands_hears_lets_nobody_else_in(root: RootFolder, tmp_path: Path) -> None:
    """Such as one that was withdrawn: its certificate is good for years."""
    issuer, identity = load_issuer(control_folder(root, "c2")), control_folder(root, "c2")
    own = load_identity(identity)
    above = pem(issuer.authority.certificate) + pem(root_of(identity))
    place = tmp_path / "evil"
    place.mkdir()
    (place / "key.pem").write_bytes((identity / "key.pem").read_bytes())
    (place / "cert.pem").write_bytes(issuer.join_chain("c2", own.key.private.public_key(), now=datetime.now(UTC)))
    impostor = Impostor(place, greeting_line(above))

    async def test() -> None:
        async with gate(root) as control:

            async def join(url: str) -> None:
                code = await control.code("pop-1", url=url)
                with pytest.raises(NotJoinedError, match="no answer came to the code, which may be used up now"):
                    await joined(code, tmp_path / "identity")
                (heard,) = impostor.heard
                assert parse_code(code).secret not in heard
                question = parse_join(heard)
                mine = request_of("pop-1", Nkey.generate(NkeyKind.USER).private)
                for other in (mine, question.request + b"\n"):
                    with pytest.raises(AdmissionError, match="the certificate request is not signed with the code"):
                        await control.edges.redeem(question._replace(request=other), own.key.public)
                assert await control.record("pop-1") is None
                again = replace(parse_code(code), urls=(control.url,)).text()
                await joined(again, tmp_path / "identity")

            await impostor.serve(join)

    run(test())


@pytest.mark.usefixtures("filled")
def test_a_code_of_another_fleet_is_refused(root: RootFolder, tmp_path: Path) -> None:
    foreign = root_of(control_folder(new_root(tmp_path / "foreign")))

    async def test() -> None:
        async with gate(root) as control:
            code = replace(parse_code(await control.code("pop-1")), root=root_digest(foreign))
            with pytest.raises(NoControlError, match="not a control of the fleet that the code is for"):
                await joined(code.text(), tmp_path / "identity")
            assert not (tmp_path / "identity").exists()

    run(test())


def test_nobody_at_the_place_of_a_code_is_said(tmp_path: Path, root: RootFolder, filled: FleetSource) -> None:
    async def test() -> None:
        async with gate(root) as control:
            code = await control.code("pop-1", url="tls://127.0.0.1:1")
        with pytest.raises(NoControlError, match=r"of the code.s fleet answers: tls://127\.0\.0\.1:1: "):
            await joined(code, tmp_path / "identity")
        assert [*tmp_path.glob("*identity*")] == []

    run(test())


def test_a_stream_in_which_codes_would_live_for_ever_is_refused(root: RootFolder, server: NatsServer) -> None:
    async def test() -> None:
        async with connected(root, control_folder(root)) as client:
            await make_stream(client, allow_msg_ttl=False)
        node = control_node(control_folder(root), urls_of(root), 100)
        with pytest.raises(EngineRefusedError, match="allow_msg_ttl is "):
            await EdgeList(node.line, "c1").offer(os.urandom(16), EdgeOffer("e1"))
        await node.line.close()

    run(test())


# The commands, at a control that runs


def fleet(words: str, config: Path) -> Result:
    return CliRunner().invoke(main, ["fleet", *words.split(), "-c", str(config)])


def test_an_edge_joins_is_renewed_and_leaves_at_a_control_that_runs(
    root: RootFolder, filled: FleetSource, tmp_path: Path
) -> None:
    port = free_ports(1)[0]
    servers = {"servers": [*urls_of(root)]}
    control, edge = tmp_path / "control" / "dnsd.yaml", tmp_path / "pop" / "dnsd.yaml"
    for config, role, more in (
        (control, "control", {"identity": str(control_folder(root)), "join": {"listen": f"127.0.0.1:{port}"}}),
        (edge, "edge", {}),
    ):
        config.parent.mkdir()
        config.write_text(json.dumps({**SETTINGS, "role": role, "fleet": {**servers, **more}}))
    identity, own = edge.parent / "identity", control_folder(root)
    then, issuer = datetime.now(UTC) - timedelta(days=61), load_issuer(own)
    old = issuer.control_papers("c1", load_identity(own).key.private.public_key(), now=then)
    renew_identity(own, old)
    with Dnsd(control) as server:
        made = fleet("code pop-1 --label Basel", control)
        assert made.exit_code == 0, made.output
        early = fleet("leave pop-1", control)
        assert (early.exit_code, early.output) == (1, "the fleet knows no edge 'pop-1'\n")
        code = made.output.strip()
        done = join_patiently(code, edge)
        assert done.exit_code == 0, done.output
        assert done.output.endswith(f"Next:\n  dnsd serve -c {edge}\n")
        assert code not in server.stderr.text()
        again = fleet(f"join {code}", edge)
        assert (again.exit_code, "has papers of pop-1 already" in again.output) == (1, True)
        key = load_identity(identity).key.public
        wait_for(lambda: load_identity(own).expires > old.expires())  # its own papers
        age(root, identity, days=61)
        due = load_identity(identity).expires
        with Dnsd(edge) as pop:
            Edge(pop).becomes("www.ost.example", ["203.0.113.7"])
            wait_for(lambda: load_identity(identity).expires > due)
            left = fleet("leave pop-1", control)
            assert left.exit_code == 0, left.output
            assert f"dnsd fleet revoke FOLDER --edge {key}\n" in left.output
            assert Edge(pop).addresses("www.ost.example") == ["203.0.113.7"]
        assert "fleet: pop-1 has joined" in server.stderr.text() + server.stdout.text()


def join_patiently(code: str, edge: Path) -> Result:
    """Join; the control may not have begun to listen yet."""
    for _ in range(100):
        done = fleet(f"join {code}", edge)
        if done.exit_code != 3:
            break
        time.sleep(0.1)
    return done


@pytest.mark.parametrize(
    ("words", "section", "message"),
    [
        ("code pop-1", {}, "no control is known that lets edges join: set `fleet.join.urls`, or give --url"),
        ("code pop-1", {"join": {"listen": "0.0.0.0:8443"}}, "set `fleet.join.urls`, or give --url"),
        ("code pop-1 --url https://c.example", {}, "'https://c.example' is not a URL such as tls://192.0.2.1:8443"),
        ("join nonsense", {}, "this is not a code of `dnsd fleet code`, or a part of it is missing"),
        ("leave Pop", {}, "'Pop' is not the name of a node"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    root: RootFolder, tmp_path: Path, words: str, section: dict[str, Any], message: str
) -> None:
    config = tmp_path / "dnsd.yaml"
    own = {"servers": [*urls_of(root)], "identity": str(control_folder(root))}
    config.write_text(json.dumps({**SETTINGS, "fleet": {**own, **section}}))
    done = fleet(words, config)
    assert (done.exit_code, message in done.output) == (1, True), done.output
