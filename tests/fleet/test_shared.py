"""What controls share survives what servers and controls go through, and takes little room in the stream.

What every place of tokens and sessions promises is asked of this one, too (`tests/contract/test_tokens.py`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import signal
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dnsd.dashboard.sessions import MAX_SESSIONS, Sessions
from dnsd.fleet import shared_writes
from dnsd.fleet.beginning import make_state
from dnsd.fleet.root import RootFolder
from dnsd.fleet.shared_tokens import pack_token, token_subject
from dnsd.fleet.subjects import SESSIONS, TOKENS, TOKENS_GUARD
from dnsd.fleet.writer import FleetAwayError, Writer
from dnsd.manage.refusal import RefusedError
from dnsd.manage.session_port import LIFETIME
from dnsd.manage.state_names import FLEET_COPIED
from dnsd.manage.token_file import TokenFile
from dnsd.manage.token_port import NoSuchTokenError, Unusable
from dnsd.manage.tokens import Token
from dnsd.store.port import StoreAwayError
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import Client, NatsServer, connected, control_folder, new_root, running
from tests.fleet.sharing import SharingControl, begin_state, by_control, wait_for
from tests.limits import HANG_S

pytestmark = needs_nats_server
NOW = datetime.now(UTC)


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return new_root(tmp_path, controls=("c1", "c2"))


@pytest.fixture
def server(root: RootFolder) -> Iterator[NatsServer]:
    with NatsServer(root, root.servers[0]) as server:
        begin_state(root)
        yield server


@pytest.fixture
def first(root: RootFolder, server: NatsServer, tmp_path: Path) -> SharingControl:
    """Not running yet."""
    return SharingControl(root, tmp_path / "c1", "c1")


@pytest.fixture
def second(root: RootFolder, server: NatsServer, tmp_path: Path) -> SharingControl:
    """Not running yet."""
    return SharingControl(root, tmp_path / "c2", "c2")


def asked(root: RootFolder, subject: str, body: Any = None) -> Any:
    async def ask() -> Any:
        async with connected(root, control_folder(root)) as client:
            return await client.ask(subject, body)

    return asyncio.run(ask())


def stored(root: RootFolder, prefix: str) -> list[str]:
    """The subjects in the stream that begin like this, with markers of removals."""
    info = asked(root, "$JS.API.STREAM.INFO.DNSD", {"subjects_filter": ">"})
    return sorted(one for one in info["state"].get("subjects", {}) if one.startswith(prefix))


def test_without_servers_tokens_are_known_and_none_changes(first: SharingControl, server: NatsServer) -> None:
    with first as control:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        sessions = Sessions(control.sessions, control.tokens)
        session = sessions.begin(made, secret, NOW)
        wait_for(control.is_kept)
        wait_for((control.folder / "sessions.json").exists)
        server.process.send_signal(signal.SIGSTOP)
        try:
            assert (control.tokens.find(secret, NOW), sessions.find(session.secret, NOW)) == (made, session)
            with pytest.raises(StoreAwayError):
                control.tokens.revoke("ci")
            with pytest.raises(StoreAwayError):
                sessions.begin(made, secret, NOW)
            assert control.tokens.find(secret, NOW) == made
        finally:
            server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: not control.state.problems())
        with suppress(NoSuchTokenError):  # the request without an answer may have been carried out after all
            assert control.tokens.revoke("ci") == [made]
        wait_for(lambda: control.tokens.find(secret, NOW) is Unusable.UNKNOWN)


def test_a_start_without_servers_knows_the_tokens_of_the_last_time(first: SharingControl, server: NatsServer) -> None:
    with first as control:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        session = Sessions(control.sessions, control.tokens).begin(made, secret, NOW)
        wait_for(lambda: control.is_kept() and (control.folder / "sessions.json").exists())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in first.folder.iterdir()}
    assert modes == dict.fromkeys(("tokens.json", "tokens.lock", "sessions.json", FLEET_COPIED), 0o600)
    assert secret not in "".join(path.read_text() for path in first.folder.iterdir())
    server.process.kill()
    server.process.wait()
    with first as control:
        assert control.tokens.find(secret, NOW) == made
        assert Sessions(control.sessions, control.tokens).find(session.secret, NOW) == session
        with pytest.raises(StoreAwayError):
            control.tokens.roll(made.id)
        wait_for(lambda: any("tokens and sessions" in line for line in control.lines))
        assert control.state.problems()


def test_a_token_revoked_while_a_control_was_down_stays_revoked(first: SharingControl, second: SharingControl) -> None:
    with first as control:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        wait_for(control.is_kept)
    with second as other:
        assert other.joined().tokens.revoke(made.id) == [made]
    assert TokenFile(first.folder).find(secret, NOW) == made
    with first as control:
        assert control.joined().tokens.find(secret, NOW) is Unusable.UNKNOWN
        wait_for(lambda: TokenFile(first.folder).tokens() == [])


def test_tokens_from_before_the_fleet_are_shared(first: SharingControl, second: SharingControl) -> None:
    """Those of each control: until now, they had tokens of their own."""
    made: list[tuple[Token, str]] = []
    for control in (first, second):
        file = TokenFile(control.folder)
        parent, secret = file.create(name="ops", now=NOW)
        made += [(parent, secret), file.create(name="job", now=NOW, parent=parent)]
    with first as one, second as other:
        for control in (one.joined(), other.joined()):
            for token, secret in made:
                wait_for(lambda control=control, secret=secret, token=token: control.tokens.find(secret, NOW) == token)  # type: ignore[misc]
        for control in (one, other):
            wait_for(control.is_kept)
    for control in (first, second):
        assert {one.id for one in TokenFile(control.folder).tokens()} == {token.id for token, _ in made}


def test_tokens_outlive_servers_that_lose_their_state(
    root: RootFolder, first: SharingControl, second: SharingControl, server: NatsServer
) -> None:
    with first as control, second as other:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        wait_for(lambda: other.joined().tokens.find(secret, NOW) == made)
        wait_for(lambda: control.is_kept() and other.is_kept())
        server.process.kill()
        server.process.wait()
        shutil.rmtree(server.folder / "js")
        with NatsServer(root, root.servers[0]):
            begin_state(root)
            wait_for(lambda: stored(root, TOKENS) == [token_subject(made.id)])
            for one in (control, other):
                assert one.tokens.find(secret, NOW) == made
            wait_for(lambda: not control.state.problems())
            assert other.tokens.revoke("ci") == [made]
            wait_for(lambda: control.tokens.find(secret, NOW) is Unusable.UNKNOWN)


def test_a_token_of_a_later_version_gives_no_access_and_stays(root: RootFolder, first: SharingControl) -> None:
    async def put(client: Client, token_id: str, value: bytes) -> None:
        await client.ask_raw(token_subject(token_id), value)

    async def fill(values: Sequence[bytes]) -> None:
        async with connected(root, control_folder(root)) as client:
            for number, value in enumerate(values):
                await put(client, f"{number:032x}", value)

    with first as control:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        value = json.loads(pack_token(next(iter(control.tokens.content().entries.values()))))
        token = value["token"]
        changed = [{**value, "v": 99}, {**value, "more": 1}, {**value, "token": {**token, "more": 1}}, [], "x"]
        changed += [{**value, "token": {key: one for key, one in token.items() if key != "accounts"}}]
        asyncio.run(fill([json.dumps(one).encode() for one in changed] + [b"", b"\xff"]))
        other, _ = control.tokens.create(name="other", now=NOW)
        assert {one.id for one in control.tokens.tokens()} == {made.id, other.id}
        assert control.tokens.find(secret, NOW) == made
        assert len(stored(root, TOKENS)) == len(changed) + 2 + 2


def test_without_servers_changes_wait_at_the_same_time(first: SharingControl, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, outcomes = list[str](), list[object]()

    async def guard(writer: Writer, subject: str) -> int:
        asking.append(subject)
        async with asyncio.timeout(HANG_S):
            while len(asking) < 4:
                await asyncio.sleep(0.01)
        raise FleetAwayError("no answer")

    def change() -> None:
        try:
            first.tokens.create(name="ci", now=NOW)
        except OSError as error:
            outcomes.append(type(error))

    with first as control:
        control.joined()
        monkeypatch.setattr(Writer, "guard", guard)
        threads = [threading.Thread(target=change) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert outcomes == [StoreAwayError] * 4


def test_sessions_whose_time_has_passed_leave_the_memory(first: SharingControl, second: SharingControl) -> None:
    with first as control, second as other:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        other.joined()
        sessions = Sessions(control.sessions, control.tokens)
        sessions.begin(made, secret, datetime.now(UTC) - LIFETIME + timedelta(seconds=5))
        wait_for(lambda: len(in_memory(other)) == 1)
        end = datetime.now(UTC) + timedelta(seconds=6)
        wait_for(lambda: datetime.now(UTC) > end)
        sessions.begin(made, secret, datetime.now(UTC))
        wait_for(lambda: len(other.sessions.begun()) == 1 and len(in_memory(other)) == 1)


def in_memory(control: SharingControl) -> list[str]:
    return [one for one in control.state._copy.objects.copy() if one.startswith(SESSIONS)]


def test_what_was_made_from_a_token_of_a_later_version_stays(root: RootFolder, first: SharingControl) -> None:
    with first as control:
        parent, _ = control.joined().tokens.create(name="ops", now=NOW)
        child, secret = control.tokens.create(name="job", now=NOW, parent=parent)
        grandchild, _ = control.tokens.create(name="jobs", now=NOW, parent=child)

        async def upgrade() -> None:
            async with connected(root, control_folder(root)) as client:
                assert "error" not in await client.ask_raw(token_subject(parent.id), b'{"v": 99}')

        asyncio.run(upgrade())
        wait_for(lambda: control.tokens.find(secret, NOW) is Unusable.UNKNOWN)
        control.tokens.create(name="other", now=NOW)
        for one in (parent, child, grandchild):
            assert value_of(root, token_subject(one.id)) != b""


def test_one_who_signs_in_all_the_time_leaves_little(root: RootFolder, first: SharingControl) -> None:
    with first as control:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        sessions = Sessions(control.sessions, control.tokens)
        for _ in range(MAX_SESSIONS + 10):
            last = sessions.begin(made, secret, datetime.now(UTC))
        wait_for(lambda: len(control.sessions.begun()) == MAX_SESSIONS)
        lives: list[str] = []
        for subject in stored(root, SESSIONS):
            found = asked(root, "$JS.API.STREAM.MSG.GET.DNSD", {"last_by_subj": subject})["message"]
            lives.append(headers_of(found)["Nats-TTL"])
        assert sorted(lives)[-10:] == ["5m"] * 10
        assert all(43_000 < int(one.removesuffix("s")) <= 43_200 for one in sorted(lives)[:-10])
        sessions.end(last.secret)
        control.tokens.revoke("ci")
        markers = asked(root, "$JS.API.STREAM.MSG.GET.DNSD", {"last_by_subj": token_subject(made.id)})["message"]
        assert headers_of(markers)["Nats-TTL"] == "5m"


def headers_of(message: dict[str, Any]) -> dict[str, str]:
    lines = base64.b64decode(message["hdrs"]).decode().splitlines()[1:]
    return dict(line.split(": ", 1) if ": " in line else line.split(":", 1) for line in lines if line)


def test_a_long_line_goes_in_several_batches(first: SharingControl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_writes, "MOST_WRITES", 3)
    real, sent = Writer.commit_shared, list[int]()

    async def commit(writer: Writer, *arguments: Any) -> int:
        sent.append(len(arguments[2]))
        return await real(writer, *arguments)

    with first as control:
        control.joined()
        monkeypatch.setattr(Writer, "commit_shared", commit)
        parent, _ = control.joined().tokens.create(name="ops", now=NOW)
        secrets = [control.tokens.create(name="job", now=NOW, parent=parent)[1] for _ in range(8)]
        assert len(control.tokens.revoke("ops")) == 9
        assert [control.tokens.find(one, NOW) for one in secrets] == [Unusable.UNKNOWN] * 8
        wait_for(lambda: control.tokens.tokens() == [])
    assert sent == [1] * 9 + [3, 3, 3]


def test_what_is_left_of_a_line_goes_with_the_next_change(
    root: RootFolder, first: SharingControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    with first as control:
        parent, _ = control.joined().tokens.create(name="ops", now=NOW)
        for _ in range(4):
            control.tokens.create(name="job", now=NOW, parent=parent)
        real, calls = Writer.commit_shared, list[int]()

        async def commit(writer: Writer, *arguments: Any) -> int:
            calls.append(len(arguments[2]))
            if len(calls) > 1:
                raise OSError("the process ended")
            return await real(writer, *arguments)

        monkeypatch.setattr(shared_writes, "MOST_WRITES", 2)
        monkeypatch.setattr(Writer, "commit_shared", commit)
        with pytest.raises(OSError, match="the process ended"):
            control.tokens.revoke("ops")
        wait_for(lambda: control.tokens.tokens() == [])
        monkeypatch.setattr(Writer, "commit_shared", real)
        monkeypatch.setattr(shared_writes, "MOST_WRITES", 100)
        control.tokens.create(name="new", now=NOW)
        wait_for(lambda: len(control.state._tokens.orphans()) == 0)
        kept = [one for one in stored(root, TOKENS) if value_of(root, one) != b""]
        assert len(kept) == 1


def value_of(root: RootFolder, subject: str) -> bytes:
    found = asked(root, "$JS.API.STREAM.MSG.GET.DNSD", {"last_by_subj": subject})["message"]
    return base64.b64decode(found.get("data", ""))


@pytest.mark.parametrize("is_stored", [False, True])
def test_the_outcome_of_a_change_without_an_answer_is_found_out(
    first: SharingControl, monkeypatch: pytest.MonkeyPatch, *, is_stored: bool
) -> None:
    real = Writer.commit_shared

    async def commit(writer: Writer, op: str, *arguments: Any) -> int:
        if is_stored:
            await real(writer, op, *arguments)
        raise FleetAwayError(op)

    with first as control:
        control.joined()
        before = control.tokens.digest("a" * 32)
        monkeypatch.setattr(Writer, "commit_shared", commit)
        if is_stored:
            made, secret = control.tokens.create(name="ci", now=NOW)
            assert control.tokens.find(secret, NOW) == made
        else:
            with pytest.raises(StoreAwayError, match="nothing has changed"):
                control.tokens.create(name="ci", now=NOW)
            assert control.tokens.tokens() == []
        assert (before, control.tokens.digest("a" * 32)) == ("", "")


def test_evidence_of_another_change_is_not_used(first: SharingControl, second: SharingControl) -> None:
    """A change that others overtake is drawn up anew: its entry in the audit log must still be true."""
    told: list[int] = []
    with first as control, second as other:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        wait_for(lambda: other.joined().tokens.find(secret, NOW) == made)

        def testify(before: Sequence[Token], after: Sequence[Token]) -> None:
            told.append(1)
            thread = threading.Thread(target=lambda: other.tokens.edit(made.id, lambda old: renamed(old, "theirs")))
            thread.start()
            thread.join()

        with pytest.raises(RefusedError, match="others have changed the same tokens"):
            control.tokens.attested(testify).edit(made.id, lambda old: renamed(old, "ours"))
        assert told == [1]
        wait_for(lambda: [one.name for one in control.tokens.tokens()] == ["theirs"])


def renamed(token: Token, name: str) -> Token:
    return replace(token, name=name)


def test_the_copy_begins_anew_with_what_the_leader_has(
    root: RootFolder, first: SharingControl, second: SharingControl
) -> None:
    """As after a message that was lost on its way from a server that is cut off."""
    with first as control, second as other:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        copy = other.joined().state._copy
        wait_for(lambda: other.tokens.find(secret, NOW) == made)
        taken = copy.taken

        def is_anew() -> bool:
            return any("is not what the servers have" in line for line in other.lines)

        copy.taken = lambda message, pending: taken(message if is_anew() else None, pending)  # type: ignore[method-assign]
        control.tokens.revoke("ci")
        wait_for(is_anew)
        wait_for(lambda: other.tokens.find(secret, NOW) is Unusable.UNKNOWN)
        assert stored(root, TOKENS_GUARD) == [TOKENS_GUARD]


def test_a_session_ended_without_servers_stays_ended(first: SharingControl, server: NatsServer) -> None:
    with first as control:
        made, secret = control.joined().tokens.create(name="ci", now=NOW)
        sessions = Sessions(control.sessions, control.tokens)
        session = sessions.begin(made, secret, NOW)
        server.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(OSError, match="do not answer"):
                sessions.end(session.secret)
            assert sessions.find(session.secret, NOW) is None
        finally:
            server.process.send_signal(signal.SIGCONT)
        wait_for(lambda: not control.state._sessions.begun())
        assert sessions.find(session.secret, NOW) is None


def test_who_looks_once_more_knows_what_others_have_made(first: SharingControl, second: SharingControl) -> None:
    with first as control, second as other:
        other.joined()
        for number in range(20):
            made, secret = control.joined().tokens.create(name=f"{number}", now=NOW)
            session = Sessions(control.sessions, control.tokens).begin(made, secret, NOW)
            asyncio.run_coroutine_threadsafe(other.state.catch_up(), other._loop).result()
            assert other.tokens.find(secret, NOW) == made
            assert Sessions(other.sessions, other.tokens).find(session.secret, NOW) == session


def test_what_was_confirmed_is_there_once_though_servers_end(tmp_path: Path) -> None:
    root = new_root(tmp_path, 3, controls=("c1", "c2"))
    made: list[str] = []
    with running(root) as servers:
        by_control(root, lambda node: make_state(node, 3))
        with SharingControl(root, tmp_path / "c1", "c1") as one, SharingControl(root, tmp_path / "c2", "c2") as other:
            controls = one.joined(), other.joined()
            for server in servers[:2]:
                server.process.kill()
                server.process.wait()
                goal, number = len(made) + 10, 0
                deadline = time.monotonic() + HANG_S
                while len(made) < goal:
                    assert time.monotonic() < deadline
                    number += 1
                    with suppress(StoreAwayError):
                        made.append(controls[number % 2].tokens.create(name="ci", now=datetime.now(UTC))[0].id)
                server.__enter__()
                for control in controls:
                    wait_for(lambda control=control: not control.state.problems())  # type: ignore[misc]
            for control in controls:
                wait_for(lambda control=control: {one.id for one in control.tokens.tokens()} >= {*made})  # type: ignore[misc]
                assert len({one.id for one in control.tokens.tokens()}) == len(control.tokens.tokens())
