"""Where answers go: shares of questions by address space, map and zone, and their picture."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from dnsd.app import Loaded, load
from dnsd.dashboard.flow_picture import LINE, NARROW, SHARES, WIDE, PictureLayout, percent, picture_of
from dnsd.dashboard.flows import MAX_MAPS, MAX_SPACES, MAX_ZONES, Flow, _bounded, flows_of, is_rest
from dnsd.manage.recent import AskedOwners
from tests.packets import wire_name
from tests.worlds import AccountFiles, World, write_world

TYPES = {"A": 1, "AAAA": 28, "MX": 15, "HTTPS": 65, "TXT": 16}
ACME = {
    "name": "Acme",
    "prefixes": [
        {"cidr": "203.0.113.0/24", "approved": "V"},
        {"cidr": "2001:db8:100::/48", "approved": "V"},
    ],
    "static_ips": ["192.0.2.200"],
}
GLOBEX = {"name": "Globex", "prefixes": [{"cidr": "198.51.100.0/25", "approved": "V"}]}


def made_map(*ips: str, zones: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    members = [{"kind": "zone", "identifier": one} for one in zones]
    return {"enabled": True, "ips": list(ips), "memberships": members, **fields}


def proxied(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "type": "A", "content": "192.0.2.1", "proxied": True} for name in names]


@pytest.fixture(name="loaded", scope="module")
def _loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    acme = AccountFiles(
        ACME,
        {
            "shop": made_map("203.0.113.1", "2001:db8:100::1", zones=("shop.example",), description="Shop"),
            "blog": made_map("203.0.113.2", "192.0.2.200", zones=("blog.example",)),
            "off": made_map("203.0.113.9", zones=("off.example",), enabled=False),
        },
        {
            "shop.example.yaml": {
                "records": [
                    *proxied("www", "*.any"),
                    {"name": "mail", "type": "A", "content": "192.0.2.25"},
                    {"name": "@", "type": "MX", "content": "mail.shop.example", "priority": 10},
                    {"name": "alias", "type": "CNAME", "content": "www.blog.example"},
                    {"name": "theirs", "type": "CNAME", "content": "www.globex.example"},
                ]
            },
            "blog.example.yaml": {"records": proxied("www")},
            "off.example.yaml": {"records": proxied("www")},
        },
    )
    globex = AccountFiles(
        GLOBEX,
        {"all": made_map("198.51.100.1", zones=("globex.example",), description="Shop")},
        {"globex.example.yaml": {"records": proxied("www")}},
    )
    settings = {"default_addresses": ["192.0.2.10", "2001:db8:f::1"], "nameservers": ["ns1.example.net"]}
    write_world(World(settings, {"acme": acme, "globex": globex}), folder := tmp_path_factory.mktemp("flows"))
    return load(folder / "dnsd.yaml")


def asked(*questions: tuple[str, str, float]) -> AskedOwners:
    """Questions: owner name, type, weight; a name without an owner begins with a dot."""
    found = {}
    for name, rtype, weight in questions:
        owner = b"" if name.startswith(".") else wire_name(name)
        zone = wire_name(".".join(name.split(".")[-2:]))
        found[zone, owner, TYPES[rtype]] = weight
    return found


def shown(loaded: Loaded, questions: AskedOwners, account: str | None = None) -> dict[tuple[str, str, str], float]:
    """The flows for the operator, or for an account."""
    dataset = loaded.dataset
    ids = [one.id for one in dataset.accounts.values() if account in (None, one.key)]
    zones = {zone.name: zone for zone in dataset.zones.values() if zone.account_id in ids}
    maps = {one.key: one for one in dataset.maps.values() if one.account_id in ids}
    found = flows_of(loaded, questions, zones, maps)
    assert found.is_of_questions == bool(questions)
    assert sum(one.share for one in found.flows) == pytest.approx(1)
    return {(one.space, one.map, one.zone): round(one.share, 3) for one in found.flows}


SHOP, BLOG = "Shop", "acme/maps/blog"
CASES: Mapping[str, tuple[tuple[str, str, float], tuple[tuple[str, str, str], ...]]] = {
    "IPv4": (("www.shop.example", "A", 1), (("203.0.113.0/24", SHOP, "shop.example"),)),
    "IPv6": (("www.shop.example", "AAAA", 1), (("2001:db8:100::/48", SHOP, "shop.example"),)),
    "a wildcard": (("*.any.shop.example", "A", 1), (("203.0.113.0/24", SHOP, "shop.example"),)),
    "both families": (
        ("www.shop.example", "HTTPS", 1),
        (("203.0.113.0/24", SHOP, "shop.example"), ("2001:db8:100::/48", SHOP, "shop.example")),
    ),
    "two parts": (
        ("www.blog.example", "A", 1),
        (("203.0.113.0/24", BLOG, "blog.example"), ("Static IPs", BLOG, "blog.example")),
    ),
    "an alias": (
        ("alias.shop.example", "A", 1),
        (("203.0.113.0/24", BLOG, "shop.example"), ("Static IPs", BLOG, "shop.example")),
    ),
    "an alias to another account": (
        ("theirs.shop.example", "A", 1),
        (("Other addresses", "Map of another account", "shop.example"),),
    ),
    "the pool": (("www.off.example", "A", 1), (("Default addresses", "Default pool", "off.example"),)),
    "as stored": (("mail.shop.example", "A", 1), (("As stored", "No map", "shop.example"),)),
    "another type": (("shop.example", "MX", 1), (("No addresses", "No map", "shop.example"),)),
    "no such type": (("mail.shop.example", "AAAA", 1), (("No addresses", "No map", "shop.example"),)),
    "no family": (("www.blog.example", "AAAA", 1), ()),
    "no such name": ((".shop.example", "A", 1), (("No addresses", "No map", "shop.example"),)),
    "a name that was deleted": (("gone.shop.example", "A", 1), (("No addresses", "No map", "shop.example"),)),
}


@pytest.mark.parametrize(("question", "paths"), CASES.values(), ids=CASES.keys())
def test_way_of_an_answer(
    loaded: Loaded, question: tuple[str, str, float], paths: tuple[tuple[str, str, str], ...]
) -> None:
    found = shown(loaded, asked(question), "acme")
    if paths:
        assert found == {path: round(1 / len(paths), 3) for path in paths}
    else:  # the map has no IPv6 address: the settings decide
        assert len(found) == 1


def test_shares_are_those_of_questions(loaded: Loaded) -> None:
    questions = asked(("www.shop.example", "A", 60.0), ("mail.shop.example", "A", 30.0), (".shop.example", "A", 10.0))
    assert shown(loaded, questions) == {
        ("203.0.113.0/24", "Shop · Acme", "shop.example"): 0.6,
        ("As stored", "No map", "shop.example"): 0.3,
        ("No addresses", "No map", "shop.example"): 0.1,
    }


def test_maps_of_the_same_title_are_told_apart(loaded: Loaded) -> None:
    found = shown(loaded, asked(("www.shop.example", "A", 1.0), ("www.globex.example", "A", 1.0)))
    assert {path[1] for path in found} == {"Shop · Acme", "Shop · Globex"}


def test_without_questions_the_zones_count(loaded: Loaded) -> None:
    found = shown(loaded, {}, "acme")
    assert {path[2] for path in found} == {"shop.example", "blog.example", "off.example"}
    for zone in ("shop.example", "blog.example", "off.example"):
        assert sum(share for path, share in found.items() if path[2] == zone) == pytest.approx(1 / 3, abs=0.01)
    assert ("Default addresses", "Default pool", "off.example") in found
    assert not any("globex" in part.lower() for path in found for part in path)


def test_only_the_largest_are_shown_one_by_one() -> None:
    weights = {(f"s{n % 90}", f"m{n % 70}", f"z{n}"): 1.0 + n for n in range(10_000)}
    found = _bounded(weights)
    assert sum(found.values()) == pytest.approx(sum(weights.values()))
    for place, limit in enumerate((MAX_SPACES, MAX_MAPS, MAX_ZONES)):
        labels = {path[place] for path in found}
        assert len(labels) == limit
        assert sum(map(is_rest, labels)) == 1
    assert {path[2] for path in found} == {*(f"z{n}" for n in range(9_993, 10_000)), "9,993 other zones"}


def test_zones_that_were_deleted_are_one(loaded: Loaded) -> None:
    many = asked(*((f"n.z{number}.example", "A", 1.0) for number in range(50)))
    assert shown(loaded, many) == {("No addresses", "No map", "a deleted zone"): 1.0}


def picture_flows(count: int) -> tuple[Flow, ...]:
    total = sum(range(1, count + 1))
    return tuple(Flow(f"10.{n}.0.0/16", f"Map {n}", f"zone{n}.example", (count - n) / total) for n in range(count))


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("count", [1, 2, 6])
def test_picture_has_every_label_apart_and_inside(layout: PictureLayout, count: int) -> None:
    picture = picture_of(picture_flows(count), layout)
    assert len(picture.bars) == 3 * count
    assert len(picture.bands) == 2 * count
    for x in layout.bars:
        column = [bar for bar in picture.bars if bar.x == x]
        lines = sorted(bar.label_y for bar in column)
        assert all(after - before >= LINE - 1 for before, after in itertools.pairwise(lines))
        assert sum(bar.height for bar in column) == pytest.approx(SHARES, abs=count)
        assert all(bar.y >= 0 and bar.y + bar.height <= picture.height for bar in column)
        assert all(bar.label_y > 15 and bar.label_y + 16 <= picture.height for bar in column)


def test_long_labels_are_cut_and_kept_whole_as_titles() -> None:
    name = "x" * 60 + ".example"
    picture = picture_of((Flow(name, name, name, 1.0),), NARROW)
    for bar, letters in zip(picture.bars, NARROW.letters, strict=True):
        assert (len(bar.label), bar.label[-1], bar.title) == (letters, "…", name)


def test_bands_have_the_colour_of_their_map() -> None:
    """Also if a zone or an address has the same label as a map."""
    flows = (Flow("A", "B", "B", 0.5), Flow("B", "A", "A", 0.3), Flow("As stored", "No map", "A", 0.2))
    bands = picture_of(flows, WIDE).bands
    colours = {band.title.rsplit(":", 1)[0]: band.colour for band in bands}
    assert colours["A → B"] == colours["B → B"] == "f0"
    assert colours["As stored → No map"] == colours["No map → A"] == "fx"


def test_answers_without_a_map_are_at_the_bottom() -> None:
    flows = (Flow("No addresses", "No map", "z", 0.9), Flow("203.0.113.0/24", "Shop", "z", 0.1))
    bars = picture_of(flows, WIDE).bars
    assert [bar.title for bar in bars] == ["203.0.113.0/24", "No addresses", "Shop", "No map", "z"]


PERCENT = [(0.0, "0.0 %"), (0.0004, "< 0.1 %"), (0.034, "3.4 %"), (0.0996, "10 %"), (0.6, "60 %"), (1.0, "100 %")]


@pytest.mark.parametrize(("share", "text"), PERCENT)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_sum_of_the_others_is_recognised() -> None:
    assert is_rest("9,993 other zones")
    assert not is_rest("other zones")
    assert not is_rest("our other map")
