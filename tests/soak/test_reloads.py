"""Changes of the files while the server runs: R1 to R4 of reliability.md."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import re
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.limits import HANG_S, judged
from tests.packets import answers, query
from tests.soak.editions import (
    DNS,
    DNS_ANSWER,
    MAP,
    WWW,
    YAML_ZONE,
    ZONE,
    added_zone,
    edition_world,
    map_of,
    map_text,
    questions,
    serves_map,
    wait_for_edition,
    wait_for_line,
    zone_of,
)
from tests.soak.flow import Flow, Scrapes, reload_now
from tests.soak.harness import Soaked, wait_until
from tests.worlds import AccountFiles, World, as_yaml

SERVED_WITHIN_S = 2.0
Figures = Callable[..., None]
Scale = Callable[[Any, Any], Any]


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Soaked]:
    with warmed(tmp_path) as running:
        yield running


@contextlib.contextmanager
def warmed(folder: pathlib.Path, **settings: Any) -> Iterator[Soaked]:
    """A server that has done each of its tasks once."""
    with Soaked(folder, edition_world(**settings)) as running:
        running.udp(WWW)
        running.metrics()
        reload_now(running)
        running.baseline()
        yield running


# R1


def test_reloads_under_load_lose_and_mix_nothing(server: Soaked, scale: Scale, figures: Figures) -> None:
    """Map edits, zone edits and new zones; by command, by signal and by watching the files."""
    turns, queries, added = scale(24, 120), scale(20_000, 100_000), scale(4, 12)
    turn = 0
    before = server.metric("dnsd_reloads_total", result="ok")
    with Scrapes(server) as scrapes, Flow(server, questions(added)) as flow:
        while turn < turns or flow.answered < queries:
            turn += 1
            server.write(MAP, map_text(turn))
            if turn % 3 == 0:
                server.write(ZONE, zone_of(turn // 3))
            if turn % 6 == 0 and turn // 6 <= added:
                server.write(*added_zone(turn // 6 - 1))
            if turn % 3 == 1:
                assert reload_now(server)["ok"]
            elif turn % 3 == 2:
                server.process.send_signal(signal.SIGHUP)
            wait_for_edition(server, map=turn, zone=turn // 3)
    reloads = int(server.metric("dnsd_reloads_total", result="ok") - before)
    figures(
        "R1",
        "reloads under load",
        reloads=reloads,
        queries=flow.answered,
        lost=flow.lost,
        mixed=len(flow.wrong),
        slowest_ms=round(1000 * flow.slowest_s),
    )
    figures("R14", "metrics during reloads", reads=scrapes.count, slowest_ms=round(1000 * scrapes.slowest_s))
    flow.check()
    scrapes.check()
    assert reloads >= turns
    assert answers(server.udp(query("www.new0.test"))) == ["192.0.2.9"]
    server.check_clean()


# R2

BROKEN: dict[str, tuple[str, str]] = {
    "an emptied zone": (ZONE, ""),
    "an emptied YAML zone": (YAML_ZONE, ""),
    "a half-written zone": (ZONE, zone_of(1)[:-20]),
    "a half-written YAML zone": (YAML_ZONE, "records:\n- {name: www, type: A, con"),
    "a half-written map": (MAP, map_text(1)[:-12]),
    "an emptied map file": (MAP, ""),
    "an emptied account": ("accounts/a1/account.yaml", ""),
    "emptied settings": ("dnsd.yaml", ""),
    "half-written settings": ("dnsd.yaml", "listen: [127.0.0.1:0\ndefault_addr"),
    "a map ten times as large": (MAP, as_yaml({**map_of(0), "ips": [f"203.0.113.{n}" for n in range(1, 252)]})),
    "a zone with zero octets": (ZONE, "@ 300 TXT \0\0"),
}


@pytest.mark.parametrize("on_error", ["hold", "refuse"])
def test_broken_source_is_reported_with_its_place_and_served_once_fixed(
    tmp_path: pathlib.Path, figures: Figures, on_error: str
) -> None:
    """By watching the files alone."""
    with warmed(tmp_path, on_error=on_error) as server:
        _break_and_mend(server, figures, on_error)


def _break_and_mend(server: Soaked, figures: Figures, on_error: str) -> None:
    slowest_s, refused = 0.0, 0
    for number, (name, (file, text)) in enumerate(BROKEN.items(), start=1):
        path = server.folder / file
        is_held = on_error == "hold" and file != "dnsd.yaml"
        refused += not is_held
        good, seen = path.read_bytes(), server.stderr.count()
        replace_file(path, text.encode(errors="surrogateescape"), server.folder.parent)
        said = wait_for_line(server, "; held: " if is_held else "reload refused", seen)
        assert re.search(rf"{re.escape(str(path))}:\d+:\d+: ", said), name
        assert serves_map(server, number - 1), name
        assert answers(server.udp(DNS)) == DNS_ANSWER, name
        assert server.metric("dnsd_reloads_total", result="refused") == refused, name
        assert server.metric("dnsd_accounts_held") == is_held, name
        assert server.metric("dnsd_source_ok") == 0, name
        status, reasons = server.get("/readyz")
        shown = "held: a1" if is_held else str(path)
        assert (status, shown in reasons) == (200 if is_held else 503, True), (name, reasons)
        assert server.healthy(), name
        replace_file(path, good, server.folder.parent)
        server.write(MAP, map_text(number))
        slowest_s = max(slowest_s, wait_for_edition(server, map=number))
        wait_until(lambda: server.get("/readyz") == (200, "ok\n"), lambda: server.get("/readyz")[1])
    figures("R2", f"broken source, on_error: {on_error}", kinds=len(BROKEN), served_after_fix_s=slowest_s)
    assert slowest_s <= judged(SERVED_WITHIN_S)
    assert server.metric("dnsd_source_ok") == 1
    server.check_clean()


def replace_file(path: pathlib.Path, octets: bytes, beside: pathlib.Path) -> None:
    """Write a file at once: on a busy machine, a part of it would be read, and refused, by itself."""
    new = beside / "new"
    new.write_bytes(octets)
    new.replace(path)


def test_half_written_zone_is_never_served_in_part(server: Soaked, scale: Scale, figures: Figures) -> None:
    """Cut anywhere: refused or, if it is a valid file by itself, missing no more than the guard allows."""
    count = 200
    apex = zone_of(0)
    large = apex + "".join(f"n{number} 300 A 192.0.2.{number % 250}\n" for number in range(count))
    server.write(ZONE, large)
    assert reload_now(server)["ok"]
    rng, refused, cuts = random.Random(2), 0, scale(40, 400)
    for _ in range(cuts):
        (server.folder / ZONE).write_text(large[: rng.randrange(len(large))])
        refused += not reload_now(server)["ok"]
        there = sum(answers(server.udp(query(f"n{number}.example.net"))) != [] for number in range(0, count, 10))
        assert there >= 0.7 * count / 10
        server.write(ZONE, large)
        assert reload_now(server)["ok"]
    figures("R2", "zone cut anywhere", cuts=cuts, refused=refused)
    assert refused >= 0.65 * cuts


def test_ten_times_larger_zone_is_served_whole_or_not_at_all(server: Soaked, scale: Scale, figures: Figures) -> None:
    names = scale(3_000, 30_000)
    large = zone_of(0) + "".join(f"n{number} 300 A 192.0.2.{number % 250}\n" for number in range(names))
    first, last = query("n0.example.net"), query(f"n{names - 1}.example.net")
    started = time.monotonic()
    with (
        Flow(server, questions(), sockets=4, window=1) as flow,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,  # one socket, so one worker
    ):
        client.settimeout(HANG_S)
        client.connect((server.host, server.port))
        server.write(ZONE, large)
        is_whole = False
        while not is_whole:
            is_whole = is_answered(client, last)
            assert is_answered(client, first) or not is_whole
            assert time.monotonic() - started < 120, server.stderr.text()
    figures(
        "R2",
        "much larger zone",
        names=names,
        served_after_s=time.monotonic() - started,
        slowest_ms=round(1000 * flow.slowest_s),
    )
    flow.check()
    assert serves_map(server, 0)


def is_answered(client: socket.socket, message: bytes) -> bool:
    client.send(message)
    return answers(client.recv(4096)) != []


# R3


def zones_world(count: int = 10, **settings: Any) -> World:
    """Several zones of ten records each, and a map."""
    files = AccountFiles(
        {"prefixes": [{"cidr": "203.0.113.0/24", "approved": "V"}]},
        {"m": {**map_of(0), "memberships": [{"kind": "zone", "identifier": "z0.example"}]}},
        {f"z{number}.example.yaml": {"records": zone_records(10)} for number in range(count)},
    )
    given = {"default_addresses": ["198.51.100.10"], "nameservers": ["ns1.example.org"], "workers": 2}
    return World({**given, "metrics": {"listen": "127.0.0.1:0"}, **settings}, {"a1": files})


def zone_records(count: int) -> list[dict[str, Any]]:
    return [{"name": f"n{number}", "type": "A", "content": f"192.0.2.{number}"} for number in range(count)]


def zone_file(number: int) -> str:
    return f"accounts/a1/zones/z{number}.example.yaml"


def has_zone(server: Soaked, number: int) -> bool:
    return answers(server.udp(query(f"n0.z{number}.example"))) != []


def drop_zones(server: Soaked, numbers: Iterable[int]) -> None:
    for number in numbers:
        (server.folder / zone_file(number)).unlink()


def empty_map(server: Soaked) -> None:
    server.write(MAP, as_yaml({**map_of(0), "ips": [], "memberships": [{"kind": "zone", "identifier": "z0.example"}]}))


def drop_records(server: Soaked, count: int) -> None:
    for number in range(10):
        server.write(zone_file(number), as_yaml({"records": zone_records(10 - count)}))


DROPS: dict[str, tuple[Callable[[Soaked], None], str]] = {
    "records": (lambda server: drop_records(server, 4), r"accounts/a1/account\.yaml:\d+:\d+: 40 of 100 records"),
    "a map's addresses": (empty_map, r"maps/m\.yaml:\d+:\d+: ips: "),
    "zones": (
        lambda server: drop_zones(server, range(6, 10)),
        r"accounts/a1/account\.yaml:\d+:\d+: 4 of 10 zones",
    ),
}


def test_large_loss_needs_force(tmp_path: pathlib.Path, figures: Figures) -> None:
    with Soaked(tmp_path, zones_world()) as server:
        for name, (change, message) in DROPS.items():
            seen = server.stderr.count()
            change(server)
            # Files deleted one by one: the account is held once too many are gone.
            assert "--force --account a1" in wait_for_line(server, message, seen), name
            assert server.ready(), name
            assert server.healthy(), name
            assert has_zone(server, 9), name
            refused = reload_now(server)
            assert (refused["ok"], refused["held"]) == (False, ["a1"]), name
            assert any(re.search(message, problem["text"]) for problem in refused["problems"]), refused
            assert reload_now(server, force=True)["ok"], name
            assert server.ready(), name
        assert not has_zone(server, 9)
        assert server.metric("dnsd_reloads_total", result="held") >= 2 * len(DROPS)
    figures("R3", "large losses", kinds=len(DROPS), held=len(DROPS), forced=len(DROPS))


def test_allowed_loss_is_a_setting(tmp_path: pathlib.Path) -> None:
    with Soaked(tmp_path, zones_world(reload={"watch": False})) as server:
        drop_zones(server, range(7, 10))  # 30 percent
        assert reload_now(server)["ok"]
        assert not has_zone(server, 7)
        settings = (tmp_path / "dnsd.yaml").read_text()
        drop_zones(server, range(3, 7))
        assert not reload_now(server)["ok"]
        server.write("dnsd.yaml", settings.replace("watch: false", "watch: false, max_drop_percent: 60"))
        assert reload_now(server)["ok"]
        assert not has_zone(server, 3)
        drop_zones(server, range(2, 3))
        server.write("dnsd.yaml", settings.replace("watch: false", "watch: false, max_drop_percent: 0"))
        assert not reload_now(server)["ok"]
        assert has_zone(server, 2)


def test_refused_loss_is_not_served_because_control_starts_again(tmp_path: pathlib.Path) -> None:
    """A loss that no operator confirmed must not be served after a crash either."""
    with Soaked(tmp_path, zones_world(reload={"watch": False})) as server:
        drop_zones(server, range(2, 10))
        assert not reload_now(server)["ok"]
        control = server.pids()["control"]
        os.kill(control, signal.SIGKILL)
        wait_until(lambda: control_of(server) not in (0, control), server.stderr.text)
        wait_until(lambda: server.get("/readyz")[0] in (200, 503))
        time.sleep(0.5)
        assert has_zone(server, 9), server.stderr.text()
        assert server.ready()
        assert reload_now(server, force=True)["ok"]
        assert not has_zone(server, 9)


def control_of(server: Soaked) -> int:
    """The process id of control; 0 while it is not running."""
    try:
        return server.pids()["control"]
    except OSError:
        return 0


# R4

Save = Callable[[pathlib.Path, str], None]


def in_place(file: pathlib.Path, text: str) -> None:
    file.write_text(text)


def in_place_slowly(file: pathlib.Path, text: str) -> None:
    """Write in two parts, like a file transferred over a network."""
    with open(file, "w") as out:
        out.write(text[:20])
        out.flush()
        time.sleep(0.1)
        out.write(text[20:])


def renamed(file: pathlib.Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.tmp")
    draft.write_text(text)
    draft.replace(file)


def renamed_from_elsewhere(file: pathlib.Path, text: str) -> None:
    draft = file.parents[3] / "draft"
    draft.write_text(text)
    draft.replace(file)


def with_backup(file: pathlib.Path, text: str) -> None:
    """Write like vim: rename the old file to a backup, write a new one under its name, delete the backup."""
    backup = file.with_name(file.name + "~")
    file.rename(backup)
    file.write_text(text)
    backup.unlink()


def deleted_first(file: pathlib.Path, text: str) -> None:
    file.unlink()
    file.write_text(text)


def with_old_time(file: pathlib.Path, text: str) -> None:
    """Write with an old time, like `cp -p`, rsync and tar."""
    draft = file.with_name(f".{file.name}.tmp")
    draft.write_text(text)
    os.utime(draft, (1, 1))
    draft.replace(file)


def through_a_link(file: pathlib.Path, text: str) -> None:
    target = file.parents[3] / f"linked-{time.monotonic_ns()}.yaml"
    target.write_text(text)
    link = file.with_name(f".{file.name}.link")
    link.symlink_to(target)
    link.replace(file)


def into_the_links_target(file: pathlib.Path, text: str) -> None:
    file.resolve().write_text(text)


# In this order: the last one needs the previous one's link.
SAVES: list[Save] = [
    in_place,
    in_place_slowly,
    renamed,
    renamed_from_elsewhere,
    with_backup,
    deleted_first,
    with_old_time,
    through_a_link,
    into_the_links_target,
]


def test_every_way_to_save_a_file_is_seen(server: Soaked, figures: Figures) -> None:
    slowest_s, slowest = 0.0, ""
    for edition, save in enumerate(SAVES, start=1):
        revision = server.metric("dnsd_revision")
        save(server.folder / MAP, map_text(edition))
        taken_s = wait_for_edition(server, map=edition)
        slowest_s, slowest = max((slowest_s, slowest), (taken_s, save.__name__))
        wait_until(server.ready, server.stderr.text)
        assert server.metric("dnsd_revision") == revision + 1, save.__name__
    figures("R4", "ways to save a file", ways=len(SAVES), slowest_s=slowest_s, slowest_way=slowest)
    assert slowest_s <= judged(SERVED_WITHIN_S)
    server.check_clean()


ODD_ENTRIES: dict[str, Callable[[pathlib.Path], None]] = {
    "a name that is not UTF-8": lambda folder: os.close(os.open(os.fsencode(folder) + b"/\xff.yaml", os.O_CREAT)),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe.test.zone"),
    "a folder": lambda folder: (folder / "folder.test.yaml").mkdir(),
    "a link to itself": lambda folder: (folder / "loop.test.yaml").symlink_to("loop.test.yaml"),
    "a link to nothing": lambda folder: (folder / "gone.test.yaml").symlink_to("nothing"),
    "an endless file": lambda folder: (folder / "zero.test.zone").symlink_to("/dev/zero"),
}


def test_odd_entries_do_not_end_the_watch(server: Soaked) -> None:
    """Each entry makes its account held until it is removed."""
    folder = (server.folder / ZONE).parent
    usual = set(os.listdir(os.fsencode(folder)))
    for edition, (name, make) in enumerate(ODD_ENTRIES.items(), start=1):
        seen = server.stderr.count()
        make(folder)
        assert "zones/" in wait_for_line(server, "; held: a1", seen), name
        assert serves_map(server, edition - 1), name
        for entry in set(os.listdir(os.fsencode(folder))) - usual:
            path = os.fsencode(folder) + b"/" + entry
            (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        server.write(MAP, map_text(edition))
        assert wait_for_edition(server, map=edition) <= judged(SERVED_WITHIN_S), name
    server.check_clean()


def test_identical_content_changes_nothing(server: Soaked, figures: Figures) -> None:
    path = server.folder / MAP
    before = (server.metric("dnsd_revision"), server.metric("dnsd_reloads_total"))
    text = path.read_text()
    saves = [in_place, renamed, with_backup, with_old_time, through_a_link]
    for save in saves:
        save(path, text)
        time.sleep(0.3)
    path.touch()
    os.utime(server.folder / "dnsd.yaml", (1, 1))
    time.sleep(SERVED_WITHIN_S)
    after = (server.metric("dnsd_revision"), server.metric("dnsd_reloads_total"))
    # A file that is missing for a moment may cause a refused attempt, but no revision.
    figures("R4", "identical content", saves=len(saves) + 2, revisions=int(after[0] - before[0]))
    assert after[0] == before[0], server.stderr.text()
    assert server.ready()


class ConfigMap:
    """A folder as mounted by Kubernetes: files are links into ..data, itself a link to the folder of one version."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir(parents=True, exist_ok=True)

    def publish(self, files: dict[str, str]) -> None:
        """Swap all files at once, then delete the previous version."""
        self._version += 1
        version = self.folder / f"..2024_01_01_{self._version}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text)
        (self.folder / "..data_tmp").symlink_to(version.name)
        before = os.path.realpath(self.folder / "..data")
        (self.folder / "..data_tmp").replace(self.folder / "..data")
        for name in files:
            if not (self.folder / name).is_symlink():
                (self.folder / name).unlink(missing_ok=True)
                (self.folder / name).symlink_to(f"..data/{name}")
        if self._version > 1:
            for path in pathlib.Path(before).iterdir():
                path.unlink()
            pathlib.Path(before).rmdir()


