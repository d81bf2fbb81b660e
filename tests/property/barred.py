"""Random histories of a server with accounts that are barred from the default pool, and an oracle that watches them.

The oracle reads the served texts itself. An account is barred from the moment that its served texts say so, until its
account.yaml says `pool: allowed`, its whole folder goes by the operator's word, or the state folder is lost.
"""

from __future__ import annotations

import random
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import dns.name
import yaml

from dnsd.app import Loaded
from dnsd.control.current import Current
from dnsd.control.guarded import Force, GuardedLoad
from dnsd.control.publish import Publisher
from dnsd.engine.respond import respond
from dnsd.errors import BrokenRule, InvalidDataError
from dnsd.log import Log
from dnsd.manage import accounts, maps, zones
from dnsd.manage.brake import Book
from dnsd.manage.draft import Draft
from dnsd.manage.refusal import RefusedError
from dnsd.model.accounts import PoolUse
from dnsd.model.maps import MemberKind
from dnsd.settings.server import Settings
from dnsd.source import read_source
from dnsd.store.files_edit import FilesEdit
from dnsd.store.folder_write import write_edit
from dnsd.store.journal import no_outcome
from dnsd.store.port import Op, StaleError
from dnsd.store.text_file import FileChangedError
from tests.worlds import as_yaml

POOL = ("198.51.100.10", "2001:db8:f::10")
POOL_OCTETS = [ip_address(ip).packed for ip in POOL]
FOLDERS = ("alder", "birch", "cedar", "dogwood")
ZONES = [f"{stem}.example" for stem in ("ash", "bay", "elm", "fir", "oak", "yew")]
IPS = {folder: [f"192.0.2.{n}", f"192.0.2.{n + 100}", f"2001:db8::{n}"] for n, folder in enumerate(FOLDERS, 1)}
BROKEN = "ips: [\n"
RECORDS = [
    {"name": "www", "type": "A", "content": "203.0.113.1", "proxied": True},
    {"name": "*.w", "type": "AAAA", "content": "2001:db8:dead::1", "proxied": True},
]
ASKED = ("www", "x.w", "flat")
TYPES = (1, 28, 65)
MAPS_SHARE, STEPS = 0.7, 14

Fields = dict[str, Any]
Texts = dict[str, str]  # by path below the folder of accounts


