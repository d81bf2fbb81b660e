"""Acts on tokens, letters and pending changes: evidence first, or refused; after a kill, one entry with the outcome."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from dnsd.manage import token_changes
from dnsd.manage.acts import Acts
from dnsd.manage.audit import AuditLog
from dnsd.manage.audit_entries import Entry, Outcome
from dnsd.manage.audit_files import LineFile
from dnsd.manage.audit_search import LogQuery
from dnsd.manage.loa import LoaDocuments, file_of
from dnsd.manage.map_request import MapRequest
from dnsd.manage.refusal import Reason, RefusedError
from dnsd.manage.service import Actor
from dnsd.manage.token_changes import TokenFields, change_between
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import Token
from dnsd.model.observed import FeedFields, Observation, Observed
from dnsd.model.quotas import DEFAULT_QUOTAS
from dnsd.store.observations import load_observed, save_observed
from tests.limits import IS_LONG
from tests.unit.control.scheduling import ACME, SETTINGS, SHOP, Life, Scheduling
from tests.unit.store.test_write import killed_in

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LETTER = "ab" * 16
NOTHING: list[Token] = []


class Folder:
    """A state folder with two tokens, one made from the other, and a letter; without a server."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.tokens = TokenFile(folder)
        self.loa = LoaDocuments(folder)
        self.audit = AuditLog(folder / "audit.log")
        self.reports: list[str] = []
        self.acts = Acts(folder, self.audit, self.tokens, self.reports.append)
        self.token, _ = self.tokens.create(name="north", now=NOW, accounts=[ACME])
        self.tokens.create(name="south", now=NOW, parent=self.token)
        self.loa.add(ACME, "letter.pdf", b"%PDF-", NOW, LETTER)

    def entry(self, action: str, what: str) -> Entry:
        return Entry(
            at=NOW, token=self.token, client="", action=action, object=what, account_id=ACME, outcome=Outcome.OK
        )

    def on_tokens(self, verb: Callable[[TokenFile], Any]) -> None:
        begun = []

        def testify(before: list[Token], after: list[Token]) -> None:
            what = f"tokens/{change_between(before, after).token.id}"
            begun.append(self.acts.begin(self.entry("token.change", what), what))

        verb(self.tokens.attested(testify))  # type: ignore[arg-type]
        for act in begun:
            self.acts.end(act, is_done=True)

    def on_letter(self, verb: Callable[[], Any], document_id: str = LETTER) -> None:
        entry = self.entry("loa.change", document_id)
        self.acts.carry_out(entry, file_of(ACME, document_id), verb, needs_evidence=True)

    def on_routes(self) -> None:
        seen = Observed({ip_network("203.0.113.0/24"): Observation(False, NOW, "")})
        entry = self.entry("route.withdrawn", "acme")
        self.acts.carry_out(entry, "observed", partial(save_observed, self.folder, seen), needs_evidence=True)

    def state(self) -> object:
        tokens = json.loads((self.folder / "tokens.json").read_text())["tokens"]
        letters = sorted(path.name for path in (self.folder / "loa" / ACME).glob("*.json"))
        shown = [{**one, "hash": len(one["hash"])} if one["name"] == "new" else one for one in tokens]
        return shown, letters, load_observed(self.folder)

    def outcomes(self) -> list[str]:
        """After a start."""
        Acts(self.folder, self.audit, TokenFile(self.folder), self.reports.append).settle()
        return [str(one["outcome"]) for one in self.audit.read(LogQuery(100)).entries]


def rename(token: Token) -> Token:
    return Token(**{name: getattr(token, name) for name in ("id", "created_at", "accounts")} | {"name": "renamed"})


OTHER = "cd" * 16
ACTS: dict[str, Callable[[Folder], None]] = {
    "a token made": lambda one: one.on_tokens(lambda file: file.create(name="new", now=NOW)),
    "a token edited": lambda one: one.on_tokens(lambda file: file.edit(one.token.id, rename)),
    "a token rolled": lambda one: one.on_tokens(lambda file: file.roll(one.token.id)),
    "tokens revoked": lambda one: one.on_tokens(lambda file: file.revoke("north")),
    "a letter deleted": lambda one: one.on_letter(partial(one.loa.remove, ACME, LETTER)),
    "routes observed": Folder.on_routes,
    "a letter added": lambda one: one.on_letter(partial(one.loa.add, ACME, "x.pdf", b"%PDF-", NOW, OTHER), OTHER),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ACTS)