def test_configmap_swap_is_seen(server: Soaked, figures: Figures) -> None:
    maps, zones = ConfigMap(server.folder / "accounts/a1/maps"), ConfigMap(server.folder / "accounts/a1/zones")
    slowest_s = 0.0
    for edition in range(1, 6):
        maps.publish({"m.yaml": map_text(edition)})
        zone = (server.folder / YAML_ZONE).read_text()
        zones.publish({"example.com.yaml": zone, "example.net.zone": zone_of(edition)})
        slowest_s = max(slowest_s, wait_for_edition(server, map=edition, zone=edition))
    revision = server.metric("dnsd_revision")
    maps.publish({"m.yaml": map_text(5)})
    time.sleep(SERVED_WITHIN_S)
    figures("R4", "Kubernetes ConfigMap", swaps=10, slowest_s=slowest_s)
    assert slowest_s <= judged(SERVED_WITHIN_S)
    assert server.metric("dnsd_revision") == revision


def test_swap_of_the_whole_configuration_is_seen(tmp_path: pathlib.Path, figures: Figures) -> None:
    """A link to a release's folder, as in deployments; the server is started through the link."""
    releases = [tmp_path / f"release{number}" for number in range(4)]
    state = {"state": str(tmp_path / "state")}
    current = tmp_path / "current"
    current.symlink_to(releases[0])
    releases[0].mkdir()
    slowest_s = 0.0
    with Soaked(current, edition_world(**state)) as server:
        for edition, release in enumerate(releases[1:], start=1):
            Soaked(release, edition_world(**state)).write(MAP, map_text(edition))
            (tmp_path / "next").symlink_to(release)
            (tmp_path / "next").replace(current)
            slowest_s = max(slowest_s, wait_for_edition(server, map=edition))
    figures("R4", "swap of the configuration's folder", swaps=len(releases) - 1, slowest_s=slowest_s)
    assert slowest_s <= judged(SERVED_WITHIN_S)