class History:
    """A server's folder, and the events in it; `seen` counts the kinds of events and outcomes of this run."""

    def __init__(self, rng: random.Random, root: Path) -> None:
        self.rng, self.root = rng, root
        self.seen: set[str] = set()
        self.config = root / "dnsd.yaml"
        missing = rng.choice(["nodata", "fallback"])
        brake = {"max_drop_percent": rng.choice([10, 10, 30, 30, 100])}
        self.config.write_text(as_yaml({"default_addresses": [*POOL], "missing_family": missing, "reload": brake}))
        (root / "accounts").mkdir()
        (root / "state").mkdir()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.barred: dict[str, str] = {}  # account id -> folder
        self.allowed: set[str] = set()  # folders that say `pool: allowed`
        self.current = self._begin()
        self._put(self._first_texts())
        self._start()

    # Files

    def _first_texts(self) -> Texts:
        texts = {}
        for folder in FOLDERS:
            texts[f"{folder}/account.yaml"] = as_yaml(self._account(folder))
            for name in ("fallback", "extra"):
                if self.rng.random() < MAPS_SHARE:
                    texts[f"{folder}/maps/{name}.yaml"] = as_yaml(self._map(folder, is_immutable=name == "fallback"))
        for zone in ZONES[: self.rng.choice([3, 5, 6])]:
            texts[f"{self.rng.choice(FOLDERS)}/zones/{zone}.yaml"] = self._zone(zone)
            if self.rng.random() < 0.3:
                claimed(self, texts)
        for folder in FOLDERS:  # the key only where it breaks no rule
            if f"{folder}/maps/fallback.yaml" in texts and self.rng.random() < 0.5:
                texts[f"{folder}/account.yaml"] += f"pool: {self.rng.choice(['never', 'never', 'allowed'])}\n"
        return texts

    def _account(self, folder: str) -> Fields:
        given = {"id": f"{FOLDERS.index(folder) + 1:032x}"} if folder in FOLDERS[:2] else {}
        return {**given, "static_ips": IPS[folder]}

    def _map(self, folder: str, *, is_immutable: bool = False) -> Fields:
        ips = self.rng.sample(IPS[folder], self.rng.randint(1, 3))
        immutable = {"immutable": True} if is_immutable and self.rng.random() < 0.6 else {}
        is_on = is_immutable or self.rng.random() < 0.5
        return {"enabled": is_on, "ips": ips, "memberships": [{"kind": "account", "identifier": folder}], **immutable}

    def _zone(self, zone: str, **fields: Any) -> str:
        flat = {"name": "flat", "type": "CNAME", "content": f"www.{zone}", "settings": {"flatten_cname": True}}
        return as_yaml({**fields, "records": [*RECORDS, flat]})

    def _texts(self) -> Texts:
        folder = self.root / "accounts"
        return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}

    def _put(self, texts: Texts) -> None:
        folder = self.root / "accounts"
        before = self._texts()
        for name in before.keys() - texts.keys():
            (folder / name).unlink()
        for name, text in texts.items():
            if before.get(name) != text:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()

    # Events

    def run(self) -> set[str]:
        """Let events happen; raise AssertionError where a barred name is answered from the pool."""
        for _ in range(STEPS):
            name = self.rng.choice([*EVENTS])
            if name in REQUESTS:
                self._request(REQUESTS[name])
            else:
                events = [name, *self.rng.choices([*EDITS], k=self.rng.choice([0, 0, 1, 2]))]
                for event in events:
                    if event not in STARTS:
                        self._edit(event)
                if name in STARTS:
                    self.seen.add(name)
                    self._start(is_state_lost=STARTS[name])
                else:
                    likely = Force() if "a folder gone" in events else None
                    self._reload(self.rng.choice([likely, likely, None, Force(), Force(self.rng.choice(FOLDERS))]))
        return self.seen

    def _edit(self, event: str) -> None:
        texts = self._texts()
        before = dict(texts)
        EDITS[event](self, texts)
        if texts != before:
            self.seen.add(event)
            self._put(texts)

    def pick(self, texts: Texts, part: str) -> str | None:
        """A random file of an account, by the part of its path."""
        found = [name for name in sorted(texts) if part in name]
        return self.rng.choice(found) if found else None

    def change(self, texts: Texts, part: str, **fields: Any) -> None:
        """Set or remove fields of a random file."""
        name = self.pick(texts, part)
        data = parsed(texts[name]) if name else None
        if name and data is not None:
            texts[name] = as_yaml({key: one for key, one in {**data, **fields}.items() if one is not None})

    # The server

    def _begin(self) -> Current:
        """The state of a new process."""
        settings = Settings.model_validate({"default_addresses": POOL})
        return Current(self.root / "state", settings, cast(Publisher, None), Log())

    def _reload(self, force: Force | None) -> None:
        if self.current.loaded is None:
            self._start()
            return
        self.seen.add("a forced reload" if force else "a reload")
        source = read_source(self.config, {}, previous=self.current.loaded.source)
        try:
            admitted = GuardedLoad(self.config, self.current).next(source, self.current.loaded, Book(), force=force)
        except InvalidDataError:
            self.seen.add("refused")
        else:
            self._serve(admitted.loaded, force)

    def _start(self, *, is_state_lost: bool = False) -> None:
        if is_state_lost:
            shutil.rmtree(self.root / "state")
            (self.root / "state").mkdir()
            self.barred = {}
        self.current = self._begin()
        source = read_source(self.config, {})
        guarded = GuardedLoad(self.config, self.current)
        try:
            base = guarded.last_good(source) if self.rng.random() < 0.5 else None  # a restart of control
            admitted = guarded.first(source, base, Book())
        except InvalidDataError:
            self.seen.add("no start")  # the snapshot file is served
        else:
            self._serve(admitted.loaded, None)

    def _request(self, verb: Callable[[History, Draft, str], None]) -> None:
        loaded = self.current.loaded
        if loaded is None or not loaded.dataset.accounts:
            return
        self.now += timedelta(seconds=1)
        draft = Draft(loaded, self.now, by_operator=self.rng.random() < 0.6)
        try:
            among = [*self.barred] if self.barred and self.rng.random() < 0.5 else [*loaded.dataset.accounts]
            verb(self, draft, self.rng.choice(among))
            after = draft.load()
            journal = self.root / "state" / "journal"
            edit = FilesEdit(loaded.files, after.files, loaded.source.files)
            write_edit(edit, Op(), journal, settle=no_outcome)
        except (RefusedError, FileChangedError, StaleError, OSError):
            self.seen.add("a request refused")
        else:
            assert loaded.held or (loaded.source.files and edit.made(loaded.source.files) == after.source.files)
            self.seen.add("a request")
            self._serve(after, Force())

    def _serve(self, loaded: Loaded, force: Force | None) -> None:
        self.current.loaded = loaded
        self.current.good.keep(loaded.files)
        assert self.current.good.problem is None
        self._watch(loaded, force)

    # The oracle

    def _watch(self, loaded: Loaded, force: Force | None) -> None:
        served: dict[str, dict[str, Fields]] = {folder: {} for folder in loaded.files.accounts}
        for file in loaded.files.files:
            folder, _, rest = file.key.partition("/")
            served[folder][rest] = parsed(file.text()) or {}
        ids = {account.id: account.key for account in loaded.dataset.accounts.values()}
        still = self._still_barred(served, ids, force)
        self.barred = {one: folder for one, folder in ids.items() if says_barred(folder, one, served[folder])}
        lost = {folder for folder in still if folder not in self.barred.values()}
        assert not lost, f"{lost} no longer barred, without the operator's word"
        self.allowed = {folder for folder, texts in served.items() if texts.get("", {}).get("pool") == "allowed"}
        self._note_holds(loaded)
        for folder in self.barred.values():
            for key in served[folder]:
                kind, _, zone = key.partition("/")
                if kind == "zones" and served_from(served, key) != folder:
                    self.seen.add("a barred account's zone waits")
                elif kind == "zones":
                    self.seen.add("a barred account with zones")
                    for label in ASKED:
                        assert_not_pool(loaded, f"{label}.{zone}", folder)

    def _still_barred(
        self, served: Mapping[str, Mapping[str, Fields]], ids: Mapping[str, str], force: Force | None
    ) -> set[str]:
        """The folders of the accounts that were barred, and are to be so still."""
        still = set()
        for account_id, folder in self.barred.items():
            now = ids.get(account_id, folder)
            if now not in served:
                is_word = force is not None and force.account in ("", folder)
                assert is_word or folder in self.allowed, f"{folder} went without the operator's word"
                self.seen.add("a barred account removed")
            elif served[now].get("", {}).get("pool") == "allowed":
                self.seen.add("a bar ended by the operator's word")
            else:
                still.add(now)
        return still

    def _note_holds(self, loaded: Loaded) -> None:
        problems = [problem for found in loaded.held.values() for problem in found]
        self.seen |= {"held"} if problems else set()
        if any(one.path == ("pool",) and one.rule is None for one in problems):
            self.seen.add("held by the rule on slips")
        if any(one.rule is BrokenRule.BARRED_FROM_POOL for one in problems):
            self.seen.add("held by the rule on states")


