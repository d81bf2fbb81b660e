"""What every place of tokens and sessions promises, asked of each: the state folder, and a fleet with two controls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from dnsd.dashboard.sessions import MAX_SESSIONS, Sessions
from dnsd.manage.session_file import SessionFile
from dnsd.manage.session_port import LIFETIME, SessionRecords
from dnsd.manage.token_file import TokenFile
from dnsd.manage.token_format import MAX_LINE
from dnsd.manage.token_port import NoSuchTokenError, Tokens, Unusable
from dnsd.manage.tokens import AccessLevel, Area, Token
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, new_root
from tests.fleet.sharing import SharingControl, begin_state, wait_for

NOW = datetime.now(UTC)
ACCOUNT, OTHER = "a1" * 16, "a2" * 16
DNS = (Area.DNS, AccessLevel.EDIT)


class Place(Protocol):
    """Two hands on the same tokens and sessions."""

    tokens: tuple[Tokens, Tokens]
    records: tuple[SessionRecords, SessionRecords]


class Folder:
    def __init__(self, folder: Path) -> None:
        self.tokens = TokenFile(folder), TokenFile(folder)
        records = SessionFile(folder)  # of one process
        self.records = records, records


class OfFleet:
    def __init__(self, first: SharingControl, second: SharingControl) -> None:
        self.tokens = first.tokens, second.tokens
        self.records = first.sessions, second.sessions


@pytest.fixture(params=["folder", pytest.param("fleet", marks=needs_nats_server)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        (tmp_path / "state").mkdir()
        yield Folder(tmp_path / "state")
        return
    root = new_root(tmp_path, controls=("c1", "c2"))
    with ExitStack() as stack:
        stack.enter_context(NatsServer(root, root.servers[0]))
        begin_state(root)
        controls = [stack.enter_context(SharingControl(root, tmp_path / name, name)) for name in ("c1", "c2")]
        first, second = [control.joined() for control in controls]
        yield OfFleet(first, second)


def found(tokens: Tokens, secret: str) -> object:
    return tokens.find(secret, datetime.now(UTC))


def becomes(tokens: Tokens, secret: str, wanted: object) -> None:
    wait_for(lambda: found(tokens, secret) == wanted)


def test_a_token_is_found_by_its_secret_alone(place: Place) -> None:
    first, second = place.tokens
    made, secret = first.create(name="ci", now=NOW, accounts=[ACCOUNT], permissions=[DNS], written="")
    assert found(first, secret) == made
    becomes(second, secret, made)
    assert found(second, f"{secret}x") is Unusable.UNKNOWN
    entry = next(iter(second.content().entries.values()))
    assert (entry.token, secret in repr(second.content())) == (made, False)
    assert found(second, entry.digest) is Unusable.UNKNOWN
    assert second.digest(made.id) == first.digest(made.id) != ""


def test_a_revoked_token_takes_with_it_all_made_from_it(place: Place) -> None:
    first, second = place.tokens
    parent, of_parent = first.create(name="ops", now=NOW)
    other, of_other = first.create(name="other", now=NOW)
    child, of_child = first.create(name="job", now=NOW, parent=parent)
    becomes(second, of_child, child)
    assert second.revoke("ops") == [parent, child]
    assert [found(second, one) for one in (of_parent, of_child, of_other)] == [Unusable.UNKNOWN] * 2 + [other]
    for secret in (of_parent, of_child):
        becomes(first, secret, Unusable.UNKNOWN)
    assert first.tokens() == [other]
    with pytest.raises(NoSuchTokenError):
        first.create(name="late", now=NOW, parent=parent)


def test_a_rolled_token_has_another_secret_everywhere(place: Place) -> None:
    first, second = place.tokens
    made, old = first.create(name="ci", now=NOW)
    becomes(second, old, made)
    rolled, new = second.roll(made.id)
    assert (rolled, found(second, old), found(second, new)) == (made, Unusable.UNKNOWN, made)
    becomes(first, new, made)
    assert found(first, old) is Unusable.UNKNOWN


def test_an_edited_parent_narrows_its_children(place: Place) -> None:
    first, second = place.tokens
    parent, _ = first.create(name="ops", now=NOW, accounts=[ACCOUNT, OTHER])
    child, secret = first.create(name="job", now=NOW, parent=parent, accounts=[ACCOUNT])
    becomes(second, secret, child)
    second.edit(parent.id, lambda old: replace(old, accounts=(OTHER,), modified_at=NOW))

    def is_narrowed(tokens: Tokens) -> bool:
        token = found(tokens, secret)
        return isinstance(token, Token) and not token.covers(ACCOUNT)

    assert is_narrowed(second)
    wait_for(lambda: is_narrowed(first))


def test_an_expired_token_is_told_from_an_unknown_one(place: Place) -> None:
    first, second = place.tokens
    made, secret = first.create(name="", now=NOW, expires_at=NOW + timedelta(hours=1))
    becomes(second, secret, made)
    assert second.find(secret, NOW + timedelta(hours=2)) is Unusable.EXPIRED
    assert second.get(made.id, NOW + timedelta(hours=2)) is None


def test_what_a_check_refuses_changes_nothing(place: Place) -> None:
    first, second = place.tokens
    kept, secret = first.create(name="kept", now=NOW)
    becomes(second, secret, kept)
    seen: list[int] = []

    def check(tokens: Sequence[Token], new: Token) -> None:
        seen.append(len(tokens))
        raise ValueError(new.name)

    with pytest.raises(ValueError, match="more"):
        second.create(name="more", now=NOW, check=check)
    with pytest.raises(ValueError, match="other"):
        second.edit(kept.id, lambda old: replace(old, name="other"), check)
    assert seen == [1, 1]
    assert first.tokens() == second.tokens() == [kept]


def test_a_line_of_descent_is_bounded(place: Place) -> None:
    first, _ = place.tokens
    last, _ = first.create(name="", now=NOW)
    for _ in range(MAX_LINE - 1):
        last, _ = first.create(name="", now=NOW, parent=last)
    with pytest.raises(ValueError, match=f"at most {MAX_LINE}"):
        first.create(name="", now=NOW, parent=last)


def test_evidence_comes_before_each_change(place: Place) -> None:
    first, second = place.tokens
    told: list[tuple[list[Token], list[Token]]] = []

    def testify(before: Sequence[Token], after: Sequence[Token]) -> None:
        told.append(([*before], [*after]))
        assert [one.id for one in first.tokens()] == [one.id for one in before]

    made, secret = first.attested(testify).create(name="ci", now=NOW)
    edited = first.attested(testify).edit(made.id, lambda old: replace(old, name="new"))
    first.attested(testify).revoke("new")
    assert told == [([], [made]), ([made], [edited]), ([edited], [])]

    def refuse(before: Sequence[Token], after: Sequence[Token]) -> None:
        raise ValueError("no evidence")

    with pytest.raises(ValueError, match="no evidence"):
        first.attested(refuse).create(name="ci", now=NOW)
    assert (first.tokens(), found(second, secret)) == ([], Unusable.UNKNOWN)


def test_writers_at_once_lose_nothing(place: Place) -> None:
    made: list[str] = []
    failed: list[Exception] = []

    def write(tokens: Tokens, name: str) -> None:
        try:
            for number in range(5):
                token, _ = tokens.create(name=f"{name}{number}", now=datetime.now(UTC))
                made.append(token.id)
                if number % 2:
                    tokens.revoke(token.id)
                    made.remove(token.id)
        except Exception as error:
            failed.append(error)

    threads = [
        threading.Thread(target=write, args=(tokens, name))
        for tokens, name in zip(place.tokens * 2, "abcd", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(made) == 12
    for tokens in place.tokens:
        wait_for(lambda tokens=tokens: {one.id for one in tokens.tokens()} == {*made})  # type: ignore[misc]
    first, second = place.tokens
    assert first.tokens() == second.tokens()  # in the same order


def test_of_two_changes_of_one_token_both_are_in_it(place: Place) -> None:
    """Each is drawn up on the other one's result."""
    first, second = place.tokens
    made, secret = first.create(name="ci", now=NOW)
    becomes(second, secret, made)
    begun = threading.Barrier(2, timeout=60)
    waited: set[str] = set()

    def edit(tokens: Tokens, name: str, change: Callable[[Token], Token]) -> None:
        def slowly(old: Token) -> Token:
            if name not in waited and tokens is not first:
                waited.add(name)
                begun.wait()
            return change(old)

        tokens.edit(made.id, slowly)

    if isinstance(first, TokenFile):
        first.edit(made.id, lambda old: replace(old, name="new"))
        second.edit(made.id, lambda old: replace(old, accounts=(ACCOUNT,)))
    else:
        thread = threading.Thread(target=edit, args=(second, "b", lambda old: replace(old, accounts=(ACCOUNT,))))
        thread.start()
        wait_for(lambda: begun.n_waiting == 1)
        edit(first, "a", lambda old: replace(old, name="new"))
        begun.wait()
        thread.join()

    def both(tokens: Tokens) -> bool:
        token = found(tokens, secret)
        return isinstance(token, Token) and (token.name, token.accounts) == ("new", (ACCOUNT,))

    for tokens in place.tokens:
        wait_for(lambda tokens=tokens: both(tokens))  # type: ignore[misc]