def test_a_kill_at_any_moment_leaves_one_entry_with_the_outcome(tmp_path: Path, what: str) -> None:
    seen = set()
    for call in range(0, 1000, 1 if IS_LONG else 5):
        folder = Folder(tmp_path / str(call))
        before = folder.state()
        is_killed = killed_in(call, partial(ACTS[what], folder))
        killed_in(call % 12, folder.outcomes)  # and again, during the next start
        is_done = folder.state() != before
        outcomes = folder.outcomes()
        assert outcomes in ([["ok"]] if is_done else [[], ["refused"]]), f"killed in call {call}"
        assert folder.outcomes() == outcomes
        assert not list((folder.folder / "acts").glob("*.json"))
        assert folder.reports == []
        seen.add((is_done, bool(outcomes)))
        if not is_killed:
            break
    assert seen == {(False, False), (False, True), (True, True)}


@pytest.mark.parametrize("what", ACTS)
def test_act_without_evidence_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    folder = Folder(tmp_path / "state")
    before = folder.state()
    with monkeypatch.context() as patch:
        patch.setattr(LineFile, "append", full)
        with pytest.raises(Exception, match="No space left"):
            ACTS[what](folder)
    assert folder.state() == before
    assert not list((folder.folder / "acts").glob("*.json"))
    assert folder.outcomes() == []


