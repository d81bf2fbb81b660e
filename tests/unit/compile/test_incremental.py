"""Reloading: unchanged data is neither read nor built again, and no change is missed (R2, R4)."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dnsd.app import Loaded, load
from dnsd.errors import InvalidDataError
from dnsd.model.zones import Zone
from dnsd.source import Source, read_source
from dnsd.store import file_reader, folder, master_file
from dnsd.wire.rdata import NS, SOA

SETTINGS = "default_addresses: [198.51.100.10]\nnameservers: [ns1.example.net]\n"
ACCOUNT = "accounts/a1/account.yaml"
MAP = "accounts/a1/maps/m.yaml"
RIVAL = "accounts/a1/maps/n.yaml"
ZONE = "accounts/a1/zones/example.com.yaml"
CIRCLE = "accounts/a2/zones/example.org.yaml"
MASTER = "accounts/a1/zones/example.net.zone"
FILES = {
    "dnsd.yaml": SETTINGS,
    ACCOUNT: "prefixes: [{cidr: 203.0.113.0/24, approved: V}]\n",
    MAP: "enabled: true\nips: [203.0.113.10]\nmemberships:\n- {kind: zone, identifier: example.com}\n",
    RIVAL: "enabled: true\nips: [203.0.113.11]\nmemberships:\n- {kind: zone, identifier: example.com}\n",
    ZONE: "records:\n- {name: www, type: A, content: 192.0.2.1, proxied: true}\n",
    MASTER: "@ 60 SOA ns1 host 1 2 3 4 5\n@ 60 NS ns1\nns1 60 A 192.0.2.53\n",
    "accounts/a2/account.yaml": "name: Two\n",
    CIRCLE: """\