# Sessions


def test_a_session_is_one_everywhere_until_it_is_ended(place: Place) -> None:
    token, of_token = place.tokens[0].create(name="alice", now=NOW)
    here, there = [Sessions(*each) for each in zip(place.records, place.tokens, strict=True)]
    session, other = here.begin(token, of_token, NOW), here.begin(token, of_token, NOW)
    assert here.find(session.secret, NOW) == session
    wait_for(lambda: there.find(session.secret, NOW) == session)
    assert (there.find("x", NOW), there.find(session.secret, NOW + LIFETIME)) == (None, None)
    there.end(session.secret)
    assert there.find(session.secret, NOW) is None
    wait_for(lambda: here.find(session.secret, NOW) is None)
    wait_for(lambda: there.find(other.secret, NOW) == other)


@pytest.mark.parametrize("end", ["roll", "revoke"])
def test_sessions_end_with_their_token(place: Place, end: str) -> None:
    token, of_token = place.tokens[0].create(name="alice", now=NOW)
    here, there = [Sessions(*each) for each in zip(place.records, place.tokens, strict=True)]
    session = here.begin(token, of_token, NOW)
    wait_for(lambda: there.find(session.secret, NOW) == session)
    place.tokens[1].roll(token.id) if end == "roll" else place.tokens[1].revoke(token.id)
    assert there.find(session.secret, NOW) is None
    wait_for(lambda: here.find(session.secret, NOW) is None)


def test_a_token_has_a_bounded_number_of_sessions(place: Place) -> None:
    token, of_token = place.tokens[0].create(name="alice", now=NOW)
    _, of_gone = place.tokens[0].create(name="gone", now=NOW)
    here = Sessions(place.records[0], place.tokens[0])
    here.begin(token, of_gone, NOW)
    place.tokens[0].revoke("gone")
    begun = [here.begin(token, of_token, NOW + timedelta(milliseconds=number)) for number in range(MAX_SESSIONS + 5)]
    for records in place.records:
        wait_for(lambda records=records: len(records.begun()) == MAX_SESSIONS)  # type: ignore[misc]
    assert [bool(here.find(one.secret, NOW)) for one in begun] == [False] * 5 + [True] * MAX_SESSIONS
