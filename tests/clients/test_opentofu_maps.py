"""OpenTofu manages address maps and prefixes; answers never fall to the pool, whatever is changed."""

from __future__ import annotations

import re

import pytest

from tests.api.server import A1, Z1, Z2, Api
from tests.clients.asking import Answers
from tests.clients.opentofu import CHANGES, EMPTY, Tofu
from tests.live.server import PROJECT

P = f"/accounts/{A1}/addressing"
OLD, NEW = ("203.0.113.10", "203.0.113.11"), ("203.0.113.20",)
ZONE_MEMBER, OTHER_ZONE, ACCOUNT_MEMBER = (
    f'{{ kind = "{kind}", identifier = "{identifier}" }}'
    for kind, identifier in (("zone", Z1), ("zone", Z2), ("account", A1))
)


def quoted(texts: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{one}"' for one in texts) + "]"


def address_map(ips: tuple[str, ...], *members: str, description: str = "Shop", enabled: bool = True) -> str:
    return f"""
resource "cloudflare_address_map" "shop" {{
  account_id  = "{A1}"
  description = "{description}"
  enabled     = {str(enabled).lower()}
  ips         = {quoted(ips)}
  memberships = [{", ".join(members)}]
}}
"""


LOCALS = """
locals {
  account = "%s"
  members = [%s]
  %s
}
"""
PREFIX = """
resource "cloudflare_byo_ip_prefix" "site" {
  account_id  = "%s"
  asn         = 64500
  cidr        = "%s"
  description = "%s"
}
"""