def parsed(text: str) -> Fields | None:
    """The content of a YAML file; None if it is broken."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return data if isinstance(data, dict) else {}


def says_barred(folder: str, account_id: str, texts: Mapping[str, Fields]) -> bool:
    """Whether an account is barred by its texts alone."""
    pool = texts.get("", {}).get("pool")
    if pool:
        return bool(pool == "never")
    wide = ({"kind": "account", "identifier": name} for name in (folder, account_id))
    members = [*wide]
    return any(
        one.get("immutable") and one.get("enabled") and one.get("ips") and any(m in one["memberships"] for m in members)
        for key, one in texts.items()
        if key.startswith("maps/")
    )


def served_from(served: Mapping[str, Mapping[str, Fields]], key: str) -> str:
    """The folder whose zone is served, of those with a zone of this name: the verified one, else the first."""
    claims = {folder: texts[key] for folder, texts in served.items() if key in texts}
    return min(
        claims,
        key=lambda folder: (
            not claims[folder].get("verified", True),
            str(claims[folder].get("created_on", "")),
            folder,
        ),
    )


def assert_not_pool(loaded: Loaded, name: str, folder: str) -> None:
    """Assert that no type of a name is answered with an address of the pool."""
    wire = dns.name.from_text(name).to_wire()
    for qtype in TYPES:
        reply = respond(
            loaded.snapshot, struct.pack("!6H", 0, 0x0100, 1, 0, 0, 0) + wire + struct.pack("!2H", qtype, 1)
        )
        assert reply is not None
        assert not any(octets in reply for octets in POOL_OCTETS), f"{name} of {folder} is answered from the pool"


# The events


def moved(history: History, texts: Texts) -> None:
    """Move a zone to another account."""
    if name := history.pick(texts, "/zones/"):
        texts[f"{history.rng.choice(FOLDERS)}/{name.partition('/')[2]}"] = texts.pop(name)


def created(history: History, texts: Texts) -> None:
    """Add a zone."""
    used = {name.rpartition("/")[2].removesuffix(".yaml") for name in texts}
    if left := [zone for zone in ZONES if zone not in used]:
        texts[f"{history.rng.choice(FOLDERS)}/zones/{left[0]}.yaml"] = history._zone(left[0])


def claimed(history: History, texts: Texts) -> None:
    """Add an unverified zone with the name of a zone of another account, made before it or after it."""
    if name := history.pick(texts, "/zones/"):
        folder, _, rest = name.partition("/")
        at = f"2026-01-01T00:00:{history.rng.randrange(60):02}Z"
        claim = {"id": f"{history.rng.getrandbits(128):032x}", "verified": False, "created_on": at}
        other = history.rng.choice([one for one in FOLDERS if one != folder])
        texts[f"{other}/{rest}"] = history._zone(Path(rest).stem, **claim)


def removed(part: str) -> Callable[[History, Texts], None]:
    """Remove a random file."""

    def edit(history: History, texts: Texts) -> None:
        if name := history.pick(texts, part):
            del texts[name]

    return edit


def changed(part: str, **fields: Any) -> Callable[[History, Texts], None]:
    """Set or remove fields of a random file."""
    return lambda history, texts: history.change(texts, part, **fields)


def all_maps_gone(history: History, texts: Texts) -> None:
    """Remove the maps of all accounts, from files that are served."""
    undone(history, texts)
    for name in [name for name in texts if "/maps/" in name]:
        del texts[name]


def renamed(history: History, texts: Texts) -> None:
    """Rename the file of a map."""
    if name := history.pick(texts, "/maps/"):
        folder = name.partition("/")[0]
        texts[f"{folder}/maps/m{history.rng.randrange(100)}.yaml"] = texts.pop(name)


def made(history: History, texts: Texts) -> None:
    """Add a map, immutable or not."""
    folder = history.rng.choice(FOLDERS)
    if f"{folder}/account.yaml" in texts:
        texts[f"{folder}/maps/fallback.yaml"] = as_yaml(history._map(folder, is_immutable=True))


def broken(history: History, texts: Texts) -> None:
    """Break a file."""
    if name := history.pick(texts, ".yaml"):
        texts[name] = BROKEN


def folder_gone(history: History, texts: Texts) -> None:
    """Remove a whole account."""
    folder = history.rng.choice(FOLDERS)
    for name in [name for name in texts if name.startswith(f"{folder}/")]:
        del texts[name]


def folders_swapped(history: History, texts: Texts) -> None:
    """Exchange the contents of two accounts' folders."""
    one, other = history.rng.sample(FOLDERS, 2)
    names = {one: other, other: one}
    moved = {f"{names.get(n.partition('/')[0], n.partition('/')[0])}/{n.partition('/')[2]}": texts[n] for n in texts}
    texts.clear()
    texts.update(moved)