def full(*_: Any, **__: Any) -> tuple[int, bool]:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_outcome_that_cannot_be_written_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From what was known at the time, even if the same token was made again since."""
    folder = Folder(tmp_path / "state")
    settle = folder.audit.settle
    with monkeypatch.context() as patch:
        patch.setattr(folder.audit, "settle", full)
        ACTS["a letter deleted"](folder)
        folder.acts.settle()
    [report] = folder.reports
    assert "the outcome of loa.change is not in the audit log yet" in report
    folder.loa.add(ACME, "letter.pdf", b"%PDF-", NOW, LETTER)
    assert settle
    folder.acts.settle()
    folder.acts.settle()
    assert folder.outcomes() == ["ok"]


def test_tokens_that_cannot_be_read_leave_an_unknown_outcome(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "state")
    what = f"tokens/{folder.token.id}"
    folder.acts.begin(folder.entry("token.revoke", what), what)
    (folder.folder / "tokens.json").write_text("[")
    assert folder.outcomes() == ["ok"]
    [entry] = folder.audit.read(LogQuery(10)).entries
    assert entry["message"].startswith("unknown whether it was done")


WRONG = {
    "a number": "5",
    "a nest": "[" * 99_999,
    "a beginning": '{"entry": {',
    "no entry": '{"entry": {}, "what": "tokens/x", "before": ""}',
    "another file": '{"entry": {"owner": "", "entry": {"id": "NAME"}}, "what": "../../etc/passwd", "before": ""}',
    "an empty one": "",
}


@pytest.mark.parametrize("what", WRONG)
def test_damaged_act_is_moved_aside(tmp_path: Path, what: str) -> None:
    folder, name = Folder(tmp_path / "state"), "1" * 32
    (folder.folder / "acts").mkdir()
    file = folder.folder / "acts" / f"{name}.json"
    file.write_text(WRONG[what].replace("NAME", name))
    assert folder.outcomes() == []
    [report] = folder.reports
    assert f"{file} is corrupt: moved aside as {name}.json.damaged" in report
    assert folder.outcomes() == []
    assert len(folder.reports) == 1


# In the server

MODES = {"required": True, "deletes": False, "best_effort": None}  # None: no act needs evidence; False: removals do


async def schedule(life: Life) -> None:
    await life.add(MapRequest("map.add_ip", ACME, SHOP, {"ip": "203.0.113.7"}), life.world.later(hours=1))


async def cancel(life: Life) -> None:
    [one] = life.control.pending.of_account(ACME)
    await life.schedule.cancel(Actor(life.world.alice, "192.0.2.7"), ACME, one.id)


async def delete_letter(life: Life) -> None:
    remove, actor = partial(life.service.loa.remove, ACME, LETTER), Actor(life.world.alice, "192.0.2.7")
    await life.service.act(actor, "loa.delete", f"acme/loa/{LETTER}", ACME, file_of(ACME, LETTER), remove)


async def make_token(life: Life) -> None:
    alice, loaded = life.world.alice, life.control.current.loaded
    assert loaded
    fields, now = TokenFields(name="new"), datetime.now(UTC)
    verb = partial(
        token_changes.create_token, asks=alice, fields=fields, dataset=loaded.dataset, now=now, quotas=DEFAULT_QUOTAS
    )
    await life.service.change_tokens(Actor(alice, "192.0.2.7"), "token.create", verb)


async def revoke_token(life: Life) -> None:
    alice = life.world.alice
    verb = partial(token_changes.revoke_token, asks=alice, token_id=alice.id, now=datetime.now(UTC))
    await life.service.change_tokens(Actor(alice, "192.0.2.7"), "token.revoke", verb)


async def feed(life: Life) -> None:
    routes = {"routes": [{"cidr": "203.0.113.0/24", "advertised": False}]}
    await life.service.feed(Actor(life.world.alice, "192.0.2.7"), FeedFields.model_validate_json(json.dumps(routes)))


SERVED: dict[str, tuple[Callable[[Life], Awaitable[None]], bool]] = {  # whether it removes something
    "map.schedule": (schedule, False),
    "map.cancel": (cancel, True),
    "loa.delete": (delete_letter, True),
    "token.create": (make_token, False),
    "token.revoke": (revoke_token, True),
    "route.withdrawn": (feed, False),
}


def kept(world: Scheduling) -> object:
    names = sorted(str(path.relative_to(world.state)) for folder in ("loa", "pending") for path in files(world, folder))
    observed = load_observed(world.state)
    return names, (world.state / "tokens.json").read_text(), observed.by_network if observed else {}


def files(world: Scheduling, folder: str) -> list[Path]:
    return [path for path in (world.state / folder).rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Scheduling:
    world = Scheduling(tmp_path_factory.mktemp("acts") / "world")
    world.schedule("map.add_ip", ip="203.0.113.9")
    LoaDocuments(world.state).add(ACME, "letter.pdf", b"%PDF-", NOW, LETTER)
    return world


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("action", SERVED)
def test_acts_follow_the_setting(
    sound: Scheduling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str, mode: str
) -> None:
    verb, removes = SERVED[action]
    is_needed = MODES[mode] or (MODES[mode] is False and removes)
    world = sound.copy(tmp_path / "world")
    world.config.write_text(f"{SETTINGS}data: accounts\naudit: {mode}\n")
    before, known = kept(world), len(world.audit())

    async def refused(life: Life) -> None:
        life.control.pending.refresh()
        with monkeypatch.context() as patch:
            patch.setattr(LineFile, "append", full)
            if not is_needed:
                await verb(life)
                return
            with pytest.raises(RefusedError, match="the change needs an entry in the audit log") as caught:
                await verb(life)
            assert caught.value.faults[0].reason is Reason.NO_ROOM
        assert kept(world) == before
        await verb(life)

    world.run(refused)
    assert kept(world) != before
    entries = [one for one in world.audit()[known:] if one["action"] == action]
    assert [one["outcome"] for one in entries] == (["ok"] if is_needed else [])
    if is_needed:
        assert {one["account_id"] for one in entries} == {ACME}
        lines = (world.state / "audit" / f"{ACME}.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if f'"{action}"' in line]
        assert [one["outcome"] for one in found][-2:] == ["pending", "ok"]
        assert found[-2]["id"] == found[-1]["id"]
        assert found[-2]["object"] == found[-1]["object"] != "tokens"