def documented(file: str) -> str:
    """The resources of a file shown in docs/clients.md."""
    page = (PROJECT / "docs" / "clients.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```hcl\n# {re.escape(file)}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    resources, _, _ = block.partition("\nlocals {")
    return resources + "\n"


def test_life_of_a_map(api: Api, tofu: Tofu) -> None:
    ips = (*OLD, "2001:db8:100::10")
    tofu.apply(address_map(ips, ZONE_MEMBER, ACCOUNT_MEMBER))
    assert api.ask("www.example.com") == [*OLD]
    assert api.ask("www.example.net", "AAAA") == ["2001:db8:100::10"]
    tofu.apply(address_map(ips, ZONE_MEMBER, ACCOUNT_MEMBER, description="Winter", enabled=False))
    assert api.ask("www.example.com") == ["198.51.100.10", "198.51.100.11"]
    tofu.run("destroy", "-auto-approve", "-input=false")
    assert api.result("GET", f"{P}/address_maps") == []


def test_objects_without_a_description_need_no_change(api: Api, tofu: Tofu) -> None:
    tofu.apply(f"""
resource "cloudflare_address_map" "plain" {{
  account_id  = "{A1}"
  memberships = []
}}
resource "cloudflare_byo_ip_prefix" "plain" {{
  account_id = "{A1}"
  asn        = 64500
  cidr       = "198.18.7.0/24"
}}
""")
    assert [one["description"] for one in api.result("GET", f"{P}/address_maps")] == [None]


def test_drift_of_a_map_is_seen_and_repaired(api: Api, tofu: Tofu) -> None:
    tofu.apply(address_map(OLD, ZONE_MEMBER))
    path = f"{P}/address_maps/{tofu.attribute('cloudflare_address_map.shop', 'id')}"
    api.result("PATCH", path, {"enabled": False, "description": "by hand"})
    assert "0 to add, 1 to change, 0 to destroy" in tofu.plan(CHANGES)
    tofu.apply(address_map(OLD, ZONE_MEMBER))
    assert api.ask("www.example.com") == [*OLD]
    api.result("PUT", f"{path}/zones/{Z2}")
    assert "must be replaced" in tofu.plan(CHANGES), "a member"
    api.result("DELETE", f"{path}/zones/{Z2}")
    api.result("PUT", f"{path}/ips/203.0.113.12")
    tofu.plan(EMPTY)  # the provider never reads the addresses


def test_imported_map_needs_no_change_once_its_addresses_are_ignored(api: Api, tofu: Tofu) -> None:
    body = {"description": "Shop", "enabled": True, "ips": OLD, "memberships": [{"kind": "zone", "identifier": Z1}]}
    made = api.result("POST", f"{P}/address_maps", body)
    text = address_map(OLD, ZONE_MEMBER)
    tofu.write(text)
    tofu.adopt("cloudflare_address_map.shop", f"{A1}/{made['id']}")
    assert "must be replaced" in tofu.plan(CHANGES), "the provider does not read the addresses at an import either"
    tofu.write(text.replace("\n}\n", "\n  lifecycle { ignore_changes = [ips] }\n}\n"))
    tofu.plan(EMPTY)


def test_replacement_of_a_map_in_use_is_refused_and_moves_nothing(api: Api, tofu: Tofu) -> None:
    tofu.apply(address_map(OLD, ZONE_MEMBER))
    with Answers(api, "www.example.com").asking() as answers:
        tofu.write(address_map(NEW, ZONE_MEMBER))
        said = tofu.run("apply", "-auto-approve", "-input=false", status=1)
        assert answers.seen == [OLD]
    assert "disable" in said


def test_map_created_before_the_old_one_is_destroyed_answers_at_once(api: Api, tofu: Tofu) -> None:
    """The old one stays, as it is enabled, until it is disabled by other means."""
    cycle = "\n  lifecycle { create_before_destroy = true }\n}\n"
    tofu.apply(address_map(OLD, ZONE_MEMBER).replace("\n}\n", cycle))
    old_id = tofu.attribute("cloudflare_address_map.shop", "id")
    with Answers(api, "www.example.com").asking() as answers:
        tofu.write(address_map(NEW, ZONE_MEMBER).replace("\n}\n", cycle))
        tofu.run("apply", "-auto-approve", "-input=false", status=1)
        api.result("PATCH", f"{P}/address_maps/{old_id}", {"enabled": False})
        tofu.run("apply", "-auto-approve", "-input=false")
        assert answers.seen == [OLD, NEW]
    tofu.plan(EMPTY)
    assert len(api.result("GET", f"{P}/address_maps")) == 1


def in_place(ips: tuple[str, ...], *members: str) -> str:
    """The configuration in docs/clients.md, with these addresses and members."""
    return documented("in-place.tf") + LOCALS % (A1, ", ".join(members), f"ips = {quoted(ips)}")


def test_addresses_and_members_are_changed_in_place(api: Api, tofu: Tofu) -> None:
    tofu.apply(in_place(OLD, ZONE_MEMBER))
    map_id = tofu.attribute("cloudflare_address_map.shop", "id")
    assert api.ask("www.example.net") == ["198.51.100.10", "198.51.100.11"]
    with Answers(api, "www.example.com").asking() as answers:
        tofu.apply(in_place(NEW, ZONE_MEMBER))
        tofu.apply(in_place(NEW, OTHER_ZONE, ZONE_MEMBER))
        assert api.ask("www.example.net") == [*NEW]
        tofu.apply(in_place(NEW, ACCOUNT_MEMBER))
        tofu.apply(in_place(OLD, ZONE_MEMBER))
        assert answers.seen == [OLD, NEW]
    assert [one["id"] for one in api.result("GET", f"{P}/address_maps")] == [map_id]
    assert api.ask("www.example.net") == ["198.51.100.10", "198.51.100.11"]


def pair(blue: tuple[str, ...], green: tuple[str, ...], *, active: str) -> str:
    """The configuration in docs/clients.md, with these maps."""
    maps = ", ".join(
        f"{colour} = {{ enabled = {str(colour in active).lower()}, ips = {quoted(ips)} }}"
        for colour, ips in (("blue", blue), ("green", green))
    )
    return documented("pair.tf") + LOCALS % (A1, ZONE_MEMBER, f"maps = {{ {maps} }}")


def test_pair_of_maps_changes_addresses_with_the_provider_alone(api: Api, tofu: Tofu) -> None:
    tofu.apply(pair(OLD, OLD, active="blue"))
    third = ("203.0.113.30",)
    with Answers(api, "www.example.com").asking() as answers:
        tofu.apply(pair(OLD, NEW, active="blue, green"))
        tofu.apply(pair(OLD, NEW, active="green"))
        assert answers.seen == [OLD, NEW]
        tofu.apply(pair(third, NEW, active="blue, green"))
        tofu.apply(pair(third, NEW, active="blue"))
        assert answers.seen == [OLD, NEW, third]
        tofu.apply(pair(third, NEW, active="blue, green"))  # back to a map as it was
        tofu.apply(pair(third, NEW, active="green"))
        assert answers.seen == [OLD, NEW, third]
        assert api.ask("www.example.com") == [*NEW]


@pytest.mark.parametrize("cidr", ["198.18.5.0/24", "2001:db8:500::/48"])
def test_life_of_a_prefix(cidr: str, api: Api, tofu: Tofu) -> None:
    tofu.apply(PREFIX % (A1, cidr, "a second site"))
    prefix_id = tofu.attribute("cloudflare_byo_ip_prefix.site", "id")
    path = f"{P}/prefixes/{prefix_id}"
    tofu.apply(PREFIX % (A1, cidr, "the third site"))
    assert api.result("GET", path)["description"] == "the third site"
    api.result("PATCH", path, {"description": "by hand"})
    assert "0 to add, 1 to change, 0 to destroy" in tofu.plan(CHANGES)
    tofu.apply(PREFIX % (A1, cidr, "the third site"))
    tofu.forget()
    tofu.adopt("cloudflare_byo_ip_prefix.site", f"{A1}/{prefix_id}")
    tofu.plan(EMPTY)
    tofu.run("destroy", "-auto-approve", "-input=false")
    assert api.refused("GET", path)[0] == 404
