"""A customer's mistake affects no other: accounts held at their last good version, and accounts served as edited."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dnsd.app import Loaded, load
from dnsd.errors import InvalidDataError
from dnsd.store.directory import FileKind
from dnsd.store.folder import keep_times
from dnsd.store.good import GoodTexts
from tests.kept_texts import good_texts, put_good_text

PRINT = "accounts/print/account.yaml"
PRINT_MAP = "accounts/print/maps/main.yaml"
PRINT_ZONE = "accounts/print/zones/printers.example.yaml"
TEA = "accounts/tea/account.yaml"
TEA_MAP = "accounts/tea/maps/cups.yaml"
TEA_ZONE = "accounts/tea/zones/teahouse.example.zone"
WOOD = "accounts/wood/account.yaml"
WOOD_ZONE = "accounts/wood/zones/timber.example.yaml"

# print lends a part of its prefix to tea, whose map uses it.
FILES = {
    "dnsd.yaml": "default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n",
    PRINT: "prefixes:\n- {cidr: 203.0.113.0/24, approved: V, delegations: [{cidr: 203.0.113.64/26, account: tea}]}\n"
    "static_ips: [192.0.2.7]\n",
    PRINT_MAP: "enabled: true\nips: [203.0.113.3]\nmemberships: [{kind: zone, identifier: printers.example}]\n",
    PRINT_ZONE: "records:\n- {name: www, type: A, content: 192.0.2.81, proxied: true}\n",
    TEA: "prefixes: [{cidr: 198.18.4.0/24, approved: V}]\n",
    TEA_MAP: "enabled: true\nips: [203.0.113.70]\nmemberships: [{kind: account, identifier: tea}]\n",
    TEA_ZONE: "@ 60 SOA ns1 host 7 2 3 4 5\n@ 60 NS ns1\nns1 60 A 192.0.2.53\nwww 60 A 192.0.2.54\n",
    WOOD: "name: Wood\n",
    WOOD_ZONE: "records:\n- {name: oak, type: A, content: 192.0.2.90}\n",
}
BROKEN_ZONE = "records:\n- {name: oak, type: A, content: not-an-address}\n"
MORE_WOOD = "records:\n- {name: oak, type: A, content: 192.0.2.91}\n"

Edits = Mapping[str, str | None]  # a file -> its new text; None: removed


@dataclass(frozen=True)
class Case:
    """Edits of good files, and the accounts held."""

    edits: Edits
    held: set[str]
    messages: list[str] = field(default_factory=list)  # parts of the problems' messages
    served: Edits = field(default_factory=dict)  # files whose new text is served, though not all are


CASES = {
    "a broken zone": Case({WOOD_ZONE: BROKEN_ZONE}, {"wood"}, ["not-an-address"]),
    "a broken account's other files stay as they were": Case(
        {WOOD_ZONE: BROKEN_ZONE, "accounts/wood/zones/planks.example.yaml": "records: []\n"}, {"wood"}
    ),
    "others go on": Case(
        {TEA_MAP: "ips: [", WOOD_ZONE: MORE_WOOD}, {"tea"}, ["maps/cups.yaml:2:"], {WOOD_ZONE: MORE_WOOD}
    ),
    "two accounts in error at once": Case({TEA_MAP: "ips: [", WOOD_ZONE: BROKEN_ZONE}, {"tea", "wood"}),
    "all accounts in error": Case(
        {TEA_MAP: "ips: [", WOOD_ZONE: BROKEN_ZONE, PRINT: "nmae: x\n"}, {"print", "tea", "wood"}
    ),
    "a file of unknown kind": Case(
        {"accounts/wood/zones/notes.txt": "?", PRINT_ZONE: "records: []\n"},
        {"wood"},
        ["'.txt'"],
        {PRINT_ZONE: "records: []\n"},
    ),
    "a zone defined twice": Case({"accounts/tea/zones/teahouse.example.yaml": "records: []\n"}, {"tea"}),
    "an unknown key in account.yaml does not hide other errors": Case(
        {
            WOOD: "nmae: Wood\n",
            WOOD_ZONE: BROKEN_ZONE,
            "accounts/wood/maps/m.yaml": "enabled: true\nips: []\nmemberships: [{kind: zone, identifier: x.example}]\n",
        },
        {"wood"},
        ["did you mean 'name'", "not-an-address", "there is no zone 'x.example'"],
    ),
    # Rules between accounts, in both directions: print comes before tea, and tea before wood, in the files' order.
    "a zone that an earlier account takes": Case(
        {"accounts/print/zones/teahouse.example.yaml": "records: []\n"},
        {"print"},
        ["teahouse.example is already served"],
    ),
    "a zone that a later account takes": Case(
        {"accounts/wood/zones/teahouse.example.yaml": "records: []\n"}, {"wood"}, ["teahouse.example is already served"]
    ),
    "a zone taken from an account that has changed too": Case(
        {
            "accounts/print/zones/timber.example.yaml": "records: []\n",
            WOOD_ZONE: MORE_WOOD,
        },
        {"print"},
        served={WOOD_ZONE: MORE_WOOD},
    ),
    "a static IP that an earlier account takes": Case(
        {"accounts/paper/account.yaml": "static_ips: [192.0.2.7]\n"}, {"paper"}, ["192.0.2.7 is a static IP"]
    ),
    "a static IP that a later account takes": Case({WOOD: "static_ips: [192.0.2.7]\n"}, {"wood"}, ["192.0.2.7"]),
    "a static IP taken from an account that has changed too": Case(
        {WOOD: "static_ips: [192.0.2.7]\n", PRINT_ZONE: "records: []\n"}, {"wood"}, served={PRINT_ZONE: "records: []\n"}
    ),
    "a wider prefix around another account's": Case(
        {WOOD: "prefixes: [{cidr: 203.0.112.0/23, approved: V}]\n"}, {"wood"}, ["overlaps"]
    ),
    "a prefix within another account's": Case(
        {"accounts/paper/account.yaml": "prefixes: [{cidr: 198.18.4.128/25, approved: V}]\n"}, {"paper"}, ["overlaps"]
    ),
    "a prefix within one of an account that has changed too": Case(
        {
            "accounts/paper/account.yaml": "prefixes: [{cidr: 198.18.4.128/25, approved: V}]\n",
            TEA_ZONE: FILES[TEA_ZONE] + "b 60 A 192.0.2.55\n",
        },
        {"paper"},
        served={TEA_ZONE: FILES[TEA_ZONE] + "b 60 A 192.0.2.55\n"},
    ),
    "the id of another account": Case(
        {WOOD: "id: 0123456789abcdef0123456789abcdef\n", TEA: FILES[TEA] + "id: 0123456789abcdef0123456789abcdef\n"},
        {"tea", "wood"},
        ["has the same id"],
    ),
    "a withdrawn part of a prefix in use": Case(
        {PRINT: "prefixes: [{cidr: 203.0.113.0/24, approved: V}]\nstatic_ips: [192.0.2.7]\n"},
        {"print"},
        ["203.0.113.70 is outside the account"],
    ),
    "a withdrawn part while its user and others change": Case(
        {
            PRINT: "prefixes: [{cidr: 203.0.113.0/24, approved: V}]\nstatic_ips: [192.0.2.7]\n",
            TEA_ZONE: FILES[TEA_ZONE] + "b 60 A 192.0.2.55\n",
            WOOD_ZONE: MORE_WOOD,
        },
        {"print"},
        served={WOOD_ZONE: MORE_WOOD, TEA_ZONE: FILES[TEA_ZONE] + "b 60 A 192.0.2.55\n"},
    ),
    "a prefix no longer approved": Case({PRINT: FILES[PRINT].replace("V", "P", 1)}, {"print"}),
    "a delegation to a removed account": Case(
        {TEA: None, TEA_MAP: None, TEA_ZONE: None}, {"tea"}, ["there is no account 'tea'"]
    ),
    "an address of another account's": Case(
        {TEA_MAP: FILES[TEA_MAP].replace("203.0.113.70", "203.0.113.3")}, {"tea"}, ["203.0.113.3"]
    ),
    "a member that is another account's zone": Case(
        {PRINT_MAP: FILES[PRINT_MAP].replace("printers", "timber"), WOOD_ZONE: MORE_WOOD},
        {"print"},
        ["belong to different accounts"],
        {WOOD_ZONE: MORE_WOOD},
    ),
    "a part lent by a held account stays usable": Case(
        {PRINT: "nmae: Print\n", TEA_ZONE: FILES[TEA_ZONE] + "b 60 A 192.0.2.55\n"},
        {"print"},
        served={TEA_ZONE: FILES[TEA_ZONE] + "b 60 A 192.0.2.55\n"},
    ),
    # Objects that moved to a held account.
    "a zone that moved to a held account": Case(
        {WOOD_ZONE: None, "accounts/tea/zones/timber.example.yaml": FILES[WOOD_ZONE], TEA_MAP: "ips: ["},
        {"tea", "wood"},
        ["the zone timber.example moved to tea, which is held"],
    ),
    "a zone that moved and is still a member": Case(
        {PRINT_ZONE: None, "accounts/tea/zones/printers.example.yaml": FILES[PRINT_ZONE]},
        {"print", "tea"},
        ["it moved to tea: remove the member"],
    ),
    "a static IP that moved to a held account": Case(
        {PRINT: FILES[PRINT].partition("static_ips")[0], WOOD: "static_ips: [192.0.2.7]\n", WOOD_ZONE: BROKEN_ZONE},
        {"print", "wood"},
        ["the static IP 192.0.2.7 moved to wood"],
    ),
    "a prefix that moved to a held account": Case(
        {
            TEA: "{}\n",
            WOOD: "prefixes: [{cidr: 198.18.4.0/24, approved: V}]\n",
            "accounts/wood/maps/broken.yaml": "ips: 1\n",
        },
        {"tea", "wood"},
        ["the prefix 198.18.4.0/24 moved to wood"],
    ),
    "a zone that moved without errors": Case(
        {WOOD_ZONE: None, "accounts/tea/zones/timber.example.yaml": FILES[WOOD_ZONE]}, set()
    ),
    "an account without a last good version is left out": Case(
        {"accounts/new/zones/new.example.yaml": BROKEN_ZONE, WOOD_ZONE: MORE_WOOD},
        {"new"},
        served={WOOD_ZONE: MORE_WOOD},
    ),
    "two new accounts with one zone": Case(
        {
            "accounts/new/zones/both.example.yaml": "records: []\n",
            "accounts/newer/zones/both.example.yaml": "records: []\n",
        },
        {"new", "newer"},
        ["both.example is already served"],
    ),
    # Accounts that share an error with an account held for its own.
    "a static IP that two take, one of them another's as well": Case(
        {
            "accounts/paper/account.yaml": "static_ips: [192.0.2.7, 192.0.2.44]\n",
            "accounts/pulp/account.yaml": "static_ips: [192.0.2.44]\n",
        },
        {"paper"},
        ["192.0.2.7 is a static IP", "192.0.2.44 is a static IP"],
    ),
    "a zone that two take, one of them with an address that is not its own": Case(
        {
            "accounts/aaa/zones/both.example.yaml": "records: []\n",
            "accounts/zzz/zones/both.example.yaml": "records: []\n",
            "accounts/zzz/maps/m.yaml": "enabled: true\nips: [203.0.113.4]\n",
        },
        {"zzz"},
        ["both.example is already served", "203.0.113.4 is outside the account"],
    ),
    "a zone that two take, one of them with a file that cannot be read": Case(
        {
            "accounts/aaa/zones/both.example.yaml": "records: []\n",
            "accounts/aaa/maps/m.yaml": "ips: [",
            "accounts/zzz/zones/both.example.yaml": "records: []\n",
        },
        {"aaa"},
        ["both.example is already served", "m.yaml:2:"],
    ),
    "a README among the accounts": Case({"accounts/README.md": "Ours\n", WOOD_ZONE: MORE_WOOD}, set()),
}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    edit(tmp_path, FILES)
    return tmp_path


def edit(root: Path, edits: Edits) -> None:
    """Make the edits; remove empty folders."""
    for name, text in edits.items():
        file = root / name
        if text is None:
            file.unlink()
            for folder in list(file.parents)[:2]:
                if not any(folder.iterdir()):
                    folder.rmdir()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def start(root: Path) -> Loaded:
    """Load as at a start, with the copies of the previous run; then keep new copies."""
    good = GoodTexts(root / "state")
    loaded = load(root / "dnsd.yaml", {}, good=good.read, good_policies=good.read_policies)
    (root / "state").mkdir(exist_ok=True)
    good.keep(loaded.files)
    assert good.problem is None
    return loaded


def reload(root: Path, before: Loaded, *, force: bool = False) -> Loaded:
    """Load as at a reload."""
    good = GoodTexts(root / "state")
    good.read()
    loaded = load(
        root / "dnsd.yaml",
        {},
        previous=before,
        good=lambda: good.copies_of(before.files),
        may_go=lambda account: force,
    )
    keep_times(loaded.files, before.files)
    good.keep(loaded.files)
    return loaded


def served(loaded: Loaded) -> dict[str, str]:
    """The served texts, by path below the accounts folder."""
    return {file.path[file.path.index(f"/{file.key.partition('/')[0]}/") :]: file.text() for file in loaded.files.files}


def expected(case: Case) -> dict[str, str]:
    """The current files of accounts that are not held, and the last good files of held ones."""
    now = {name: text for name, text in {**FILES, **case.edits}.items() if text is not None}
    texts = {
        name: text
        for files, is_of_held in ((FILES, True), (now, False))
        for name, text in files.items()
        if name.count("/") > 1 and (name.split("/")[1] in case.held) is is_of_held
    }
    return {name.removeprefix("accounts"): text for name, text in texts.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_reload_holds_accounts_that_have_or_cause_an_error(case: Case, root: Path) -> None:
    before = start(root)
    edit(root, case.edits)
    loaded = reload(root, before)
    assert set(loaded.held) == case.held
    assert served(loaded) == expected(case)
    errors = "\n".join(map(str, loaded.errors))
    assert all(part in errors for part in case.messages), errors
    assert all(problem.place for problem in loaded.errors)
    folders = {
        problem.place.file.removeprefix(f"{root}/accounts/").split("/")[0] for problem in loaded.errors if problem.place
    }
    assert folders <= case.held, "every problem is in the files of a held account"
    assert all(served(loaded)[name.removeprefix("accounts")] == text for name, text in case.served.items())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_start_holds_them_too(case: Case, root: Path) -> None:
    start(root)
    edit(root, case.edits)
    loaded = start(root)
    assert set(loaded.held) == case.held
    assert served(loaded) == expected(case)
    assert served(start(root)) == expected(case), "at the next start as well"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_restored_files_are_served_as_before(case: Case, root: Path) -> None:
    before = start(root)
    edit(root, case.edits)
    held = reload(root, before)
    shutil.rmtree(root / "accounts")
    edit(root, FILES)
    after = reload(root, held)
    assert not after.held
    assert not any(problem for problem in after.warnings if not problem.warning)
    assert served(after) == served(before)
    serials = {zone.name: zone.serial for zone in before.dataset.zones.values()}
    changed = {name.rpartition("/")[2].rpartition(".")[0] for name in case.edits} | {"teahouse.example"}
    assert all(
        zone.serial == serials[zone.name]
        for zone in after.dataset.zones.values()
        if zone.name_text not in changed or case.held >= {zone.key.partition("/")[0]}
    )


def test_first_start_is_refused_with_every_problem(root: Path) -> None:
    edit(root, {WOOD_ZONE: BROKEN_ZONE, TEA_MAP: "ips: ["})
    with pytest.raises(InvalidDataError) as caught:
        start(root)
    said = str(caught.value)
    assert "timber.example.yaml:2:" in said
    assert "cups.yaml:2:" in said


def test_settings_may_refuse_all_on_an_error(root: Path) -> None:
    before = start(root)
    edit(root, {WOOD_ZONE: BROKEN_ZONE, "dnsd.yaml": FILES["dnsd.yaml"] + "on_error: refuse\n"})
    with pytest.raises(InvalidDataError):
        reload(root, before)
    with pytest.raises(InvalidDataError):
        start(root)


@pytest.mark.parametrize("text", ["default_addresses: []\n", "nonsense: 1\n", "["])
def test_error_in_the_settings_is_no_accounts(text: str, root: Path) -> None:
    before = start(root)
    edit(root, {"dnsd.yaml": text})
    with pytest.raises(InvalidDataError):
        reload(root, before)


def test_missing_accounts_folder_is_an_error(root: Path) -> None:
    before = start(root)
    shutil.rmtree(root / "accounts")
    with pytest.raises(InvalidDataError, match="there is no folder"):
        reload(root, before)


def test_error_that_stays_with_all_good_versions_is_refused(root: Path) -> None:
    """No account could fix it by restoring its files: the good versions contain the error."""
    start(root)
    put_good_text(root / "state", "tea/maps/cups", FileKind.MAP, "ips: [")
    edit(root, {TEA_MAP: "ips: [1"})
    with pytest.raises(InvalidDataError):
        start(root)


def test_kept_texts_are_private(root: Path) -> None:
    start(root)
    modes = {path: path.stat().st_mode & 0o777 for path in (root / "state").rglob("*")}
    assert len(modes) > len(FILES)
    assert all(mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items())


def test_kept_texts_follow_the_served_files(root: Path) -> None:
    before = start(root)
    edit(root, {WOOD_ZONE: None, "accounts/wood/zones/timber.example.zone": FILES[TEA_ZONE].replace("7", "8")})
    edit(root, {"accounts/paper/account.yaml": "name: Paper\n", TEA_MAP: "ips: ["})
    reload(root, before)
    copies = good_texts(root / "state")
    assert "wood/zones/timber.example.yaml" not in copies
    assert copies["wood/zones/timber.example.zone"] == FILES[TEA_ZONE].replace("7", "8")
    assert copies["paper/account.yaml"] == "name: Paper\n"
    assert copies["tea/maps/cups.yaml"] == FILES[TEA_MAP]


def test_account_that_cannot_be_kept_does_not_prevent_others(root: Path) -> None:
    before = start(root)
    texts, taken = good_texts(root / "state"), root / "state" / "blocks" / "print"
    (taken / ".new").mkdir()  # the name of the new block
    edit(root, {PRINT_ZONE: "records: []\n", PRINT_MAP: None, WOOD_ZONE: MORE_WOOD})
    good = GoodTexts(root / "state")
    good.keep(load(root / "dnsd.yaml", {}, previous=before).files)
    assert str(taken) in (good.problem or "")
    texts[WOOD_ZONE.removeprefix("accounts/")] = MORE_WOOD
    assert good_texts(root / "state") == texts  # and the account stays as it was, as a whole


def test_files_and_accounts_with_the_longest_names_are_kept(root: Path) -> None:
    names = [f"tea/maps/{'a' * 250}.yaml", f"{'b' * 255}/maps/{'a' * 250}.yaml"]
    edit(root, {f"accounts/{name}": "enabled: false\n" for name in names})
    start(root)
    assert [good_texts(root / "state")[name] for name in names] == ["enabled: false\n"] * 2


@pytest.mark.parametrize("folders", [["good"], ["good", "blocks"]], ids=" and ".join)
def test_removed_texts_are_kept_again(root: Path, folders: list[str]) -> None:
    good = GoodTexts(root / "state")
    (root / "state").mkdir()
    before = load(root / "dnsd.yaml", {}, good=good.read)
    good.keep(before.files)
    edit(root, {WOOD_ZONE: BROKEN_ZONE})
    loaded = load(root / "dnsd.yaml", {}, previous=before, good=lambda: good.copies_of(before.files))
    good.keep(loaded.files)
    for folder in folders:
        shutil.rmtree(root / "state" / folder)
    good.keep(loaded.files)
    assert served(start(root)) == served(before)


@pytest.mark.parametrize("text", ["records: []\n", "records: 1\n"])
def test_folder_with_a_name_that_is_not_text_is_held_alone(text: str, root: Path) -> None:
    before = start(root)
    edit(root, {"accounts/w\udcffd/zones/q.example.yaml": text, WOOD_ZONE: MORE_WOOD})
    loaded = reload(root, before)
    assert set(loaded.held) == {"w\\udcffd"}
    assert served(loaded) == {**served(before), WOOD_ZONE.removeprefix("accounts"): MORE_WOOD}
    assert json.loads(json.dumps([problem.data() for problem in loaded.errors]).encode()) == [
        problem.data() for problem in loaded.errors
    ]


def test_held_accounts_are_listed_in_order(root: Path) -> None:
    """In any order of discovery: wood has an error of its own; print only lost a zone to it."""
    before = start(root)
    edit(root, {PRINT_ZONE: None, PRINT_MAP: None, "accounts/wood/zones/printers.example.yaml": BROKEN_ZONE})
    assert [*reload(root, before).held] == ["print", "wood"]


def test_large_zone_is_held_with_its_text(root: Path) -> None:
    large = FILES[TEA_ZONE] + "".join(f"h{number} 60 A 192.0.2.1\n" for number in range(10_000))
    edit(root, {TEA_ZONE: large})
    before = start(root)
    edit(root, {TEA_ZONE: large + "x 60 A bad\n"})
    held = reload(root, before)
    assert set(held.held) == {"tea"}
    assert served(held)["/tea/zones/teahouse.example.zone"] == large
    edit(root, {TEA_ZONE: large + "x 60 A 192.0.2.2\n"})
    assert not reload(root, held).held


def test_any_number_of_takers_is_found(root: Path) -> None:
    """Each of a hundred accounts takes the zone of another account that has changed too."""
    owned = [f"accounts/b{number}/zones/z{number}.example.yaml" for number in range(100)]
    edit(root, dict.fromkeys(owned, "records: []\n"))
    before = start(root)
    taken = {f"accounts/a{number}/zones/z{number}.example.yaml": "records: []\n" for number in range(0, 100, 2)}
    taken |= {f"accounts/c{number}/zones/z{number}.example.yaml": "records: []\n" for number in range(1, 100, 2)}
    edit(root, {**taken, **dict.fromkeys(owned, MORE_WOOD)})
    loaded = reload(root, before)
    assert set(loaded.held) == {name.split("/")[1] for name in taken}
    assert served(loaded)["/b7/zones/z7.example.yaml"] == MORE_WOOD


def test_search_for_the_cause_is_bounded(root: Path) -> None:
    """A hundred accounts change, and one withdraws a part in use; all others are served as edited."""
    edit(root, {f"accounts/a{number}/zones/z{number}.example.yaml": "records: []\n" for number in range(100)})
    before = start(root)
    edit(
        root,
        {
            PRINT: "static_ips: [192.0.2.7]\nprefixes: [{cidr: 203.0.113.0/24, approved: V}]\n",
            **{f"accounts/a{number}/zones/z{number}.example.yaml": MORE_WOOD for number in range(100)},
        },
    )
    assert set(reload(root, before).held) == {"print"}
