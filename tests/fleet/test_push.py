"""A push sends what has changed in a folder, and takes back nothing that others have done in the fleet meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from dnsd.fleet import push_files
from dnsd.fleet import writer as writer_module
from dnsd.fleet.fetch import fetched_state
from dnsd.fleet.node import FleetNode, as_control
from dnsd.fleet.root import RootFolder
from dnsd.fleet.subjects import object_subject
from dnsd.fleet.writer import FleetAwayError, Writer
from dnsd.store.directory import FileKind, account_of
from tests.fleet.commands import fleet, texts_of, values_of
from tests.fleet.edges import BUTIK, FILES, FleetSource, urls_of
from tests.fleet.nats_servers import needs_nats_server
from tests.fleet.servers import control_folder
from tests.fleet.test_edge import LARGE, LINES

pytestmark = [needs_nats_server, pytest.mark.usefixtures("server")]
MAP, WEST, OST = "öst/maps/butik 1.yaml", "west/zones/west.example.yaml", "öst/zones/ost.example.yaml"
PLAIN = "öst/zones/plain.example.zone"
NOTE = ".dnsd-revision"
ZONE = "records:\n- {name: www, type: A, content: 192.0.2.9}\n"


class Checkout:
    """A folder that was exported from a fleet, and others who change the fleet meanwhile."""

    def __init__(self, source: FleetSource, root: RootFolder, folder: Path) -> None:
        source.use(control_folder(root))
        source.send({**FILES, LARGE: "".join(LINES)})
        self.others, self.root, self.folder = source, root, folder
        done = fleet(source.config, "export", str(folder))
        assert done.exit_code == 0, done.output

    def put(self, texts: Mapping[str, str | None]) -> None:
        for name, text in texts.items():
            file = self.folder / name
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)

    def push(self, *words: str) -> Result:
        return fleet(self.others.config, "push", str(self.folder), *words)

    def pushed(self, *words: str) -> str:
        done = self.push(*words)
        assert done.exit_code == 0, done.output
        return done.output

    @property
    def texts(self) -> dict[str, str]:
        return texts_of(self.root)


@pytest.fixture
def checkout(source: FleetSource, root: RootFolder, tmp_path: Path) -> Checkout:
    return Checkout(source, root, tmp_path / "checkout")


def key(name: str) -> str:
    return name.rpartition(".")[0]


def test_what_changed_in_the_folder_is_sent_once(checkout: Checkout) -> None:
    assert checkout.pushed() == "0 new, 0 changed, 0 removed\n"
    before = (checkout.folder / NOTE).read_text()
    large = "".join([*LINES[:4000], "new A 192.0.2.9\n", *LINES[4000:]])
    values = values_of(checkout.root)
    checkout.put({WEST: ZONE, "west/zones/new.example.yaml": ZONE, LARGE: large})
    planned = checkout.pushed("--plan")
    assert planned.splitlines() == [
        *(f"write: {key(name)}" for name in (LARGE, "west/zones/new.example.yaml", WEST)),
        "plan: 1 new, 2 changed, 0 removed",
    ]
    assert (values_of(checkout.root), (checkout.folder / NOTE).read_text()) == (values, before)
    assert checkout.pushed() == "1 new, 2 changed, 0 removed\n"
    assert checkout.texts[key(WEST)] == ZONE
    now = values_of(checkout.root)
    blocks = [subject for subject in now if subject.startswith("dnsd.s.b.")]
    assert len([subject for subject in blocks if subject not in values]) <= 2  # of a large file, what differs
    assert len(blocks) > 1
    assert (checkout.folder / NOTE).read_text() != before
    assert checkout.pushed() == "0 new, 0 changed, 0 removed\n"


def test_what_others_did_stays(checkout: Checkout) -> None:
    names = ("west/zones/theirs.example.yaml", MAP, PLAIN)
    checkout.others.send({MAP: BUTIK.replace("7]", "8]"), names[0]: ZONE, PLAIN: None})
    checkout.put({WEST: ZONE})
    for changed in (1, 0):
        assert checkout.pushed("--prune").splitlines() == [
            *(f"changed by others, and left alone: {key(name)}" for name in names),
            f"0 new, {changed} changed, 0 removed",
        ]
    found = checkout.texts
    assert "203.0.113.8" in found[key(MAP)]
    assert found["west/zones/theirs.example"] == ZONE
    assert key(PLAIN) not in found
    assert found[key(WEST)] == ZONE


def test_what_both_have_changed_is_a_conflict(checkout: Checkout) -> None:
    checkout.others.send({MAP: BUTIK.replace("7]", "8]"), WEST: None, OST: FILES[OST] + "# theirs\n"})  # type: ignore[operator]
    checkout.put({MAP: BUTIK.replace("7]", "9]"), WEST: ZONE, OST: None, "west/zones/new.example.yaml": ZONE})
    before = values_of(checkout.root)
    refused = checkout.push()
    assert refused.exit_code == 1
    assert refused.output.splitlines() == [
        *(f"conflict: {key(name)}" for name in (WEST, MAP, OST)),
        "3 objects have changed in the fleet, since: nothing was changed; --force has those of the folder",
    ]
    assert values_of(checkout.root) == before
    forced = checkout.pushed("--force")
    assert forced.endswith("2 new, 1 changed, 0 removed\n")
    found = checkout.texts
    assert "203.0.113.9" in found[key(MAP)]
    assert (found[key(WEST)], "# theirs" in found[key(OST)]) == (ZONE, True)
    assert checkout.pushed().endswith("0 new, 0 changed, 0 removed\n")


def test_only_what_was_noted_is_removed_and_only_with_prune(checkout: Checkout) -> None:
    checkout.others.send({"west/zones/theirs.example.yaml": ZONE})
    checkout.put({LARGE: None})
    assert f"not in the folder, and left without --prune: {key(LARGE)}\n" in checkout.pushed()
    assert key(LARGE) in checkout.texts
    assert "9,000 of 9,005 records would be removed" in checkout.push("--prune").output
    assert checkout.pushed("--prune", "--force").endswith("0 new, 0 changed, 1 removed\n")
    assert key(LARGE) not in checkout.texts
    assert "west/zones/theirs.example" in checkout.texts
    assert not [subject for subject in values_of(checkout.root) if subject.startswith("dnsd.s.b.")]


def test_a_folder_without_a_note_takes_nothing_back(checkout: Checkout) -> None:
    (checkout.folder / NOTE).unlink()
    checkout.others.send({MAP: BUTIK.replace("7]", "8]")})
    refused = checkout.push("--prune")
    assert f"conflict: {key(MAP)}\n" in refused.output
    assert "the folder has no .dnsd-revision, as an export has" in refused.output
    checkout.put({MAP: BUTIK.replace("7]", "8]"), "west/zones/new.example.yaml": ZONE, WEST: None})
    assert checkout.pushed("--prune").endswith("1 new, 0 changed, 0 removed\n")
    assert key(WEST) in checkout.texts


def test_a_push_is_judged_as_an_import(checkout: Checkout) -> None:
    names = "".join(f"- {{name: n{one}, type: A, content: 192.0.2.{one}, proxied: true}}\n" for one in range(20))
    checkout.put({"west/zones/east.example.yaml": f"records:\n{names}"})
    checkout.pushed()
    checkout.put({"west/zones/east.example.yaml": f"records:\n{names.replace('true', 'false')}"})
    refused = checkout.push()
    assert refused.exit_code == 1
    assert "20 of 21 proxied names of the account would lose `proxied`" in refused.output
    assert refused.output.endswith("use `dnsd fleet push --force` to apply it anyway\nnothing was changed\n")
    checkout.put({"west/zones/bad.example.yaml": "records: nothing\n"})
    wrong = checkout.push("--force")
    assert wrong.exit_code == 1
    assert f"{checkout.folder}/west/zones/bad.example.yaml:1:1: records: " in wrong.output
    checkout.put({"west/zones/bad.example.yaml": None})
    assert checkout.pushed("--force") == "0 new, 1 changed, 0 removed\n"


def test_a_push_that_was_cut_is_continued_by_the_next(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    new: dict[str, str | None] = {f"c{number}/account.yaml": f"name: C{number}\n" for number in range(30)}
    checkout.put(new)
    real, left = Writer._store, [1]

    async def store(writer: Writer, *parts: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise FleetAwayError("op")
        return await real(writer, *parts)

    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "MAX_BATCH", 20)
        patch.setattr(Writer, "_store", store)
        cut = checkout.push()
    assert cut.exit_code == 3
    assert "of 30 objects are stored, the others are not: run it again" in cut.output
    stored = len([name for name in new if name.partition("/")[0] in checkout.texts])
    assert 0 < stored < 30
    assert checkout.pushed() == f"{30 - stored} new, 0 changed, 0 removed\n"
    assert {name.partition("/")[0] for name in new} <= checkout.texts.keys()


@pytest.mark.parametrize("theirs", [OST, MAP])
def test_who_is_overtaken_draws_the_push_up_anew(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    checkout.put({MAP: BUTIK.replace("7]", "9]")})
    real, other = push_files.send_writes, {OST: f"{FILES[OST]!s}# theirs\n", MAP: BUTIK.replace("7]", "8]")}[theirs]

    async def overtaken(*args: Any) -> None:
        monkeypatch.setattr(push_files, "send_writes", real)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(checkout.others.send, {theirs: other}).result()
        await real(*args)

    monkeypatch.setattr(push_files, "send_writes", overtaken)
    done = checkout.push()
    found = checkout.texts
    assert found[key(theirs)] == other
    if theirs == MAP:
        assert done.exit_code == 1
        assert f"conflict: {key(MAP)}\n" in done.output
    else:
        assert done.output.endswith("0 new, 1 changed, 0 removed\n")
        assert "203.0.113.9" in found[key(MAP)]


def test_an_account_of_a_later_version_is_left_alone(checkout: Checkout) -> None:
    subject = object_subject(key(WEST), FileKind.ZONE_YAML)
    put_value(checkout.root, subject, b'{"v":2}\nof a later version')
    checkout.put({MAP: BUTIK.replace("7]", "9]")})
    assert checkout.pushed().splitlines() == [
        f"changed by others, and left alone: {key(WEST)}",
        "0 new, 1 changed, 0 removed",
    ]
    assert values_of(checkout.root)[subject] == b'{"v":2}\nof a later version'
    checkout.put({LARGE: "".join([*LINES, "more A 192.0.2.1\n"])})  # another object of that account
    wrong = checkout.push()
    assert wrong.exit_code == 1
    assert "upgrade this node" in wrong.output


def put_value(root: RootFolder, subject: str, value: bytes) -> None:
    """Give an object of an account a value that this version does not write."""

    async def put(node: FleetNode) -> None:
        async with fetched_state(node) as state:
            account = account_of(key(WEST))
            write = writer_module.ObjectWrite(subject, state.reader.value(account, subject), value)
            commit = writer_module.Commit("later", b"{}", (write,), {account: state.heads[account]})
            await Writer(node.line.link).commit(commit)

    as_control(control_folder(root), urls_of(root), put)