def undone(history: History, texts: Texts) -> None:
    """Put the served files back, as a person does whose edit was held."""
    if history.current.loaded:
        texts.clear()
        for file in history.current.loaded.files.files:
            name = Path(file.path).name
            folder, _, rest = file.key.partition("/")
            texts[f"{folder}/{rest.partition('/')[0]}/{name}" if rest else f"{folder}/{name}"] = file.text()


EDITS: dict[str, Callable[[History, Texts], None]] = {
    "a map disabled": changed("/maps/", enabled=False),
    "a map enabled": changed("/maps/", enabled=True),
    "a map removed": removed("/maps/"),
    "all maps removed": all_maps_gone,
    "a map emptied": changed("/maps/", ips=[]),
    "a map without members": changed("/maps/", memberships=[]),
    "a map no longer immutable": changed("/maps/", immutable=None),
    "a map renamed": renamed,
    "a map made": made,
    "a zone moved": moved,
    "a zone removed": removed("/zones/"),
    "a zone created": created,
    "a zone claimed": claimed,
    "a zone paused": changed("/zones/", paused=True),
    "a zone no longer verified": changed("/zones/", verified=False),
    "the key never": changed("account.yaml", pool="never"),
    "the key allowed": changed("account.yaml", pool="allowed"),
    "the key gone": changed("account.yaml", pool=None),
    "account.yaml gone": removed("account.yaml"),
    "a folder gone": folder_gone,
    "folders swapped": folders_swapped,
    "a file broken": broken,
    "edits undone": undone,
}
STARTS = {"a start with state": False, "a start without state": True}


