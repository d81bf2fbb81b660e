"""Two controls as servers: a token or session of one is one of the other, and goes back to a server alone."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dnsd.cli import main
from dnsd.fleet.root import RootFolder
from dnsd.manage.token_file import TokenFile
from dnsd.manage.tokens import AccessLevel, Area
from tests.api.server import A1, FILES, Z1, Api
from tests.api.test_pending_changes import MAP, PENDING, SHOP_TEXT, ahead, scheduled
from tests.api.test_tokens import body as new_token
from tests.api.test_tokens import policy
from tests.browser.sessions import Person
from tests.fleet.edges import FleetSource
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import NatsServer, connected, control_folder, new_root
from tests.fleet.test_control import ControlApi, wait_for

pytestmark = needs_nats_server
TOKENS = "/user/tokens"
ZONE = f"/zones/{Z1}"


@pytest.fixture
def root(tmp_path: Path) -> RootFolder:
    return new_root(tmp_path, controls=("c1", "c2"))


@pytest.fixture
def server(root: RootFolder, tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(root, root.servers[0]) as server:
        FleetSource(root, tmp_path).send(dict(FILES))
        yield server


@pytest.fixture
def controls(root: RootFolder, server: NatsServer, tmp_path: Path) -> Iterator[tuple[ControlApi, ControlApi]]:
    with ExitStack() as stack:
        found = [ControlApi(root, tmp_path / name, name) for name in ("c1", "c2")]
        for one in found:
            stack.enter_context(one.running())
        yield found[0], found[1]


def status(api: Api, token: str) -> int:
    return api.call("GET", ZONE, token=token).status_code


def run(*words: str) -> Result:
    return CliRunner().invoke(main, [*words])


def test_a_token_of_one_control_is_one_of_the_other(controls: tuple[ControlApi, ControlApi]) -> None:
    first, second = controls
    assert status(first, second.operator) == status(second, first.operator) == 200  # made by commands before the start
    body = new_token(policy((Area.DNS, AccessLevel.EDIT), (Area.TOKENS, AccessLevel.EDIT), **{f"account_{A1}": "*"}))
    made = first.result("POST", TOKENS, {**body, "name": "ci"})
    assert status(second, made["value"]) == 200  # at once
    child = second.result("POST", TOKENS, {**body, "name": "job"}, token=made["value"])
    assert status(first, child["value"]) == 200
    listed = [{one["name"] for one in api.result("GET", TOKENS)} for api in controls]
    assert listed[0] == listed[1] == {"operator", "ci", "job"}
    rolled = second.result("PUT", f"{TOKENS}/{made['id']}/value", {})
    assert status(second, made["value"]) == 403
    assert status(first, rolled) == 200
    assert status(first, made["value"]) == 403
    second.result("DELETE", f"{TOKENS}/{made['id']}")
    assert [status(second, one) for one in (rolled, child["value"])] == [403, 403]
    for secret in (rolled, child["value"]):
        wait_for(lambda secret=secret: status(first, secret) == 403)  # type: ignore[misc]
    entries = [(one["action"], one["outcome"]) for one in second.audited() if one["action"].startswith("token.")]
    assert entries == [("token.create", "ok"), ("token.roll", "ok"), ("token.revoke", "ok")]


def test_a_session_of_one_control_is_one_of_the_other(controls: tuple[ControlApi, ControlApi]) -> None:
    first, second = controls
    with Person(first, first.operator) as person, Person(second, None) as elsewhere:
        elsewhere.client.cookies = person.client.cookies
        assert "Acme" in elsewhere.get("/").text  # at once
        assert elsewhere.post("/sign-out", {}, secret=person.secret).status_code == 303
        elsewhere.client.cookies = person.client.cookies
        wait_for(lambda: "API token" in person.get("/").text)
        assert "API token" in elsewhere.get("/").text


def test_commands_change_the_tokens_of_all_controls(controls: tuple[ControlApi, ControlApi]) -> None:
    first, second = controls
    secret = first.token("--name", "ci", "--account", A1)
    assert status(first, secret) == 200  # at once
    wait_for(lambda: status(second, secret) == 200)
    listed = run("token", "list", "-c", str(second.config), "--json")
    assert [one["name"] for one in json.loads(listed.stdout)] == ["operator", "operator", "ci"]
    ambiguous = run("token", "revoke", "operator", "-c", str(first.config))
    assert (ambiguous.exit_code, "choose one by its id" in ambiguous.stderr) == (1, True)
    gone = run("token", "revoke", "ci", "-c", str(second.config))
    assert (gone.exit_code, gone.stdout.endswith(" (ci)\n")) == (0, True)
    assert status(second, secret) == 403  # at once
    wait_for(lambda: status(first, secret) == 403)
    maps = run("map", "list", "-c", str(first.config), "--json", "--url", first.origin)
    assert (maps.exit_code, json.loads(maps.stdout)) == (0, []), maps.output


def test_without_servers_tokens_work_and_none_changes(
    controls: tuple[ControlApi, ControlApi], server: NatsServer
) -> None:
    first, _ = controls
    server.process.send_signal(signal.SIGSTOP)
    try:
        assert status(first, first.operator) == 200
        code, number, message = first.refused("POST", TOKENS, new_token())
        assert (code, number) == (503, 1015), message
        revoked = run("token", "revoke", "operator", "-c", str(first.config))
        assert (revoked.exit_code, "fleet" in revoked.stderr) == (3, True)
        with Person(first, None) as person:
            assert person.sign_in(first.operator).status_code == 503
    finally:
        server.process.send_signal(signal.SIGCONT)
    wait_for(lambda: first.call("GET", TOKENS).is_success)


def test_a_token_goes_into_a_fleet_and_back(
    root: RootFolder, server: NatsServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    alone = Api(tmp_path_factory.mktemp("alone"), {**FILES, "acme/maps/shop.yaml": SHOP_TEXT})
    with alone.running(), Person(alone, alone.operator) as person:
        cookies = person.client.cookies
        change = scheduled(alone, "PATCH", MAP, {"enabled": False}, at=ahead(days=1))
    source = FleetSource(root, tmp_path_factory.mktemp("source"))
    source.use(control_folder(root))
    words = ("-c", str(source.config), "--state", str(alone.folder / "state"))
    sent = run("fleet", "import", str(alone.folder / "accounts"), *words)
    counts = ["1 new, 0 changed, 0 removed", "1 tokens, 1 sessions, 1 pending changes"]
    assert (sent.exit_code, sent.stdout.splitlines()) == (0, counts), sent.output
    with ControlApi(root, tmp_path / "c2", "c2").running() as control:
        assert isinstance(control, ControlApi)
        assert status(control, alone.operator) == 200
        assert control.result("GET", PENDING, token=alone.operator) == [change]
        with Person(control, None) as person:
            person.client.cookies = cookies
            assert "Acme" in person.get("/").text
        added = control.token("--name", "added")
        words = ("-c", str(source.config), "--state", str(tmp_path / "state"))
        out = run("fleet", "export", str(tmp_path / "out"), *words)
        counts = [f"{len(FILES) + 1} files", "3 tokens, 1 sessions, 1 pending changes"]
        assert (out.exit_code, out.stdout.splitlines()) == (0, counts), out.output
    again = run("fleet", "export", str(tmp_path / "more"), *words)
    assert (again.exit_code, (tmp_path / "more").exists()) == (1, False)
    there = [tmp_path / "state", *(tmp_path / "state").rglob("*")]
    modes = {path.name: path.stat().st_mode & 0o777 for path in there}
    folders, files = ("state", "pending"), ("tokens.json", "tokens.lock", "sessions.json", f"{change['id']}.json")
    assert modes == {**dict.fromkeys(folders, 0o700), **dict.fromkeys(files, 0o600)}
    before = json.loads((alone.folder / "state" / "tokens.json").read_bytes())["tokens"]
    after = json.loads((tmp_path / "state" / "tokens.json").read_bytes())["tokens"]
    assert before[0] in after
    assert [one["name"] for one in after] == ["operator", "operator", "added"]
    with with_state(alone, tmp_path / "state").running() as back:
        assert status(back, alone.operator) == status(back, added) == 200
        assert back.result("GET", PENDING) == [change]
        with Person(back, None) as person:
            person.client.cookies = cookies
            assert "Acme" in person.get("/").text


def with_state(alone: Api, state: Path) -> Api:
    """The server alone, with another state folder."""
    alone.config.write_text(f"{alone.config.read_text()}state: {json.dumps(str(state))}\n")
    return alone


def test_a_state_folder_that_cannot_be_read_changes_nothing(
    root: RootFolder, server: NatsServer, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source, state = FleetSource(root, tmp_path_factory.mktemp("source")), tmp_path / "state"
    source.use(control_folder(root))
    source.put({"new/account.yaml": "name: New\n"})
    state.mkdir()
    for name in ("tokens.json", "sessions.json"):
        (state / name).write_text("{")
        sent = run("fleet", "import", str(source.accounts), "-c", str(source.config), "--force", "--state", str(state))
        assert (sent.exit_code, sent.stdout, f"{name} is corrupt" in sent.stderr) == (1, "", True)
        assert (state / name).read_text() == "{"
        (state / name).unlink()
    TokenFile(state).create(name="ci", now=datetime.now(UTC))
    sent = run("fleet", "import", str(source.accounts), "-c", str(source.config), "--force", "--state", str(state))
    assert (sent.exit_code, sent.stdout.splitlines()[1]) == (0, "1 tokens, 0 sessions, 0 pending changes"), sent.output


def test_made_up_tokens_cost_few_looks_at_the_servers(
    controls: tuple[ControlApi, ControlApi], root: RootFolder
) -> None:
    """Strangers who send them without a pause share a few looks in a second."""
    first, _ = controls

    async def asked() -> int:
        async with connected(root, control_folder(root, "c2")) as client:
            found = await client.ask("$JS.API.INFO")
            return int(found["api"]["total"])

    before, number = asyncio.run(asked()), 0
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert status(first, f"dnsd_{number}") in (403, 429)
        number += 1
    after = asyncio.run(asked())
    assert number > 20
    assert after - before < 200