records:
- {name: a, type: CNAME, content: b.example.org, settings: {flatten_cname: true}}
- {name: b, type: CNAME, content: a.example.org, settings: {flatten_cname: true}}
""",
}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def first(root: Path) -> Loaded:
    return load(root / "dnsd.yaml", {})


def again(root: Path, previous: Loaded) -> Loaded:
    return load(root / "dnsd.yaml", {}, previous=previous)


def sources(root: Path, previous: Source | None = None) -> Source:
    return read_source(root / "dnsd.yaml", {}, previous=previous)


def zone(loaded: Loaded, name: str = "example.com") -> Zone:
    return next(zone for zone in loaded.dataset.zones.values() if zone.name_text == name)


def serial(loaded: Loaded) -> int:
    return next(int.from_bytes(record.rdata[-20:-16]) for record in zone(loaded).records if record.rtype == SOA)


# Edits without effect


def touch(root: Path) -> None:
    os.utime(root / ZONE, (2_000_000_000, 2_000_000_000))


def write_the_same(root: Path) -> None:
    for name, text in FILES.items():
        (root / name).write_text(text)


def save_as_editors_do(root: Path) -> None:
    file = root / ZONE
    file.with_name(".x.swp").write_text(FILES[ZONE])
    file.rename(file.with_name("x~"))
    file.with_name(".x.swp").rename(file)


def change_and_change_back(root: Path) -> None:
    (root / ZONE).write_text("records: []\n")
    (root / ZONE).write_text(FILES[ZONE])


def rename_account_and_back(root: Path) -> None:
    (root / "accounts/a1").rename(root / "away")
    (root / "away").rename(root / "accounts/a1")


def copy_everything(root: Path) -> None:
    shutil.copytree(root / "accounts", root / "copy")
    shutil.rmtree(root / "accounts")
    (root / "copy").rename(root / "accounts")


def link_a_copy(root: Path) -> None:
    (root / "accounts").rename(root / "..data")
    (root / "accounts").symlink_to("..data")


SAME: list[Callable[[Path], None]] = [
    lambda root: None,
    touch,
    write_the_same,
    save_as_editors_do,
    change_and_change_back,
    rename_account_and_back,
    copy_everything,
    link_a_copy,
]


@pytest.mark.parametrize("change", SAME)
def test_same_content_is_no_change(change: Callable[[Path], None], root: Path) -> None:
    loaded, source = first(root), sources(root)
    change(root)
    assert sources(root, source) == source
    assert again(root, loaded) is loaded
    assert first(root).source == loaded.source


def test_refused_content_that_is_reverted_is_no_change(root: Path) -> None:
    loaded = first(root)
    good = sources(root)
    (root / ZONE).write_text("records: [\n")
    bad = sources(root, good)
    (root / ZONE).write_text(FILES[ZONE])
    mended = sources(root, bad)
    assert bad != good
    assert mended == good == loaded.source
    assert load(root / "dnsd.yaml", {}, previous=loaded, source=mended) is loaded


# Edits with an effect


def append(name: str, text: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        with (root / name).open("a") as file:
            file.write(text)

    return change


def add_account(root: Path) -> None:
    (root / "accounts/a3").mkdir()


def unlink_zone(root: Path) -> None:
    (root / ZONE).unlink()


def rename_account(root: Path) -> None:
    (root / "accounts/a2").rename(root / "a2")


def swap_link(root: Path) -> None:
    shutil.copytree(root / "accounts", root / "other")
    (root / "other/a1/zones/example.com.yaml").write_text("records: []\n")
    (root / "accounts").rename(root / "old")
    (root / "accounts").symlink_to("other")


def break_link(root: Path) -> None:
    (root / ZONE).unlink()
    (root / ZONE).symlink_to("nowhere")


def not_text(root: Path) -> None:
    (root / ZONE).write_bytes(b"\xff")


CHANGES: list[Callable[[Path], None]] = [
    append(ZONE, "# \n"),
    append(MAP, "# \n"),
    append(ACCOUNT, "# \n"),
    append("dnsd.yaml", "# \n"),
    append("accounts/a1/zones/new.yaml", "{}\n"),
    append("accounts/a1/notes.txt", ""),
    add_account,
    unlink_zone,
    rename_account,
    swap_link,
    break_link,
    not_text,
]


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_seen_exactly_once(change: Callable[[Path], None], root: Path) -> None:
    source = sources(root)
    change(root)
    changed = sources(root, source)
    assert changed != source
    assert sources(root, changed) == changed
    assert sources(root) == changed


def test_change_within_one_tick_of_the_clock_is_seen(root: Path) -> None:
    """Same size, inode and times: a status that was recent when read is not trusted (as in git)."""
    source = sources(root)
    status = (root / ZONE).stat()
    (root / ZONE).write_text(FILES[ZONE].replace("192.0.2.1", "192.0.2.2"))
    os.utime(root / ZONE, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert sources(root, source) != source


# Repeated work


@pytest.fixture(name="counted")
def _counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count each kind of work, with files' status trusted at once."""
    counts: Counter[str] = Counter()

    def counting(module: object, name: str) -> None:
        work = getattr(module, name)

        def counted(*arguments: object, **options: object) -> object:
            counts[name] += 1
            return work(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    for module, name in ((folder, "read_content"), (file_reader, "parse_yaml"), (master_file, "parse_zone_text")):
        counting(module, name)
    monkeypatch.setattr(folder, "COARSEST_CLOCK_NS", -(10**18))
    return counts


def test_unchanged_files_are_not_read(root: Path, counted: Counter[str]) -> None:
    source = sources(root)
    assert counted["read_content"] == len(FILES)
    counted.clear()
    assert sources(root, source) == source
    assert not counted
    touch(root)
    source = sources(root, source)
    assert counted == {"read_content": 1}
    sources(root, source)
    assert counted == {"read_content": 1}


def test_unchanged_objects_are_reused(root: Path, counted: Counter[str]) -> None:
    loaded = first(root)
    (root / MAP).write_text(FILES[MAP].replace(".10]", ".12]"))
    counted.clear()
    changed = again(root, loaded)
    assert counted["read_content"] == 1
    assert counted["parse_yaml"] <= 3  # the map; and the places of two warnings about rivals
    assert counted["parse_zone_text"] == 0
    assert changed.snapshot.names is loaded.snapshot.names
    assert changed.snapshot.revision == loaded.snapshot.revision + 1
    assert all(
        new is old for new, old in zip(changed.dataset.zones.values(), loaded.dataset.zones.values(), strict=True)
    )


def test_only_the_changed_zone_is_replaced(root: Path) -> None:
    loaded = first(root)
    (root / ZONE).write_text("records: []\n")
    changed = again(root, loaded)
    assert zone(changed) != zone(loaded)
    for name in ("example.net", "example.org"):
        assert zone(changed, name) is zone(loaded, name)


def test_name_servers_of_the_settings_reach_the_zones(root: Path) -> None:
    loaded = first(root)
    (root / "dnsd.yaml").write_text(SETTINGS.replace("ns1", "ns7"))
    changed = again(root, loaded)
    assert [record.content for record in zone(changed).records if record.rtype == NS] == ["ns7.example.net."]
    assert zone(changed, "example.net") == zone(loaded, "example.net")


# Serials


def test_serial_is_kept_with_the_content(root: Path) -> None:
    loaded = first(root)
    touch(root)
    (root / MAP).write_text("ips: []\n")
    assert serial(again(root, loaded)) == serial(loaded)


@pytest.mark.parametrize("modified", [0, 1_000_000_000, None])
def test_serial_grows_with_each_change(root: Path, modified: int | None) -> None:
    loaded = first(root)
    source = sources(root)
    for number in range(3):
        (root / ZONE).write_text(f"records: [{{name: n{number}, type: A, content: 192.0.2.1}}]\n")
        if modified is not None:
            os.utime(root / ZONE, (modified, modified))
        source = sources(root, source)
        changed = load(root / "dnsd.yaml", {}, previous=loaded, source=source)
        assert serial(changed) > serial(loaded)
        loaded = changed


# Problems


HALVES = {  # new text of a file, and its problem
    ZONE: ("records:\n- {name: www, type: A, con", "example.com.yaml:3:1: "),
    MAP: ("", "m.yaml:1:1: the file is empty"),
    MASTER: ("@ 60 SOA ns1 host 1 2 3 4", "example.net.zone:1:"),
    ACCOUNT: ("prefixes: [{cidr: 203.0.113.0/2", "account.yaml:2:1: "),
    "dnsd.yaml": ("default_addresses: [", "dnsd.yaml:2:1: "),
}


@pytest.mark.parametrize(
    ("name", "half", "expected"), [(name, *half) for name, half in HALVES.items()], ids=HALVES.keys()
)
def test_half_written_file_is_refused_at_its_place_until_it_is_whole(
    root: Path, name: str, half: str, expected: str
) -> None:
    loaded = first(root)
    (root / name).write_text(half)
    with pytest.raises(InvalidDataError) as caught:
        again(root, loaded)
    assert expected in str(caught.value)
    (root / name).write_text(FILES[name] + "\n")
    assert zone(again(root, loaded)) == replace(zone(loaded), records=zone(again(root, loaded)).records)


def test_unreadable_file_is_refused_and_its_reason_is_content(root: Path) -> None:
    loaded = first(root)
    source = sources(root)
    break_link(root)
    broken = sources(root, source)
    with pytest.raises(InvalidDataError, match=r"example\.com\.yaml:1:1: cannot be read: No such file"):
        load(root / "dnsd.yaml", {}, previous=loaded, source=broken)
    assert sources(root, broken) == broken
    (root / ZONE).unlink()
    (root / ZONE).write_text(FILES[ZONE])
    assert load(root / "dnsd.yaml", {}, previous=loaded, source=sources(root, broken)) is loaded


def test_removed_folder_is_refused(root: Path) -> None:
    loaded = first(root)
    (root / "accounts").rename(root / "away")
    with pytest.raises(InvalidDataError, match="there is no folder"):
        again(root, loaded)


def test_map_is_checked_again_when_its_references_change(root: Path) -> None:
    loaded = first(root)
    (root / ZONE).unlink()
    with pytest.raises(InvalidDataError) as caught:
        again(root, loaded)
    assert f"{root / MAP}:4:16: memberships[0].identifier: there is no zone 'example.com'" in str(caught.value)
    (root / ZONE).write_text(FILES[ZONE])
    (root / ACCOUNT).write_text("prefixes: [{cidr: 203.0.113.0/24, approved: P}]\n")
    with pytest.raises(InvalidDataError, match="not approved yet"):
        again(root, loaded)


def test_map_follows_a_zone_with_a_new_id(root: Path) -> None:
    loaded = first(root)
    (root / ZONE).write_text(f"id: {'0' * 32}\n{FILES[ZONE]}")
    changed = again(root, loaded)
    assert list(changed.snapshot.by_zone) == ["0" * 32]


def test_account_s_other_id_reaches_its_zones_and_maps(root: Path) -> None:
    loaded = first(root)
    (root / ACCOUNT).write_text(f"id: {'0' * 32}\n{FILES[ACCOUNT]}")
    changed = again(root, loaded)
    assert zone(changed).account_id == "0" * 32
    assert {found.account_id for found in changed.dataset.maps.values()} == {"0" * 32}


def test_warnings_stay_and_stay_in_place(root: Path) -> None:
    loaded = first(root)
    assert [(w.place.file, w.place.line) for w in loaded.warnings if w.place] == [
        (str(root / RIVAL), 4),
        (str(root / CIRCLE), 2),
        (str(root / CIRCLE), 3),
    ]
    (root / ZONE).write_text("paused: true\n")
    assert again(root, loaded).warnings == loaded.warnings
    (root / MAP).write_text("# a line more\n" + FILES[MAP])
    (root / RIVAL).write_text("# a line more\n" + FILES[RIVAL])
    (root / CIRCLE).write_text("# a line more\n" + FILES[CIRCLE])
    moved = again(root, loaded)
    assert [w.message for w in moved.warnings] == [w.message for w in loaded.warnings]
    assert [w.place for w in moved.warnings] == [w.place for w in first(root).warnings]


# All of it together


def random_change(rng: random.Random, root: Path) -> None:
    """Replace, remove or restore a file."""
    account = rng.choice(["a1", "a2"])
    choices = {
        ACCOUNT: ["", "prefixes: [{cidr: 203.0.113.0/24, approved: V}]\n", "name: One\n" + FILES[ACCOUNT], "x: 1\n"],
        MAP: [FILES[MAP], FILES[MAP].replace("example.com", rng.choice(["example.org", "example.net"])), "ips: []\n"],
        RIVAL: [
            FILES[RIVAL],
            "",
            FILES[RIVAL].replace("kind: zone, identifier: example.com", "kind: account, identifier: a1"),
        ],
        f"accounts/{account}/zones/{rng.choice(['example.com', 'example.org', 'x'])}.yaml": [
            "records: []\n",
            FILES[ZONE],
            f"id: {rng.choice('12') * 32}\n",
            "nameservers: [ns9.example.net]\nrecords: [{name: f, type: CNAME, content: example.org}]\n",
            "records: [{name: f, type: CNAME, content: x, settings: {flatten_cname: true}}]\n",
            "records: [{name: [}\n",
        ],
        MASTER: [FILES[MASTER], FILES[MASTER].replace("a 60", "c 60"), "@ 60 SOA a b 1 2 3\n"],
        "dnsd.yaml": [SETTINGS, SETTINGS.replace("ns1", "ns2"), "default_addresses: [198.51.100.10]\n"],
    }
    name = rng.choice(list(choices))
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    if rng.random() < 0.2 and name != "dnsd.yaml":
        (root / name).unlink(missing_ok=True)
    else:
        (root / name).write_text(rng.choice(choices[name]))


def outcome(root: Path, previous: Loaded | None) -> tuple[Loaded | None, object]:
    """The loaded data in a comparable form: without serials, which depend on earlier revisions."""
    try:
        loaded = load(root / "dnsd.yaml", {}, previous=previous)
    except InvalidDataError as error:
        return None, [str(problem) for problem in error.problems]
    dataset = loaded.dataset
    zones = [replace(zone, records=tuple(r for r in zone.records if r.rtype != SOA)) for zone in dataset.zones.values()]
    return loaded, (dataset.accounts, dataset.maps, zones, [str(w) for w in loaded.warnings], loaded.settings)


@pytest.mark.parametrize("seed", range(8))
def test_reloading_equals_loading(seed: int, root: Path) -> None:
    rng = random.Random(seed)
    served, accepted = first(root), 0
    shutil.copytree(root, root / "..good")
    for _ in range(60):
        for _ in range(rng.choice([1, 1, 1, 2, 5])):
            random_change(rng, root)
        loaded, found = outcome(root, served)
        assert found == outcome(root, None)[1]
        if loaded:
            served, accepted = loaded, accepted + 1
            replace_all(root, root / "..good")
        elif rng.random() < 0.5:
            replace_all(root / "..good", root)
    assert accepted > 10


def replace_all(source: Path, target: Path) -> None:
    shutil.rmtree(target / "accounts")
    shutil.copytree(source / "accounts", target / "accounts")
    shutil.copy(source / "dnsd.yaml", target / "dnsd.yaml")