def _map_id(history: History, draft: Draft, account_id: str) -> str:
    found = [one.id for one in draft.dataset.maps.values() if one.account_id == account_id]
    return history.rng.choice(found or ["0" * 32])


def _ip(history: History, draft: Draft, map_id: str) -> Any:
    found = draft.dataset.maps.get(map_id)
    return history.rng.choice(found.ips) if found and found.ips else ip_address("192.0.2.1")


def _of_map(verb: Callable[..., Any]) -> Callable[[History, Draft, str], None]:
    return lambda history, draft, account_id: verb(history, draft, account_id, _map_id(history, draft, account_id))


def drop_key(history: History, draft: Draft, account_id: str) -> None:
    """Remove the key `pool`, if possible of an account that it alone bars."""
    dataset = draft.dataset
    alone = [one for one in dataset.barred if one not in dataset.immutable_maps]
    accounts.edit_account(draft, history.rng.choice(sorted(alone) or [account_id]), {"pool": None})


def claim_zone(history: History, draft: Draft, account_id: str) -> None:
    """Make a zone, which another account may have."""
    zones.create_zone(draft, account_id, history.rng.choice(ZONES))


def verify_zone(history: History, draft: Draft, account_id: str) -> None:
    """Verify a zone, or take it back."""
    zone_id = history.rng.choice(sorted(draft.dataset.zones) or ["0" * 32])
    zones.edit_zone(draft, zone_id, verified=history.rng.random() < 0.7)


def delete_zone(history: History, draft: Draft, account_id: str) -> None:
    """Delete a zone; another account's may be served then."""
    zones.delete_zone(draft, history.rng.choice(sorted(draft.dataset.zones) or ["0" * 32]))


REQUESTS: dict[str, Callable[[History, Draft, str], None]] = {
    "a request to disable": _of_map(lambda h, d, a, m: maps.edit_map(d, a, m, {"enabled": False})),
    "a request to enable": _of_map(lambda h, d, a, m: maps.edit_map(d, a, m, {"enabled": True})),
    "a request to delete": _of_map(lambda h, d, a, m: maps.delete_map(d, a, m)),
    "a request to take an address": _of_map(lambda h, d, a, m: maps.remove_ip(d, a, m, _ip(h, d, m))),
    "a request to take the member": _of_map(lambda h, d, a, m: maps.remove_member(d, a, m, MemberKind.ACCOUNT, a)),
    "a request for the key": lambda h, d, a: accounts.edit_account(
        d, a, {"pool": h.rng.choice([PoolUse.NEVER, PoolUse.ALLOWED])}
    ),
    "a request without the key": drop_key,
    "a request for a zone": claim_zone,
    "another request for a zone": claim_zone,
    "a request to verify": verify_zone,
    "a request to delete a zone": delete_zone,
    "a request to delete the account": lambda h, d, a: accounts.delete_account(d, a),
}
EVENTS = [*EDITS, *["all maps removed"] * 3, "a map enabled", "a map no longer immutable", *STARTS, *STARTS, *REQUESTS]
OUTCOMES = [
    *("a reload", "a forced reload", "refused", "held", "held by the rule on slips", "held by the rule on states"),
    *("a request", "a request refused", "a barred account with zones", "a barred account removed"),
    *("a bar ended by the operator's word", "a barred account's zone waits"),
]
LEAST_SHARE = 0.05  # of runs, for each kind of event and outcome


def histories(seeds: Iterable[int], root: Path) -> Counter[str]:
    """Run histories; the number of runs in which each kind of event or outcome occurred."""
    found: Counter[str] = Counter()
    for seed in seeds:
        folder = root / str(seed)
        folder.mkdir()
        found.update(History(random.Random(seed), folder).run())
        shutil.rmtree(folder)
    return found
